"""The columns of what came as text: their names, and the narrowest types that hold all their values without loss.

What only looks like a number (`007`, a code of twenty digits) stays text, and so does what can be read in two ways.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from datasources.connectors import files

AT_ONCE = 100  # columns that one query looks at
FIRST_ROWS = 200


@dataclass(frozen=True)
class Reading:
    """A type that a text may have: the pattern of its texts, which Python and DuckDB read alike, and its value in SQL, where `$v` is the text, trimmed.

    A value that is no such thing after all (the 31st of February) is NULL.
    """

    pattern: str
    value: str

    @property
    def test(self) -> str:
        return f"regexp_full_match($v, {files.text(self.pattern)}) AND {self.value} IS NOT NULL"


def _cast(pattern: str, kind: str) -> Reading:
    return Reading(pattern, f"TRY_CAST($v AS {kind})")


def _day(pattern: str, form: str) -> Reading:
    return Reading(pattern, f"CAST(TRY_STRPTIME($v, '{form}') AS DATE)")


DAY = r"\d{4}-\d\d-\d\d"
CLOCK = r"\d\d:\d\d(:\d\d(\.\d{1,9})?)?"
ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"

# Of these a column must fit exactly one: 03/04/2025 is two days, and 1,234 two numbers.
AMBIGUOUS = (
    _day(r"\d\d?\.\d\d?\.\d{4}", "%d.%m.%Y"),
    _day(r"\d\d?/\d\d?/\d{4}", "%d/%m/%Y"),
    _day(r"\d\d?/\d\d?/\d{4}", "%m/%d/%Y"),
    _day(r"\d{4}/\d\d?/\d\d?", "%Y/%m/%d"),
    Reading(
        r"[+-]?(0|[1-9]\d{0,2}(\.\d{3})+|[1-9]\d{0,14})(,\d+)?",
        "TRY_CAST(replace(replace($v, '.', ''), ',', '.') AS DOUBLE)",
    ),
    Reading(
        r"[+-]?(0|[1-9]\d{0,2}(,\d{3})+|[1-9]\d{0,14})(\.\d+)?",
        "TRY_CAST(replace($v, ',', '') AS DOUBLE)",
    ),
)
# The narrowest first.
READINGS = (
    _cast(r"(?i:true|false)", "BOOLEAN"),
    _cast(r"[+-]?(0|[1-9]\d{0,17})", "BIGINT"),
    # Sixteen digits and more are a name of something, and no double holds them.
    _cast(r"[+-]?((0|[1-9]\d{0,14})(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", "DOUBLE"),
    _cast(DAY, "DATE"),
    _cast(f"{DAY}([T ]{CLOCK})?", "TIMESTAMP"),
    _cast(f"{DAY}[T ]{CLOCK} ?{ZONE}", "TIMESTAMPTZ"),
    *AMBIGUOUS,
)


def column_names(cells: Iterable[Any]) -> list[str]:
    """Their own names, where they have any, and no two alike."""
    named = (str(cell).strip() for cell in cells)
    return files.distinct([name or f"column{n}" for n, name in enumerate(named, 1)])


def is_header(cells: Iterable[str]) -> bool:
    """Whether a first row names columns: some cell is neither empty nor a number nor a date."""
    datum = rf"\s*([+-]?[\d.,]+%?|{DAY}.*)?\s*"
    return not all(re.fullmatch(datum, cell) for cell in cells)


def typed_columns(
    connection: duckdb.DuckDBPyConnection, rows: str, names: list[str]
) -> Iterator[str]:
    """For each column of `rows` (where all are text) the SQL that reads it as what it is, under its own name."""
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        likely = _likely(connection, rows, some)
        for name, fitting in _fitting(connection, rows, likely).items():
            yield f"{_read(_choose(fitting), name)} AS {files.name(name)}"


def _likely(
    connection: duckdb.DuckDBPyConnection, rows: str, names: list[str]
) -> dict[str, list[Reading]]:
    """What all texts fit, the first ones fit: they rule out most readings at little cost."""
    columns = ", ".join(map(files.name, names))
    query = f"SELECT {columns} FROM {rows} LIMIT {FIRST_ROWS}"  # noqa: S608  # of our own names, quoted
    first_rows = connection.execute(query).fetchall()
    likely = {}
    for place, name in enumerate(names):
        texts = [row[place].strip() for row in first_rows if row[place]]
        likely[name] = [
            reading
            for reading in READINGS
            if all(re.fullmatch(reading.pattern, text) for text in texts if text)
        ]
    return likely


def _fitting(
    connection: duckdb.DuckDBPyConnection,
    rows: str,
    wanted: Mapping[str, Sequence[Reading]],
) -> dict[str, list[Reading]]:
    """Which of the wanted readings every text of a column fits; none, where there is no text."""
    counts = [
        f"count_if({test})".replace("$v", _trimmed(name))
        for name, readings in wanted.items()
        for test in ("$v <> ''", *(reading.test for reading in readings))
    ]
    query = f"SELECT {', '.join(counts)} FROM {rows}"  # noqa: S608  # of our own names, quoted
    found = iter(connection.execute(query).fetchone() or ())
    fitting = {}
    for name, readings in wanted.items():
        texts = next(found)
        fits = [reading for reading in readings if next(found) == texts]
        fitting[name] = fits if texts else []
    return fitting


def _choose(fitting: list[Reading]) -> Reading | None:
    if len(fitting) > 1 and fitting[0] in AMBIGUOUS:
        return None
    return fitting[0] if fitting else None


def _read(reading: Reading | None, name: str) -> str:
    return reading.value.replace("$v", _trimmed(name)) if reading else files.name(name)


def _trimmed(name: str) -> str:
    return f"trim({files.name(name)})"
