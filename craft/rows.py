"""Many rows of one table at once, for what is written by the thousand.

Django's `bulk_create` compiles a statement as long as the batch and asks every field for every value, which costs ten times what the database does. Here the
statement and what each column needs are worked out once for a table, and the driver is given plain tuples. No signals are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection, models
from django.utils import timezone

from craft.encoding import to_json

Prepare = Callable[[Any], Any]
Column = tuple[str, Prepare | None]
"""The attribute of an object, and what makes of it what the driver takes; None where it takes it as it is."""


def insert(rows: Sequence[models.Model]) -> None:
    """All new, and all of one model."""
    if not rows:
        return
    statement, columns = _insertion(type(rows[0]), connection.vendor)
    now, clocks = timezone.now(), _clocks(type(rows[0]))
    for row in rows:
        row.__dict__ |= dict.fromkeys(clocks, now)
    _execute(statement, [_values(row, columns) for row in rows])
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def insert_or_update(
    rows: Sequence[models.Model], *, unique: tuple[str, ...], update: tuple[str, ...]
) -> None:
    """Where the columns of `unique` name a row that is there, these columns of it are overwritten. The database gives the primary keys."""
    if rows:
        statement, columns = _upsertion(
            type(rows[0]), connection.vendor, unique, update
        )
        _execute(statement, [_values(row, columns) for row in rows])


def insert_if_new(rows: Sequence[models.Model], *, unique: tuple[str, ...]) -> None:
    """Where the columns of `unique` name a row that is there, it stays as it is. The database gives the primary keys."""
    if rows:
        statement, columns = _upsertion(type(rows[0]), connection.vendor, unique, ())
        now, clocks = timezone.now(), _clocks(type(rows[0]))
        for row in rows:
            row.__dict__ |= dict.fromkeys(clocks, now)
        _execute(statement, [_values(row, columns) for row in rows])


def update(rows: Sequence[models.Model], *, fields: tuple[str, ...]) -> None:
    """Overwrite these columns of rows that are there, each found by its primary key."""
    if rows:
        statement, columns = _updating(type(rows[0]), connection.vendor, fields)
        _execute(statement, [_values(row, columns) for row in rows])


def _execute(statement: str, values: Sequence[tuple[Any, ...]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(statement, values)


def _values(row: models.Model, columns: Iterable[Column]) -> tuple[Any, ...]:
    known = row.__dict__
    return tuple(
        [
            known[name] if prepare is None else prepare(known[name])
            for name, prepare in columns
        ]
    )


# --- Statements ---


@cache
def _insertion(
    model: type[models.Model], vendor: str
) -> tuple[str, tuple[Column, ...]]:
    return _insert_into(model, model._meta.concrete_fields)


@cache
def _upsertion(
    model: type[models.Model],
    vendor: str,
    unique: tuple[str, ...],
    update: tuple[str, ...],
) -> tuple[str, tuple[Column, ...]]:
    keyless = [field for field in model._meta.concrete_fields if not field.primary_key]
    statement, columns = _insert_into(model, keyless)
    names = ", ".join(_column(model, name) for name in unique)
    changes = ", ".join(
        f"{_column(model, name)} = EXCLUDED.{_column(model, name)}" for name in update
    )
    act = f"UPDATE SET {changes}" if update else "NOTHING"
    return f"{statement} ON CONFLICT ({names}) DO {act}", columns


@cache
def _updating(
    model: type[models.Model], vendor: str, names: tuple[str, ...]
) -> tuple[str, tuple[Column, ...]]:
    fields = [model._meta.get_field(name) for name in names]
    changes = ", ".join(f"{_column(model, name)} = %s" for name in names)
    key = model._meta.pk
    table = connection.ops.quote_name(model._meta.db_table)
    statement = f"UPDATE {table} SET {changes} WHERE {_column(model, key.name)} = %s"  # noqa: S608  # names of our own
    return statement, _columns([*fields, key])


def _insert_into(
    model: type[models.Model], fields: Sequence[Any]
) -> tuple[str, tuple[Column, ...]]:
    names = ", ".join(_column(model, field.name) for field in fields)
    marks = ", ".join(["%s"] * len(fields))
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({names}) VALUES ({marks})", _columns(fields)  # noqa: S608  # names of our own


def _column(model: type[models.Model], name: str) -> str:
    return connection.ops.quote_name(str(model._meta.get_field(name).column))  # type: ignore[union-attr]  # a concrete field


def _columns(fields: Iterable[Any]) -> tuple[Column, ...]:
    return tuple((field.attname, _preparation(field)) for field in fields)


@cache
def _clocks(model: type[models.Model]) -> tuple[str, ...]:
    """What tells when a row was written."""
    return tuple(
        field.attname
        for field in model._meta.concrete_fields
        if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    )


# --- Values ---


def _preparation(field: models.Field[Any, Any]) -> Prepare | None:
    if isinstance(field, models.JSONField):
        return _as_json
    if isinstance(field, models.DateTimeField) and connection.vendor == "sqlite":
        return _as_utc_text
    return None


def _as_json(value: Any) -> str | None:
    """As `JSONField` stores it: None is SQL's NULL."""
    return None if value is None else to_json(value).decode()


def _as_utc_text(value: datetime | None) -> str | None:
    """As Django writes it for SQLite."""
    return None if value is None else str(value.astimezone(UTC).replace(tzinfo=None))
