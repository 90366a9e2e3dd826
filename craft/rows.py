"""Many rows of one table at once, for what is written by the thousand.

Django's `bulk_create` compiles a statement as long as the batch and asks every field for every value, which costs ten times what the database does. Here the
statement and what each column needs are worked out once for a table. SQLite is given plain tuples, one after the other. PostgreSQL, to which every statement
is a message that it parses and plans, is given all rows in one, as JSON that it reads as a table. No signals are sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypeVar

import orjson
from django.db import connection, models, transaction
from django.db.models.base import ModelState
from django.utils import timezone

from craft.encoding import to_json

M = TypeVar("M", bound=models.Model)
Prepare = Callable[[Any], Any]
MOST_TEXT = 4 * 1024 * 1024
"""What one statement carries, unless a single row is larger."""


@dataclass(frozen=True)
class Column:
    name: str
    """The attribute of an object."""
    key: str
    """The column in the table."""
    prepare: Prepare | None
    """What makes of it what the database is given; None where that is the value itself."""


@dataclass(frozen=True)
class Statement:
    sql: str
    columns: tuple[Column, ...]


def insert(rows: Sequence[models.Model]) -> None:
    """All new, and all of one model. Where the database counts primary keys it gives them, and nobody is told."""
    if not rows:
        return
    _set_clocks(rows)
    _execute(_insertion(type(rows[0]), connection.vendor), rows)
    for row in rows:
        row._state.adding, row._state.db = False, connection.alias


def insert_or_update(
    rows: Sequence[models.Model], *, unique: tuple[str, ...], update: tuple[str, ...]
) -> None:
    """Where the columns of `unique` name a row that is there, these columns of it are overwritten; no two of the rows may name the same. The database gives
    the primary keys."""
    if rows:
        _execute(_upsertion(type(rows[0]), connection.vendor, unique, update), rows)


def insert_if_new(rows: Sequence[models.Model], *, unique: tuple[str, ...]) -> None:
    """Where the columns of `unique` name a row that is there, it stays as it is. The database gives the primary keys."""
    if rows:
        _set_clocks(rows)
        _execute(_upsertion(type(rows[0]), connection.vendor, unique, ()), rows)


def update(rows: Sequence[models.Model], *, fields: tuple[str, ...]) -> None:
    """Overwrite these columns of rows that are there, each found by its primary key."""
    if rows:
        _execute(_updating(type(rows[0]), connection.vendor, fields), rows)


def add(model: type[models.Model], pk: Any, **numbers: float) -> None:
    """Raise these columns of one row by so much."""
    _send(_adding(model, connection.vendor, tuple(numbers)), [*numbers.values(), pk])


@contextmanager
def gathered(*, alone: bool = False) -> Iterator[None]:
    """What is written here within it goes to PostgreSQL in one message, for to wait for each answer is most of what a small statement costs: at the end, or
    before anything else is asked of it. An error comes then.

    `alone`: within a transaction of its own, for which that message is enough where nothing else is asked.
    """
    is_postgres = connection.vendor == "postgresql"
    is_enough = alone and is_postgres and not connection.in_atomic_block
    around = transaction.atomic() if alone and not is_enough else nullcontext()
    with around:
        if not is_postgres or _gathering.get() is not None:
            yield
            return
        statements: list[tuple[str, Sequence[Any]]] = []
        token = _gathering.set(statements)

        def send_before(execute: Any, *asked: Any) -> Any:
            if is_enough:
                raise TypeError("Nothing else can be asked of a message that is alone.")
            _send_gathered(statements)
            return execute(*asked)

        try:
            with connection.execute_wrapper(send_before):
                yield
        finally:
            _gathering.reset(token)
        _send_gathered(statements)


_gathering: ContextVar[list[tuple[str, Sequence[Any]]] | None] = ContextVar(
    "gathering", default=None
)


def _send_gathered(statements: list[tuple[str, Sequence[Any]]]) -> None:
    """PostgreSQL takes the statements of one message as one transaction, unless it is in one already."""
    if not statements:
        return
    sql = "; ".join(sql for sql, _ in statements)
    values = [value for _, values in statements for value in values]
    statements.clear()
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def _send(sql: str, values: Sequence[Any]) -> None:
    statements = _gathering.get()
    if statements is not None:
        statements.append((sql, values))
        return
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def selection(model: type[models.Model]) -> str:
    """The columns that `objects` is given, for a statement that reads whole rows."""
    return ", ".join(each for _, each, _ in _reading(model, connection.vendor))


def objects(model: type[M], found: Iterable[Sequence[Any]]) -> list[M]:
    """The objects of rows that were read."""
    reading = _reading(model, connection.vendor)
    names = [name for name, _, _ in reading]
    converted = [(name, convert) for name, _, convert in reading if convert]
    made = []
    for values in found:
        known = dict(zip(names, values, strict=True))
        for name, convert in converted:
            if known[name] is not None:
                known[name] = convert(known[name])
        row = bare(model, known)
        row._state.adding, row._state.db = False, connection.alias
        made.append(row)
    return made


def bare(model: type[M], values: dict[str, Any]) -> M:
    """An object that has these attributes. What Django does to make one of a row's 30 columns takes longer than to run a small workflow."""
    made = model.__new__(model)
    made.__dict__ = values
    made._state = ModelState()
    return made


def new(model: type[M], **values: Any) -> M:
    """What `model(**values)` makes, of fields and relations by their names, in a fraction of the time."""
    fixed, made, relations = _beginnings(model)
    known = fixed.copy()
    for name, make in made:
        known[name] = make()
    related = {}
    for name, value in values.items():
        if name in relations:
            attribute, key = relations[name]
            related[name] = value
            known[attribute] = None if value is None else getattr(value, key)
        else:
            known[name] = value
    row = bare(model, known)
    row._state.fields_cache = related
    return row


@cache
def _beginnings(
    model: type[models.Model],
) -> tuple[
    dict[str, Any], list[tuple[str, Callable[[], Any]]], dict[str, tuple[str, str]]
]:
    """Of a new row: values that are the same in all, what makes the others, and each relation's attribute here and there."""
    fixed, made, relations = {}, [], {}
    for field in model._meta.concrete_fields:
        if isinstance(field, models.ForeignKey):
            relations[field.name] = field.attname, field.target_field.attname
        if field.has_default() and callable(field.default):
            made.append((field.attname, field.default))
        else:
            fixed[field.attname] = field.get_default()
    return fixed, made, relations


def _set_clocks(rows: Sequence[models.Model]) -> None:
    now, clocks = timezone.now(), _clocks(type(rows[0]))
    for row in rows:
        for name in clocks:
            row.__dict__[name] = now


def _execute(statement: Statement, rows: Sequence[models.Model]) -> None:
    if connection.vendor == "postgresql":
        for text in _as_texts(rows, statement.columns):
            _send(statement.sql, [text])
        return
    with connection.cursor() as cursor:
        values = [_values(row, statement.columns) for row in rows]
        cursor.executemany(statement.sql, values)


def _values(row: models.Model, columns: Iterable[Column]) -> list[Any]:
    known = row.__dict__
    return [
        known[each.name] if each.prepare is None else each.prepare(known[each.name])
        for each in columns
    ]


def _as_texts(rows: Iterable[models.Model], columns: Sequence[Column]) -> Iterator[str]:
    """Lists of objects in JSON, none of them much too long."""
    names = [(each.key, each.name) for each in columns]
    structured = [(each.key, each.prepare) for each in columns if each.prepare]
    found: list[bytes] = []
    size = 0
    for row in rows:
        known = row.__dict__
        # What is left out is read as NULL, and nobody has to write and read that.
        values = {
            key: value for key, name in names if (value := known[name]) is not None
        }
        for key, prepare in structured:
            value = values.get(key)
            if value:  # what is empty is written as any other value
                values[key] = prepare(value)
        text = orjson.dumps(values)
        if size + len(text) > MOST_TEXT and found:
            yield _listed(found)
            found, size = [], 0
        found.append(text)
        size += len(text)
    yield _listed(found)


def _listed(texts: Iterable[bytes]) -> str:
    return f"[{b','.join(texts).decode()}]"


# --- Statements ---


@cache
def _insertion(model: type[models.Model], vendor: str) -> Statement:
    return _insert_into(model, _given_fields(model))


@cache
def _adding(model: type[models.Model], vendor: str, names: tuple[str, ...]) -> str:
    columns = [_column(model, name) for name in names]
    raised = ", ".join(f"{column} = {column} + %s" for column in columns)
    table = connection.ops.quote_name(model._meta.db_table)
    return (
        f"UPDATE {table} SET {raised} WHERE {_column(model, model._meta.pk.name)} = %s"  # noqa: S608  # names of our own
    )


@cache
def _upsertion(
    model: type[models.Model],
    vendor: str,
    unique: tuple[str, ...],
    update: tuple[str, ...],
) -> Statement:
    insertion = _insert_into(model, _given_fields(model))
    names = ", ".join(_column(model, name) for name in unique)
    changes = ", ".join(
        f"{_column(model, name)} = EXCLUDED.{_column(model, name)}" for name in update
    )
    act = f"UPDATE SET {changes}" if update else "NOTHING"
    sql = f"{insertion.sql} ON CONFLICT ({names}) DO {act}"
    return Statement(sql, insertion.columns)


@cache
def _updating(
    model: type[models.Model], vendor: str, names: tuple[str, ...]
) -> Statement:
    key = model._meta.pk
    fields = [*(model._meta.get_field(name) for name in names), key]
    table, found = connection.ops.quote_name(model._meta.db_table), "given"
    key_column = _column(model, key.name)
    if vendor == "postgresql":
        changes = ", ".join(
            f"{_column(model, name)} = {found}.{_column(model, name)}" for name in names
        )
        sql = f"UPDATE {table} SET {changes} FROM {_given(fields)} WHERE {table}.{key_column} = {found}.{key_column}"  # noqa: S608  # names of our own
    else:
        changes = ", ".join(f"{_column(model, name)} = %s" for name in names)
        sql = f"UPDATE {table} SET {changes} WHERE {key_column} = %s"  # noqa: S608  # names of our own
    return Statement(sql, _columns(fields))


def _given_fields(model: type[models.Model]) -> list[Any]:
    """All but a primary key that the database counts."""
    return [
        field
        for field in model._meta.concrete_fields
        if not isinstance(field, models.AutoField)
    ]


def _insert_into(model: type[models.Model], fields: Sequence[Any]) -> Statement:
    names = ", ".join(_column(model, field.name) for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    if connection.vendor == "postgresql":
        given = f"SELECT {names} FROM {_given(fields)}"  # noqa: S608  # names of our own
    else:
        given = f"VALUES ({', '.join(['%s'] * len(fields))})"
    return Statement(f"INSERT INTO {table} ({names}) {given}", _columns(fields))


def _given(fields: Sequence[Any]) -> str:
    """The parameter, a list of objects in JSON, as a table with these columns."""
    quote = connection.ops.quote_name
    columns = ", ".join(
        f"{quote(field.column)} {field.db_type(connection)}" for field in fields
    )
    return f"json_to_recordset(%s::json) AS given({columns})"


def _column(model: type[models.Model], name: str) -> str:
    return connection.ops.quote_name(str(model._meta.get_field(name).column))  # type: ignore[union-attr]  # a concrete field


def _columns(fields: Iterable[Any]) -> tuple[Column, ...]:
    return tuple(
        Column(field.attname, field.column, _preparation(field)) for field in fields
    )


@cache
def _clocks(model: type[models.Model]) -> tuple[str, ...]:
    """What tells when a row was written."""
    return tuple(
        field.attname
        for field in model._meta.concrete_fields
        if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    )


@cache
def _reading(
    model: type[models.Model], vendor: str
) -> tuple[tuple[str, str, Prepare | None], ...]:
    """By attribute: what is selected, and what makes the value of it."""
    return tuple(
        (field.attname, *_reading_of(field)) for field in model._meta.concrete_fields
    )


def _reading_of(field: Any) -> tuple[str, Prepare | None]:
    column = connection.ops.quote_name(field.column)
    if type(field) is models.JSONField and field.decoder is None:
        return column, _from_text
    if type(field) is models.DateTimeField and connection.vendor == "postgresql":
        # Its driver's own way takes ten times as long.
        return f"{column}::text", datetime.fromisoformat
    plain = field.get_col(field.model._meta.db_table)
    converters = [
        *connection.ops.get_db_converters(plain),
        *plain.get_db_converters(connection),
    ]
    if not converters:
        return column, None

    def convert(value: Any) -> Any:
        for each in converters:
            value = each(value, plain, connection)
        return value

    return column, convert


# --- Values ---


class Encoded:
    """A JSON value as it is stored, for who needs to know its size. It may stand in a row's attribute in place of the value while the row is written."""

    __slots__ = ("text",)

    def __init__(self, value: Any) -> None:
        self.text = to_json(value)


def _preparation(field: models.Field[Any, Any]) -> Prepare | None:
    if isinstance(field, models.JSONField):
        return _as_fragment if connection.vendor == "postgresql" else _as_text
    if isinstance(field, models.DateTimeField) and connection.vendor == "sqlite":
        return _as_utc_text
    return None


def _from_text(text: str) -> Any:
    if text == "{}":
        return {}
    return [] if text == "[]" else json.loads(text)


def _as_text(value: Any) -> str | None:
    """As `JSONField` stores it: None is SQL's NULL."""
    return None if value is None else _text_of(value).decode()


def _as_fragment(value: Any) -> orjson.Fragment | None:
    """The same, as a part of JSON."""
    return None if value is None else orjson.Fragment(_text_of(value))


def _text_of(value: Any) -> bytes:
    return value.text if type(value) is Encoded else to_json(value)


def _as_utc_text(value: datetime | None) -> str | None:
    """As Django writes it for SQLite."""
    return None if value is None else str(value.astimezone(UTC).replace(tzinfo=None))
