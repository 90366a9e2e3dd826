"""Queries that are asked by the thousand. Django makes the SQL of each once, from the same guarded querysets as everywhere, and then only the values are put
in: that, and objects nobody needs, is what costs the time."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators

M = TypeVar("M", bound=Model)

INTEGER, TEXT, OTHER_TEXT = 7_000_000_000_000_000_000, "\x01", "\x02"
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


class PreparedObject(Generic[M]):
    """The first object that `build(*standing)` finds, with those that it names in `select_related`, asked for by the values that come in their places."""

    def __init__(
        self, build: Callable[..., QuerySet[M, M]], *standing: int | str
    ) -> None:
        self._build = build
        self._standing = standing

    def first(self, *values: int | str) -> M | None:
        compiler, statement, places, make = self._made
        given: dict[Any, Any] = dict(zip(self._standing, values, strict=True))
        with connection.cursor() as cursor:
            cursor.execute(statement, [given.get(place, place) for place in places])
            found = cursor.fetchmany(1)
        if not found:
            return None
        own = copy(compiler)
        own.connection = connection  # another thread's stays with it
        (row,) = own.results_iter([found])
        return make(row)

    @cached_property
    def _made(self) -> tuple[Any, str, tuple[Any, ...], Callable[[Any], M]]:
        queryset = self._build(*self._standing)
        ordered = queryset if queryset.ordered else queryset.order_by("pk")
        compiler: Any = ordered[:1].query.get_compiler(connection.alias)
        statement, places = compiler.as_sql()
        return compiler, statement, places, _maker(compiler)


def _maker(compiler: Any) -> Callable[[Any], Any]:
    """As Django's `ModelIterable` does it, which finds all this out anew for each query."""
    known, select, alias = compiler.klass_info, compiler.select, connection.alias
    start, end = known["select_fields"][0], known["select_fields"][-1] + 1
    names = [column[0].target.attname for column in select[start:end]]
    populators = get_related_populators(known, select, alias)  # type: ignore[call-arg]  # the stubs are a later Django's

    def make(row: Any) -> Any:
        made = known["model"].from_db(alias, names, row[start:end])
        for populator in populators:
            populator.populate(row, made)
        return made

    return make
