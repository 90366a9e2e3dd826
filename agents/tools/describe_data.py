from __future__ import annotations

from typing import Any

from agents.tools.base import AgentTool, ToolContext
from craft.exceptions import DomainError
from datasources.models import DataSource
from datasources.services import TableDescription, describe_tables, run_query

DIALECTS = {
    "mysql": "mysql",
    "mariadb": "mysql",
    "postgresql": "postgres",
    "postgres": "postgres",
    "sqlite": "sqlite",
}
"""The SQL that a source speaks, by its engine; files speak DuckDB's."""

MAX_PHRASES = 40
MAX_SQL = 15_000
MAX_PHRASE = 100
MAX_COLUMNS = 60
MAX_FOUND = 200
SAMPLE_ROWS = 3
PART_OF_A_VALUE = 4
"""A phrase of fewer letters must be the whole value: `as` stands in too many."""


class DescribeData(AgentTool):
    name = "describe_data"
    description = (
        "List the data sources with their tables, columns, types, row counts and a few sample rows. With `find`, say instead in which columns these "
        "words stand as values: call it so when a question names something, such as a customer, a code or a state."
    )
    parameters = {
        "type": "object",
        "properties": {
            "find": {
                "type": "array",
                "items": {"type": "string", "maxLength": MAX_PHRASE},
                "maxItems": MAX_PHRASES,
                "description": "Words or phrases to look for among the values.",
            },
        },
        "additionalProperties": False,
    }

    def run(self, context: ToolContext, **arguments: Any) -> Any:
        described = [describe(source) for source in context.sources.values()]
        asked = [phrase.lower().strip() for phrase in arguments.get("find") or []]
        phrases = list(dict.fromkeys(phrase for phrase in asked if phrase))
        if not phrases:
            return {"sources": described}
        hits = [find_values(context, description, phrases) for description in described]
        return {"found": [hit for found in hits for hit in found]}


def describe(source: DataSource) -> dict[str, Any]:
    tables: list[TableDescription] = []
    error = ""
    try:
        tables = describe_tables(source)
    except DomainError as failure:
        error = failure.message
    return {
        "id": source.pk,
        "name": source.source_name,
        "dialect": DIALECTS.get(source.engine, "duckdb"),
        "tables": [
            {
                "name": table["name"],
                "columns": table["columns"],
                "row_count": table["row_count"],
                "sample": table["sample_rows"][:SAMPLE_ROWS],
            }
            for table in tables
        ],
        "error": error,
    }


def find_values(
    context: ToolContext, description: dict[str, Any], phrases: list[str]
) -> list[dict[str, Any]]:
    """Where these phrases stand as values, or as words within one."""
    source = context.sources[description["id"]]
    rows: list[dict[str, Any]] = []
    for sql in search_statements(description, phrases):
        try:
            rows += run_query(
                company=context.company, source=source, sql=sql, row_limit=MAX_FOUND
            ).rows
        except DomainError:
            continue  # a source that can't be searched can still be asked
    return [hit for phrase in phrases for hit in hits_of(phrase, rows, source.pk)]


def search_statements(description: dict[str, Any], phrases: list[str]) -> list[str]:
    """One statement searches as many columns as a statement may be long."""
    texts = [
        (table["name"], column["name"])
        for table in description["tables"]
        for column in table["columns"]
        if is_text(column["type"])
    ][:MAX_COLUMNS]
    searches = [_search(table, column, phrases) for table, column in texts]
    statements = []
    while searches:
        count = 1
        while count < len(searches) and sum(map(len, searches[: count + 1])) < MAX_SQL:
            count += 1
        statements.append(_statement(searches[:count], phrases))
        searches = searches[count:]
    return [in_dialect(sql, description["dialect"]) for sql in statements]


def _statement(searches: list[str], phrases: list[str]) -> str:
    whole = ", ".join(_text(phrase) for phrase in phrases)
    order = f"CASE WHEN lower(value) IN ({whole}) THEN 0 ELSE 1 END, hits DESC"
    return f"SELECT * FROM ({' UNION ALL '.join(searches)}) AS found ORDER BY {order} LIMIT {MAX_FOUND}"  # noqa: S608  # of quoted names and values


def in_dialect(sql: str, dialect: str) -> str:
    if dialect == "duckdb":
        return sql
    import sqlglot  # noqa: PLC0415  # takes a tenth of the start, and only other databases need it

    return sqlglot.transpile(sql, read="duckdb", write=dialect)[0]


def is_text(type_name: str) -> bool:
    upper = type_name.upper()
    return any(word in upper for word in ("CHAR", "TEXT", "STRING", "ENUM"))


def _search(table: str, column: str, phrases: list[str]) -> str:
    """Rows that hold a word of any phrase: which phrases they hold as a whole is looked at afterwards."""
    name = _name(column)
    words = {word for phrase in phrases for word in phrase.split()}
    short = sorted(word for word in words if len(word) < PART_OF_A_VALUE)
    long = sorted(words - set(short))
    tests = [f"lower({name}) IN ({', '.join(map(_text, short))})"] if short else []
    tests += [f"strpos(lower({name}), {_text(word)}) > 0" for word in long]
    return (
        f"SELECT {_text(table)} AS table_name, {_text(column)} AS column_name, {name} AS value, count(*) AS hits "  # noqa: S608  # of quoted names and values
        f"FROM {_name(table)} WHERE {' OR '.join(tests)} GROUP BY {name}"
    )


def hits_of(
    phrase: str, rows: list[dict[str, Any]], source_id: str
) -> list[dict[str, Any]]:
    """Whole values win over parts of one: with an `ORD` there is no need for every `Orders Ltd`."""
    whole = [row for row in rows if str(row["value"]).lower() == phrase]
    part = [
        row
        for row in rows
        if len(phrase) >= PART_OF_A_VALUE
        and f" {phrase}" in f" {str(row['value']).lower()}"
    ]
    return [
        {
            "phrase": phrase,
            "source_id": source_id,
            "table": row["table_name"],
            "column": row["column_name"],
            "value": row["value"],
            "count": row["hits"],
        }
        for row in whole or part
    ]


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
