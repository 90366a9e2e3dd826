"""Answers a query over a source's Parquet files. Jobs of the sandbox: nothing here runs in a process of ours.

DuckDB's own locks come last, behind the sandbox's: it may open files of the source's folder only, no extension, no setting can be changed any more, and it
keeps to its memory and its one thread. The zygote holds an empty database, opened once; a child goes on from there.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

from datasources.connectors import files
from datasources.connectors.files import distinct, plain
from datasources.guard import QueryError
from datasources.guard.dialects import DUCKDB
from datasources.guard.statements import check

MEMORY = "256MB"  # what DuckDB keeps to; the process may use more, for what DuckDB does not count
FETCH_ROWS = 500

# What a child asks before its time.
WARMING = (
    """SELECT s, count(*), sum(f), avg(a), min(s), max(d), lower(s), round(f, 2), date_trunc('month', d) FROM warm
    WHERE a > 0 AND s LIKE '1%' GROUP BY ALL ORDER BY 2 DESC LIMIT 5""",
    """SELECT row_number() OVER (PARTITION BY s ORDER BY a), strftime(d, '%Y') FROM warm JOIN range(3) r(i) ON r.i = warm.a""",
    "SELECT * FROM warm",
)


def prepare() -> None:
    """Once, in the zygote."""
    files.database()
    rehearse()


def rehearse() -> None:
    """A query from beginning to end, over a table that is there for the purpose."""
    with tempfile.TemporaryDirectory(prefix="craft-job-") as folder:
        path = Path(folder) / "warm.parquet"
        files.database().execute(
            "COPY (SELECT range AS a, range / 2 AS f, range::VARCHAR AS s, DATE '2020-01-01' AS d FROM range(2000)) "  # noqa: S608  # our own path
            f"TO {files.text(path)} (FORMAT parquet, COMPRESSION zstd)"
        )
        session = files.session(folders=[folder], memory=MEMORY, is_rehearsal=True)
        _open_table(session, "warm", path)
        for query in WARMING:
            checked = check(query, dialect=DUCKDB.name, tables=["warm"], row_limit=10)
            _check_reading(session, checked.sql, {"warm"})
            json.dumps(_fetch(session, checked.sql, 10, 10_000))
        session.execute("DROP VIEW warm")


def answer(payload: dict[str, Any]) -> dict[str, Any]:
    """`sql, parameters, tables: {name: file}, folder, row_limit, byte_limit` → `columns, rows, truncated, tables, milliseconds`."""
    started = time.perf_counter()
    tables: dict[str, str] = payload["tables"]
    checked = check(
        payload["sql"],
        dialect=DUCKDB.name,
        tables=tables,
        row_limit=payload["row_limit"],
        parameters=payload["parameters"],
    )
    folder = Path(payload["folder"])
    connection = files.session(folders=[folder], memory=MEMORY)
    _check_reading(connection, checked.sql, set(tables))
    for name in checked.tables:
        _open_table(connection, name, folder / tables[name])
    files.lock(connection)
    columns, rows, truncated = _answer(connection, checked.sql, payload)
    return {
        "columns": columns,
        "rows": rows,
        "truncated": truncated,
        "tables": list(checked.tables),
        "milliseconds": round((time.perf_counter() - started) * 1000, 3),
    }


def _open_table(connection: duckdb.DuckDBPyConnection, name: str, path: Path) -> None:
    connection.execute(
        f"CREATE VIEW memory.main.{files.name(name)} AS FROM read_parquet({files.text(path)})"
    )


# --- How DuckDB reads it ---

QUERIES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
READ_FROM = {"BASE_TABLE", "SUBQUERY", "JOIN", "EXPRESSION_LIST", "EMPTY", "TABLE_FUNCTION", "PIVOT"}  # fmt: skip


def _check_reading(
    connection: duckdb.DuckDBPyConnection, sql: str, tables: set[str]
) -> None:
    """Hold DuckDB's own tree of the printed query against the lists: two parsers that differ can't be played against each other."""
    row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    reading: dict[str, Any] = json.loads(row[0]) if row else {"error": True}
    if reading["error"]:
        raise QueryError(f"The query could not be read: {reading.get('error_message')}")
    if len(reading["statements"]) != 1:
        raise QueryError("Only one statement at a time can be run.")
    ctes = {
        entry["key"].lower()
        for node in _nodes(reading)
        for entry in node.get("cte_map", {}).get("map", [])
    }
    for node in _nodes(reading):
        _check_part(node, tables, ctes)


def _check_part(node: dict[str, Any], tables: set[str], ctes: set[str]) -> None:
    kind = node.get("type")
    if "function_name" in node:
        _check_function(node["function_name"].lower(), DUCKDB.functions)
    if "cte_map" in node and kind not in QUERIES:
        raise QueryError(f"{kind} may not be used.")
    if "class" not in node and "alias" in node and "sample" in node:
        if kind not in READ_FROM:
            raise QueryError(f"{kind} can't be read from.")
        if kind == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            _check_function(name, DUCKDB.table_functions)
        if kind == "BASE_TABLE":
            _check_table(tuple(node["qualified_name"]["path"]), tables, ctes)


def _check_function(name: str, allowed: frozenset[str]) -> None:
    is_operator = re.search(r"\w", name) is None
    if not is_operator and name not in allowed:
        raise QueryError(f"The function {name}() may not be used.")


def _check_table(path: tuple[str, ...], tables: set[str], ctes: set[str]) -> None:
    is_own = path[:-1] == DUCKDB.schema and path[-1] in tables
    is_cte = len(path) == 1 and path[0].lower() in ctes
    if not is_own and not is_cte:
        raise QueryError(f"There is no table {'.'.join(path)!r} in this source.")


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    pending = [tree]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


# --- What it answers ---

Answer = tuple[list[dict[str, str]], list[dict[str, Any]], bool]


def _answer(
    connection: duckdb.DuckDBPyConnection, sql: str, payload: dict[str, Any]
) -> Answer:
    try:
        return _fetch(connection, sql, payload["row_limit"], payload["byte_limit"])
    except duckdb.OutOfMemoryException:
        raise MemoryError from None
    except duckdb.Error as error:
        folder = f"{payload['folder'].rstrip('/')}/"
        raise QueryError(files.explain(error).replace(folder, "")) from None
    except (OverflowError, ValueError) as error:
        raise QueryError(
            f"A value can't be answered: {error}. Cast it to VARCHAR."
        ) from None


def _fetch(
    connection: duckdb.DuckDBPyConnection, sql: str, row_limit: int, byte_limit: int
) -> Answer:
    cursor = connection.execute(sql)
    described = cursor.description or []
    names = distinct([column[0] for column in described])
    types = [str(column[1]) for column in described]
    columns = [
        {"name": name, "type": kind} for name, kind in zip(names, types, strict=True)
    ]
    rows: list[dict[str, Any]] = []
    size = 0
    while batch := cursor.fetchmany(FETCH_ROWS):
        for values in batch:
            row = {
                name: _value(value, kind)
                for name, value, kind in zip(names, values, types, strict=True)
            }
            size += len(json.dumps(row))
            if len(rows) == row_limit or (size > byte_limit and rows):
                return columns, rows, True
            if size > byte_limit:
                raise QueryError(
                    "A row of the answer is too large: ask for fewer or shorter columns."
                )
            rows.append(row)
    return columns, rows, False


def _value(value: Any, kind: str) -> Any:
    if kind == "JSON" and isinstance(value, str):
        return plain(json.loads(value))
    return plain(value)
