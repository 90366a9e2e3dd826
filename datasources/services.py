from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from django.conf import settings
from django.db import transaction

from accounts.models import Company, User
from craft import sandbox
from craft.events import Event, changes_between, publish
from craft.exceptions import NotFoundError, UnavailableError
from craft.files import remove_with_rows
from craft.sandbox import Limits, OverLimitError
from datasources.events import (
    DATA_SOURCE_CREATED,
    DATA_SOURCE_DELETED,
    DATA_SOURCE_UPDATED,
)
from datasources.guard import QueryError
from datasources.models import DataSource, DataTable, SourceMode
from datasources.retrieval import ROW, SCORE, passage, statement, words_of
from datasources.uploads import JOB, NewTable, Upload, converted

ANSWER = "datasources.guard.execution.answer"
QUERY_SECONDS = 10
QUERY_MEMORY_BYTES = 512 * 1024 * 1024
DEFAULT_ROWS = 1_000
MAX_ROWS = 10_000
TESTED_TABLES = 20
MAX_SEARCHED = 20
MAX_ANSWER_BYTES = 8 * 1024 * 1024


# --- Questions ---


@dataclass(frozen=True)
class QueryResult:
    """`rows` are objects, column → value, as JSON has them; `truncated` says that there were more; `tables` are those that were read."""

    columns: list[dict[str, str]]
    rows: list[dict[str, Any]]
    row_count: int
    truncated: bool
    execution_time_ms: int
    tables: list[str]


class TableDescription(TypedDict):
    name: str
    columns: list[dict[str, str]]
    row_count: int
    sample_rows: list[dict[str, Any]]


def warm_up() -> None:
    """Have the parents of child processes import what the first query and the first upload would otherwise wait for."""
    sandbox.warm_up(ANSWER, JOB)


def run_query(
    *,
    company: Company | int,
    source: DataSource,
    sql: str,
    row_limit: int = DEFAULT_ROWS,
    parameters: dict[str, Any] | None = None,
) -> QueryResult:
    """Answer one query over the source's own tables, with the values of its `$name`s. Raises `QueryError`, which says what to mend."""
    company_id = company if isinstance(company, int) else company.pk
    if source.company_id != company_id:
        raise NotFoundError("There is no such data source.")
    answer = _ask(source, sql, max(1, min(row_limit, MAX_ROWS)), parameters)
    return QueryResult(
        columns=answer["columns"],
        rows=answer["rows"],
        row_count=len(answer["rows"]),
        truncated=answer["truncated"],
        execution_time_ms=round(answer["milliseconds"]),
        tables=answer["tables"],
    )


def _ask(
    source: DataSource,
    sql: str,
    row_limit: int,
    parameters: dict[str, Any] | None = None,
) -> dict[str, Any]:
    tables = {table.name: table.file_name for table in source.tables.all()}
    lost = [
        name for name, file in tables.items() if not (source.folder / file).is_file()
    ]
    if lost:
        raise UnavailableError(
            f"The files of {', '.join(lost)} are gone from this installation's media. Upload them again."
        )
    payload = {
        "sql": sql,
        "parameters": parameters,
        "tables": tables,
        "folder": str(source.folder.resolve()),
        "row_limit": row_limit,
        "byte_limit": MAX_ANSWER_BYTES,
    }
    limits = Limits(seconds=QUERY_SECONDS, memory_bytes=QUERY_MEMORY_BYTES)
    try:
        answer: dict[str, Any] = sandbox.run(
            ANSWER,
            payload,
            limits=limits,
            readable=[source.folder],
            raises=[QueryError],
        )
    except OverLimitError as error:
        raise QueryError(f"The query is too heavy. {error.message}") from None
    return answer


@dataclass(frozen=True)
class FoundRow:
    """`score` is from 0 to 1; `row` is its place in the table, from 1; `passage` the part of it that says most of what was looked for."""

    source: DataSource
    table: str
    row: int
    score: float
    passage: str
    values: dict[str, Any]


def find_rows(
    *,
    company: Company | int,
    sources: Sequence[DataSource],
    query: str,
    limit: int,
    tables: Sequence[str] = (),
    min_score: float = 0.0,
) -> list[FoundRow]:
    """The rows of these sources, or of these of their tables, that say most of what the query's words are about, the best first. Raises `QueryError`."""
    words = words_of(query)
    if not words:
        raise QueryError("There is no word in this to look for.")
    searched = [
        (source, table)
        for source in sources
        for table in source.tables.all()
        if not tables or table.name in tables
    ]
    if len(searched) > MAX_SEARCHED:
        raise QueryError(
            f"These are {len(searched)} tables; at most {MAX_SEARCHED} can be searched at once. Name those that matter."
        )
    found: list[FoundRow] = []
    for source, table in searched:
        columns = [column["name"] for column in table.columns]
        sql = statement(table.name, columns, words)
        result = run_query(company=company, source=source, sql=sql, row_limit=limit)
        for values in result.rows:
            row, score = values.pop(ROW), values.pop(SCORE)
            part = passage(values, words)
            found.append(FoundRow(source, table.name, row, score, part, values))
    found.sort(key=lambda hit: -hit.score)
    return [hit for hit in found if hit.score >= min_score][:limit]


def describe_tables(source: DataSource) -> list[TableDescription]:
    """What can be asked of a source: its tables, with a few rows of each."""
    return [
        TableDescription(
            name=table.name,
            columns=table.columns,
            row_count=table.row_count,
            sample_rows=table.sample,
        )
        for table in source.tables.all()
    ]


@dataclass(frozen=True)
class ConnectionTest:
    connected: bool
    message: str
    latency_ms: int


def test_connection(source: DataSource) -> ConnectionTest:
    """Ask the source for something in its tables."""
    started = time.perf_counter()
    counts = [f'SELECT count(*) FROM "{table.name}"' for table in source.tables.all()]  # noqa: S608  # of our own names, quoted
    try:
        _ask(source, " UNION ALL ".join(counts) or "SELECT 1", DEFAULT_ROWS)
        connected, message = True, "Connection successful"
    except (QueryError, UnavailableError) as error:
        connected, message = False, error.message
    latency = round((time.perf_counter() - started) * 1000)
    return ConnectionTest(connected, message, latency)


# --- Changes ---


def create_file_source(
    *,
    company: Company,
    user: User | None,
    files: Sequence[Upload],
    source_name: str = "",
) -> DataSource:
    """A source of the tables in these files, all of them or none. Raises `UploadError`, which names the file."""
    home = Path(settings.MEDIA_ROOT) / str(company.pk)
    with converted(files, near=home) as tables:
        source = DataSource(
            company=company,
            created_by=user,
            source_name=source_name.strip() or files[0].name,
            source_type="file",
            engine="file",
            mode=SourceMode.OFFLINE,
        )
        try:
            with transaction.atomic():
                source.save(force_insert=True)
                _keep_tables(source, tables)
                changes = changes_between({}, _told(source))
                publish(_event(DATA_SOURCE_CREATED, source, changes=changes))
        except BaseException:
            source.remove_files()
            raise
    return source


def _keep_tables(source: DataSource, tables: list[NewTable]) -> None:
    source.folder.mkdir(parents=True)
    rows = []
    for table in tables:
        row = DataTable(
            company_id=source.company_id,
            source=source,
            name=table.name,
            columns=table.columns,
            sample=table.sample,
            row_count=table.row_count,
            bytes=table.path.stat().st_size,
            original_name=table.original_name[:255],
        )
        row.file_name = f"{row.pk}.parquet"
        table.path.rename(source.folder / row.file_name)
        rows.append(row)
    DataTable.objects.bulk_create(rows)


@transaction.atomic
def update_source(
    source: DataSource,
    *,
    source_name: str | None = None,
    connection_config: dict[str, Any] | None = None,
) -> DataSource:
    """`connection_config` is merged key by key; null removes a key. Two updates at once lose nothing."""
    rows = DataSource.objects.for_company(source.company_id).with_tables()
    source = rows.select_for_update().get(pk=source.pk)
    before = _told(source)
    if source_name is not None:
        source.source_name = source_name
    merged = {**source.connection_config, **(connection_config or {})}
    source.connection_config = {
        key: value for key, value in merged.items() if value is not None
    }
    source.save(update_fields=["source_name", "connection_config", "updated_at"])
    changes = changes_between(before, _told(source))
    publish(_event(DATA_SOURCE_UPDATED, source, changes=changes))
    return source


@transaction.atomic
def delete_source(source: DataSource) -> None:
    """Its files go once the row is gone for good."""
    changes = changes_between(_told(source), {})
    event = _event(DATA_SOURCE_DELETED, source, changes=changes)
    remove_with_rows(source.folder)
    source.delete()
    publish(event)


def _told(source: DataSource) -> dict[str, Any]:
    """What the audit log knows of a source, setting by setting. It hides those that are secret by their names."""
    config = source.connection_config
    return {
        "source_name": source.source_name,
        **{f"connection_config.{key}": config[key] for key in config},
    }


def _event(kind: str, source: DataSource, **data: Any) -> Event:
    return Event(
        kind,
        source.company_id,
        {
            "id": source.pk,
            "connection_id": source.pk,
            "source_name": source.source_name,
            "source_type": source.source_type,
            **data,
        },
    )
