"""The real data: 6,099 flights that left New York in the first week of 2013. PROVENANCE.md says where it comes from."""

import csv
import gzip
import io
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NUMBERS = ("flight", "dep_delay", "arr_delay", "distance", "air_time")
FIELDS = (
    "carrier",
    "flight",
    "origin",
    "dest",
    "dep_delay",
    "arr_delay",
    "distance",
    "air_time",
    "time_hour",
)


@cache
def as_csv() -> bytes:
    return gzip.decompress((HERE / "flights_week1.csv.gz").read_bytes())


def sample(count: int) -> list[dict[str, Any]]:
    """`count` flights, spread evenly over the week."""
    rows = list(csv.DictReader(io.StringIO(as_csv().decode())))
    return [_as_json(rows[index * len(rows) // count]) for index in range(count)]


def _as_json(row: dict[str, str]) -> dict[str, Any]:
    return {
        name: _number(row[name]) if name in NUMBERS else row[name] for name in FIELDS
    }


def _number(text: str) -> int | None:
    return int(text) if text else None


def airlines() -> dict[str, str]:
    with (HERE / "airlines.csv").open(newline="") as file:
        return {row["carrier"]: row["name"] for row in csv.DictReader(file)}
