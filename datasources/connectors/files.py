"""DuckDB over files: how it is opened, closed off and read. Only jobs of the sandbox import this; nothing here runs in a process of ours."""

from __future__ import annotations

import base64
import datetime
import decimal
import math
import uuid
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

SETTINGS: dict[str, Any] = {
    "threads": 1,
    "async_threads": 0,  # a process that forks must have no other thread
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
    "enable_external_file_cache": False,
}


@cache
def database() -> duckdb.DuckDBPyConnection:
    """One empty database per process, without a thread. The zygote opens it, and every child starts with that one."""
    opened = duckdb.connect(":memory:", config=SETTINGS)
    opened.execute("SET TimeZone = 'UTC'")
    opened.execute(
        "SELECT now()"
    ).fetchall()  # fetched once, so that what it imports is there
    return opened


def session(
    *,
    folders: Sequence[str | Path] = (),
    files: Sequence[str | Path] = (),
    memory: str,
    is_rehearsal: bool = False,
) -> duckdb.DuckDBPyConnection:
    """A new session that can open these files, and the files in these folders, and nothing else. After it no other can be had, but after a rehearsal."""
    opened = database().cursor()
    opened.execute(f"SET memory_limit = {text(memory)}")
    opened.execute(f"SET max_temp_directory_size = {text(memory)}")
    opened.execute(f"SET temp_directory = {text(Path.cwd() / 'spill')}")
    opened.execute(f"SET allowed_directories = [{', '.join(map(text, folders))}]")
    opened.execute(f"SET allowed_paths = [{', '.join(map(text, files))}]")
    if not is_rehearsal:
        opened.execute("SET enable_external_access = false")
    return opened


def lock(opened: duckdb.DuckDBPyConnection) -> None:
    """No setting can be changed any more."""
    opened.execute("SET lock_configuration = true")


def text(value: str | Path) -> str:
    return "'" + str(value).replace("'", "''") + "'"


def name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def distinct(names: Sequence[str]) -> list[str]:
    """`id, ID` → `id, ID_1`: in a row, which is an object, no column may hide another; DuckDB sees no case."""
    taken: set[str] = set()
    found = []
    for wanted in names:
        candidate, number = wanted, 0
        while candidate.lower() in taken:
            number += 1
            candidate = f"{wanted}_{number}"
        taken.add(candidate.lower())
        found.append(candidate)
    return found


def explain(error: duckdb.Error) -> str:
    """DuckDB's own words, without its drawing of the query."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())[:1000]


def plain(value: Any) -> Any:
    """A value as JSON has it: numbers are numbers, what no number can be (NaN, infinity) is null, times are ISO 8601, bytes are base64.

    A NUL, which PostgreSQL can't store, is shown as what can't be shown.
    """
    match value:
        case None | bool() | int():
            return value
        case str():
            return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
        case float():
            return value if math.isfinite(value) else None
        case decimal.Decimal():
            return int(value) if value.as_tuple().exponent == 0 else plain(float(value))
        case datetime.datetime() if value.tzinfo is not None:
            moment = value.astimezone(datetime.UTC).replace(tzinfo=None)
            return f"{moment.isoformat()}Z"
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            return _duration(value)
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(bytes(value)).decode()
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {_key(key): plain(item) for key, item in value.items()}
        case uuid.UUID():
            return str(value)
    return str(value)


def _key(key: Any) -> str:
    return str(plain(key))


def _duration(value: datetime.timedelta) -> str:
    """ISO 8601, as `P3DT12H` is, in days and seconds."""
    sign = "-" if value < datetime.timedelta() else ""
    value = abs(value)
    seconds = f"{value.seconds}.{value.microseconds:06d}".rstrip("0").rstrip(".")
    return f"{sign}P{value.days}DT{seconds if value.microseconds else value.seconds}S"
