"""Answers a query over a source's Parquet files, on DuckDB. Jobs of the sandbox: nothing here runs in a process of ours.

DuckDB's own locks come last, behind the sandbox's: it may open files of the source's folder only, no extension, no setting can be changed any more, and it
keeps to its memory and its one thread. The zygote holds a database with nothing in it, opened once, without a thread; a child goes on from there.
"""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import math
import time
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from datasources.guard import QueryError, check
from datasources.guard.dialects import DUCKDB

MEMORY = "256MB"
SPILL = "512MB"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

# Answered once in the zygote, so that children find the catalogue's entries and the code pages they need.
WARMING = (
    """SELECT count(*), sum(a), avg(a), min(s), max(d), lower(s), round(f, 2), date_trunc('month', d), s LIKE 'x%'
    FROM (VALUES (1, 1.5, 'x', DATE '2020-01-01')) t(a, f, s, d) WHERE a > 0 GROUP BY ALL ORDER BY 1 DESC LIMIT 5""",
    """SELECT row_number() OVER (PARTITION BY a ORDER BY b), strftime(now(), '%Y')
    FROM (SELECT 1 a, 2 b UNION ALL SELECT 3, 4) t JOIN range(3) r(i) ON r.i = t.a""",
)


@cache
def _database() -> duckdb.DuckDBPyConnection:
    """One empty database per process; the zygote's is what all children start with."""
    settings: dict[str, Any] = {
        "threads": 1,
        "async_threads": 0,  # a process that forks must have no other thread
        "memory_limit": MEMORY,
        "max_temp_directory_size": SPILL,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "allow_community_extensions": False,
        "python_enable_replacements": False,
        "enable_external_file_cache": False,
        "allow_persistent_secrets": False,
    }
    database = duckdb.connect(":memory:", config=settings)
    database.execute("SET TimeZone = 'UTC'")
    return database


def prepare() -> None:
    connection = _database().cursor()
    for query in WARMING:
        connection.execute(
            check(query, dialect="duckdb", tables=(), row_limit=10).sql
        ).fetchall()
        _check_reading(connection, query, set())


def answer(payload: dict[str, Any]) -> dict[str, Any]:
    """`sql, tables: {name: file}, folder, row_limit, byte_limit` → `columns, rows, truncated, tables, milliseconds`."""
    started = time.perf_counter()
    files: dict[str, str] = payload["tables"]
    checked = check(
        payload["sql"], dialect="duckdb", tables=files, row_limit=payload["row_limit"]
    )
    connection = _database().cursor()  # an own session: own random numbers
    _check_reading(connection, checked.sql, set(files))
    _open(connection, payload["folder"], {name: files[name] for name in checked.tables})
    try:
        columns, rows, truncated = _fetch(
            connection, checked.sql, payload["row_limit"], payload["byte_limit"]
        )
    except duckdb.OutOfMemoryException:
        raise MemoryError from None
    except duckdb.Error as error:
        raise QueryError(_explain(error, payload["folder"])) from None
    return {
        "columns": columns,
        "rows": rows,
        "truncated": truncated,
        "tables": list(checked.tables),
        "milliseconds": round((time.perf_counter() - started) * 1000, 3),
    }


def _open(
    connection: duckdb.DuckDBPyConnection, folder: str, files: dict[str, str]
) -> None:
    """Make the tables that are asked for, and close the doors."""
    connection.execute(f"SET temp_directory = {_text(str(Path.cwd() / 'spill'))}")
    connection.execute(f"SET allowed_directories = [{_text(folder)}]")
    connection.execute("SET enable_external_access = false")
    for name, file in files.items():
        connection.execute(
            f"CREATE VIEW memory.main.{_name(name)} AS FROM read_parquet({_text(str(Path(folder) / file))})"
        )
    connection.execute("SET lock_configuration = true")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


# --- How DuckDB reads it ---

READABLE = {
    "BASE_TABLE",
    "SUBQUERY",
    "JOIN",
    "EXPRESSION_LIST",
    "EMPTY",
    "EMPTY_FROM",
    "TABLE_FUNCTION",
    "PIVOT",
    "COLUMN_DATA",
}


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
    if "function_name" in node:
        name = node["function_name"].lower()
        if name[:1].isalpha() and name not in DUCKDB.functions and name != "count_star":
            raise QueryError(f"The function {name}() may not be used.")
    if (
        node.get("type") == "TABLE_FUNCTION"
        and node["function"]["function_name"].lower() not in DUCKDB.table_functions
    ):
        raise QueryError(f"{node['function']['function_name']}() can't be read from.")
    if node.get("type") == "BASE_TABLE":
        path = tuple(node["qualified_name"]["path"])
        if not (path[:-1] == DUCKDB.schema and path[-1] in tables) and not (
            len(path) == 1 and path[0].lower() in ctes
        ):
            raise QueryError(f"There is no table {'.'.join(path)!r} in this source.")
    if str(node.get("type", "")).endswith("_REF") and node["type"] not in {
        "COLUMN_REF",
        "POSITIONAL_REFERENCE",
        "LAMBDA_REF",
    }:
        raise QueryError(f"{node['type']} may not be used in a query.")


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


def _fetch(
    connection: duckdb.DuckDBPyConnection, sql: str, row_limit: int, byte_limit: int
) -> tuple[list[dict[str, str]], list[dict[str, Any]], bool]:
    cursor = connection.execute(sql)
    names = _distinct([column[0] for column in cursor.description or []])
    columns = [
        {"name": name, "type": str(column[1])}
        for name, column in zip(names, cursor.description or [], strict=True)
    ]
    rows: list[dict[str, Any]] = []
    size = 0
    while batch := cursor.fetchmany(500):
        for values in batch:
            if len(rows) == row_limit:
                return columns, rows, True
            row = {
                name: plain(value) for name, value in zip(names, values, strict=True)
            }
            size += len(json.dumps(row))
            if size > byte_limit:
                if not rows:
                    raise QueryError(
                        "A row of the answer is too large: ask for fewer or shorter columns."
                    )
                return columns, rows, True
            rows.append(row)
    return columns, rows, False


def _distinct(names: list[str]) -> list[str]:
    """`id, id` → `id, id_1`: a row is an object, and no column may hide another."""
    taken: set[str] = set()
    distinct = []
    for name in names:
        candidate, number = name, 0
        while candidate in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate)
        distinct.append(candidate)
    return distinct


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers are numbers, what no number can be (NaN, infinity) is null, times are ISO 8601, bytes are base64."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case decimal.Decimal():
            return plain(
                int(value)
                if value == value.to_integral_value() and value.as_tuple().exponent == 0
                else float(value)
            )
        case datetime.datetime() if value.tzinfo is not None:
            return value.astimezone(datetime.UTC).replace(tzinfo=None).isoformat() + "Z"
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return _iso_duration(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {
                key if isinstance(key, str) else str(plain(key)): plain(item)
                for key, item in value.items()
            }
        case uuid.UUID():
            return str(value)
    return str(value)


def _iso_duration(value: datetime.timedelta) -> str:
    sign, value = ("-", -value) if value < datetime.timedelta() else ("", value)
    seconds = (
        f"{value.seconds}.{value.microseconds:06d}".rstrip("0").rstrip(".")
        if value.microseconds
        else str(value.seconds)
    )
    return f"{sign}P{value.days}DT{seconds}S"


def _explain(error: duckdb.Error, folder: str) -> str:
    """DuckDB's words, without its drawing of the printed query and without our paths."""
    text = str(error).partition("\n\nLINE ")[0].replace(folder.rstrip("/") + "/", "")
    return " ".join(text.split())[:1000]
