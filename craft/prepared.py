"""Queries that are asked by the thousand. Django makes the SQL of each once, from the same guarded querysets as everywhere, and then only the values are put
in: that, and objects nobody needs, is what costs the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from django.db import connection
from django.db.models import QuerySet

INTEGER, TEXT = 7_000_000_000_000_000_000, "\x01"
"""Stand for the values while the SQL is made."""


class PreparedQuery:
    """`build(number, text)` makes the queryset, of values in a list, from two values that stand where numbers and texts are to come.

    Rows come as the database sends them: JSON and times as text, and on SQLite booleans as numbers.
    """

    def __init__(self, build: Callable[[int, str], QuerySet[Any, Any]]) -> None:
        self._build = build

    def rows(self, number: int, text: str = "") -> list[tuple[Any, ...]]:
        statement, places = self._made
        values: dict[Any, Any] = {INTEGER: number, TEXT: text}
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                _leave_times(cursor)
            cursor.execute(statement, [values[place] for place in places])
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    @cached_property
    def _made(self) -> tuple[str, tuple[Any, ...]]:
        query: Any = self._build(INTEGER, TEXT).query
        return query.get_compiler(connection.alias).as_sql()  # type: ignore[no-any-return]  # Django's stubs say Any


def _leave_times(cursor: Any) -> None:
    """As text, in UTC, in which Django keeps each connection."""
    from psycopg.types.string import TextLoader  # noqa: PLC0415  # it is there with PostgreSQL only

    cursor.adapters.register_loader("timestamptz", TextLoader)
