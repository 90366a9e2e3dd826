"""A question as this model understood it, and the one SQL statement that answers it.

SQL is written in DuckDB's words and, for a source that speaks another dialect, translated by sqlglot. Names and values are always quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import sqlglot

from agents.llm.craftai.catalogue import Column, Link, Table
from agents.llm.craftai.words import plural

Aggregate = Literal["count", "distinct", "sum", "avg", "min", "max", "median", "share"]
Grain = Literal["year", "quarter", "month", "week", "day", "weekday", "hour"]
Operator = Literal[
    "=", "!=", ">", ">=", "<", "<=", "in", "not in", "null", "not null", "above average", "below average"
]  # fmt: skip
Shape = Literal["value", "groups", "rows", "exists"]

MAX_GROUPS = 100


@dataclass(frozen=True)
class Ref:
    """A column of the question's table, or of one that a row of it points at."""

    column: Column
    path: tuple[Link, ...] = ()

    @property
    def label(self) -> str:
        own = self.column.label
        noun = self.path[-1].table.noun if self.path else ""
        return own if not noun or noun in own else f"{noun} {own}"


@dataclass(frozen=True)
class Condition:
    """Something that holds for the rows that count. `values` holds several where any of them will do."""

    ref: Ref
    operator: Operator
    values: tuple[Any, ...] = ()
    spoken: str = ""

    def __str__(self) -> str:
        return self.spoken or _speak(self.ref.label, self.operator, self.values)


@dataclass(frozen=True)
class TimeCondition:
    """`unit` names the digits compared: `ymd` 20130103, `md` 103, `d` 3, `w` the weekday, `h` the hour."""

    unit: str
    low: int | None
    high: int | None
    spoken: str
    choices: tuple[int, ...] = ()

    def __str__(self) -> str:
        return self.spoken


@dataclass(frozen=True)
class Measure:
    aggregate: Aggregate
    ref: Ref | None = None
    times: Ref | None = None
    """A second column to multiply by: quantity × price."""
    conditions: tuple[Condition | TimeCondition, ...] = ()
    """For a share: what the counted rows must meet."""

    @property
    def label(self) -> str:
        thing = self.ref.label if self.ref else ""
        if self.times is not None:
            thing = f"{thing} × {self.times.label}"
        return {
            "count": thing,
            "distinct": f"different {plural(thing)}",
            "sum": thing if thing.startswith("total") else f"total {thing}",
            "avg": f"average {thing}",
            "min": f"lowest {thing}",
            "max": f"highest {thing}",
            "median": f"median {thing}",
            "share": "percent",
        }[self.aggregate]


@dataclass(frozen=True)
class Group:
    """What the rows are gathered by: a column, or a stretch of time."""

    ref: Ref | None = None
    grain: Grain | None = None
    name_ref: Ref | None = None
    """The column that says what a code stands for."""

    @property
    def label(self) -> str:
        return self.ref.label if self.ref else str(self.grain)


@dataclass
class Query:
    table: Table
    shape: Shape = "value"
    measures: list[Measure] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    conditions: list[Condition | TimeCondition] = field(default_factory=list)
    having: Condition | None = None
    """On the first measure; its ref is not used."""
    columns: list[Ref] = field(default_factory=list)
    order: Ref | None = None
    """For rows; groups are ordered by the first measure."""
    time_order: bool = False
    descending: bool = True
    limit: int | None = None
    is_superlative: bool = False
    per_grain: Grain | None = None
    """The mean over such stretches of time is wanted: flights per day on average."""
    per_ref: Ref | None = None
    date: Ref | None = None
    """What tells when."""
    notes: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    """Words of the question that found no place in the query."""


class UntellableTimeError(Exception):
    """The table has nothing that tells this."""


def to_sql(query: Query) -> str:
    sql = _Writer(query).statement()
    dialect = query.table.source.dialect
    if dialect == "duckdb":
        return sql
    return sqlglot.transpile(sql, read="duckdb", write=dialect)[0]


def reach_sql(table: Table) -> str:
    """From when to when its rows go; empty where it has no dates."""
    year, month, day = (table.part(name) for name in ("year", "month", "day"))
    if year and month and day:
        value = f"({quote(year.name)} * 100 + {quote(month.name)}) * 100 + {quote(day.name)}"
    elif table.dates:
        value = quote(table.dates[0].name)
    else:
        return ""
    return f"SELECT min({value}) AS earliest, max({value}) AS latest FROM {quote(table.name)}"  # noqa: S608  # of quoted names


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return "'" + str(value).replace("'", "''") + "'"


class _Writer:
    def __init__(self, query: Query) -> None:
        self.query = query
        self.table = query.table
        self.aliases: dict[tuple[str, ...], str] = {}
        self.joins: list[str] = []
        wanted: dict[tuple[str, ...], list[Ref]] = {}
        for ref in self._every_ref():
            for depth in range(1, len(ref.path) + 1):
                wanted.setdefault(_names(ref.path[:depth]), []).append(ref)
        for names, users in wanted.items():
            self._join(names, users)

    def _all_conditions(self) -> list[Condition | TimeCondition]:
        shares = [
            condition
            for measure in self.query.measures
            for condition in measure.conditions
        ]
        return [*self.query.conditions, *shares]

    def _join(self, names: tuple[str, ...], users: list[Ref]) -> None:
        """A look-up joined so that it can't multiply rows, whatever its table holds: one row per key, by construction."""
        depth = len(names)
        link = users[0].path[depth - 1]
        needed = {
            ref.column.name if len(ref.path) == depth else ref.path[depth].left.name
            for ref in users
        }
        needed.discard(link.key.name)
        alias = f"j{len(self.aliases) + 1}"
        left = self._qualify(link.left, names[:-1])
        picked = "".join(
            f", min({quote(name)}) AS {quote(name)}" for name in sorted(needed)
        )
        key = quote(link.key.name)
        self.aliases[names] = alias
        self.joins.append(
            f"LEFT JOIN (SELECT {key}{picked} FROM {quote(link.table.name)} GROUP BY {key}) AS {alias} ON {left} = {alias}.{key}"  # noqa: S608  # of quoted names
        )

    def _qualify(self, column: Column, names: tuple[str, ...]) -> str:
        if names:
            return f"{self.aliases[names]}.{quote(column.name)}"
        return f"t.{quote(column.name)}" if self._is_joined else quote(column.name)

    @property
    def _is_joined(self) -> bool:
        return any(ref.path for ref in self._every_ref())

    def _every_ref(self) -> list[Ref]:
        query = self.query
        groups = [ref for group in query.groups for ref in (group.ref, group.name_ref)]
        measures = [
            ref for measure in query.measures for ref in (measure.ref, measure.times)
        ]
        conditions = [
            condition.ref
            for condition in self._all_conditions()
            if isinstance(condition, Condition)
        ]
        date = query.date if self._needs_date() else None
        others = [*query.columns, query.order, query.per_ref, date]
        return [ref for ref in (*groups, *measures, *conditions, *others) if ref]

    def _needs_date(self) -> bool:
        query = self.query
        return (
            query.time_order
            or query.per_grain is not None
            or any(group.grain for group in query.groups)
            or any(isinstance(item, TimeCondition) for item in query.conditions)
        )

    def ref(self, ref: Ref) -> str:
        return self._qualify(ref.column, _names(ref.path))

    # --- parts of the statement ---

    def statement(self) -> str:
        if self.query.per_grain or self.query.per_ref:
            return self._mean_over_groups()
        if self.query.shape == "rows":
            return self._rows()
        return self._aggregated()

    def _from(self) -> str:
        alias = " AS t" if self.joins else ""
        return " ".join([f"FROM {quote(self.table.name)}{alias}", *self.joins])

    def _where(self, extra: str = "") -> str:
        parts = [self.condition(condition) for condition in self.query.conditions]
        parts += [extra] if extra else []
        return f" WHERE {' AND '.join(parts)}" if parts else ""

    def _rows(self) -> str:
        columns = (
            ", ".join(
                f"{self.ref(ref)}{self._alias(ref)}" for ref in self.query.columns
            )
            or "*"
        )
        not_empty = (
            f"{self.ref(self.query.order)} IS NOT NULL"
            if self.query.order and self.query.is_superlative
            else ""
        )
        sql = f"SELECT {columns} {self._from()}{self._where(not_empty)}"
        keys = (
            [self.ref(self.query.order)]
            if self.query.order
            else self._time_keys()
            if self.query.time_order
            else []
        )
        if keys:
            way = " DESC" if self.query.descending else ""
            sql += " ORDER BY " + ", ".join(f"{key}{way}" for key in keys)
        return f"{sql} LIMIT {self.query.limit or 10}"

    def _alias(self, ref: Ref) -> str:
        return f" AS {quote(ref.label.replace(' ', '_'))}" if ref.path else ""

    def _time_keys(self) -> list[str]:
        parts = [
            column
            for name in ("year", "month", "day", "hour", "minute")
            if (column := self.table.part(name))
        ]
        if any(column.part in {"year", "month", "day"} for column in parts):
            return [self._qualify(column, ()) for column in parts]
        return [self._date()]

    def _aggregated(self) -> str:
        groups = [item for group in self.query.groups for item in self._group(group)]
        names = [
            f"min({self.ref(group.name_ref)}) AS {quote(group.name_ref.label.replace(' ', '_'))}"
            for group in self.query.groups
            if group.name_ref
        ]
        measures = [
            f"{self.measure(measure)} AS {quote(self.heading(measure))}"
            for measure in self.query.measures
        ]
        sql = f"SELECT {', '.join([*groups, *names, *measures])} {self._from()}{self._where()}"
        if not groups:
            return sql
        sql += f" GROUP BY {', '.join(str(position) for position in range(1, len(groups) + 1))}"
        if self.query.having is not None:
            sql += f" HAVING {self.measure(self.query.measures[0])} {self.query.having.operator} {literal(self.query.having.values[0])}"
        return sql + self._group_order(len(groups), len(groups) + len(names) + 1)

    def _group_order(self, keys: int, first_measure: int) -> str:
        in_time = (
            any(group.grain for group in self.query.groups)
            and not self.query.is_superlative
        )
        by_key = [str(position) for position in range(1, keys + 1)]
        by_measure = (
            []
            if not self.query.measures
            else [f"{first_measure}{' DESC' if self.query.descending else ''}"]
        )
        order = by_key if in_time or not by_measure else [*by_measure, *by_key]
        return f" ORDER BY {', '.join(order)} LIMIT {self.query.limit or MAX_GROUPS}"

    def _mean_over_groups(self) -> str:
        group = Group(ref=self.query.per_ref, grain=self.query.per_grain)
        keys = self._group(group)
        if group.grain == "hour":
            keys = [
                *self._group(Group(grain="day")),
                *keys,
            ]  # each day's hours, not the hours of the day
        measure = self.query.measures[0]
        positions = ", ".join(str(position) for position in range(1, len(keys) + 1))
        inner = f"SELECT {', '.join(keys)}, {self.measure(measure)} AS each_one {self._from()}{self._where()} GROUP BY {positions}"
        return f"SELECT avg(each_one) AS {quote(f'average_{group.label}'.replace(' ', '_'))}, count(*) AS {quote(plural(group.label))} FROM ({inner}) AS each_group"  # noqa: S608  # of quoted names

    # --- expressions ---

    def heading(self, measure: Measure) -> str:
        if measure.aggregate == "count":
            return plural(self.table.noun)
        if measure.aggregate == "share":
            return "percent"
        names = [ref.column.name for ref in (measure.ref, measure.times) if ref]
        word = {
            "sum": "total",
            "avg": "average",
            "min": "lowest",
            "max": "highest",
            "median": "median",
            "distinct": "different",
        }[measure.aggregate]
        return "_".join([word, *names])

    def measure(self, measure: Measure) -> str:
        if measure.aggregate == "count":
            return "count(*)"
        if measure.aggregate == "share":
            return self._share(measure)
        factors = [ref for ref in (measure.ref, measure.times) if ref]
        value = " * ".join(self.ref(ref) for ref in factors)
        return (
            f"count(DISTINCT {value})"
            if measure.aggregate == "distinct"
            else f"{measure.aggregate}({value})"
        )

    def _share(self, measure: Measure) -> str:
        test = " AND ".join(
            self.condition(condition) for condition in measure.conditions
        )
        if measure.ref is None:
            return f"100.0 * sum(CASE WHEN {test} THEN 1 ELSE 0 END) / count(*)"
        value = self.ref(measure.ref)
        return f"100.0 * sum(CASE WHEN {test} THEN {value} ELSE 0 END) / sum({value})"

    def condition(self, condition: Condition | TimeCondition) -> str:
        if isinstance(condition, TimeCondition):
            return self._time_condition(condition)
        column = self.ref(condition.ref)
        match condition.operator:
            case "null":
                return f"{column} IS NULL"
            case "not null":
                return f"{column} IS NOT NULL"
            case "in" | "not in":
                listed = ", ".join(literal(value) for value in condition.values)
                return f"{column} {'IN' if condition.operator == 'in' else 'NOT IN'} ({listed})"
            case "above average" | "below average":
                sign = ">" if condition.operator == "above average" else "<"
                name = quote(condition.ref.column.name)
                return f"{column} {sign} (SELECT avg({name}) FROM {quote(self.table.name)})"  # noqa: S608  # of quoted names
            case operator:
                return f"{column} {'<>' if operator == '!=' else operator} {literal(condition.values[0])}"

    # --- time ---

    def _date(self) -> str:
        if self.query.date is None:
            raise UntellableTimeError
        name = self.ref(self.query.date)
        is_text = self.query.date.column.is_text_date
        return f"CAST({name} AS TIMESTAMP)" if is_text else name

    def _digits(self, form: str) -> str:
        return f"CAST(strftime({self._date()}, '{form}') AS INTEGER)"

    def _part(self, name: str) -> str:
        column = self.table.part(name)
        return self._qualify(column, ()) if column else ""

    def _group(self, group: Group) -> list[str]:
        if group.grain is not None:
            return self._stretch(group.grain)
        return [f"{self.ref(ref)}{self._alias(ref)}" for ref in (group.ref,) if ref]

    def _stretch(self, grain: Grain) -> list[str]:
        """A stretch of time: by the table's own columns for its parts where it has them, else from its date."""
        parts = {
            "year": ["year"],
            "month": ["year", "month"],
            "day": ["year", "month", "day"],
            "hour": ["hour"],
        }.get(grain, [])
        own = [self._part(name) for name in parts if self._part(name)]
        if own and self._part(grain):
            return own
        if grain == "weekday":
            return [f"{self._weekday()} AS weekday"]
        if grain == "quarter":
            month = self._digits("%m")
            quarter = f"CASE WHEN {month} <= 3 THEN 1 WHEN {month} <= 6 THEN 2 WHEN {month} <= 9 THEN 3 ELSE 4 END"
            return [f"{self._digits('%Y')} AS year", f"{quarter} AS quarter"]
        form = {
            "year": "%Y",
            "month": "%Y-%m",
            "week": "%Y-W%W",
            "day": "%Y-%m-%d",
            "hour": "%H",
        }[grain]
        return [f"strftime({self._date()}, '{form}') AS {quote(grain)}"]

    def _weekday(self) -> str:
        year, month, day = self._part("year"), self._part("month"), self._part("day")
        if year and month and day and self.table.source.dialect == "duckdb":
            return f"CAST(strftime(make_date({year}, {month}, {day}), '%w') AS INTEGER)"
        if (
            self.table.source.dialect == "postgres"
        ):  # its to_char counts weekdays from 1
            return f"CAST(EXTRACT(dow FROM {self._date()}) AS INTEGER)"
        return self._digits("%w")

    def _time_condition(self, condition: TimeCondition) -> str:
        value = self._time_value(condition.unit)
        if condition.choices:
            return (
                f"{value} IN ({', '.join(str(choice) for choice in condition.choices)})"
            )
        if condition.low is not None and condition.low == condition.high:
            return self._exactly(condition.unit, condition.low, value)
        bounds = []
        if condition.low is not None:
            bounds.append(f"{value} >= {condition.low}")
        if condition.high is not None:
            bounds.append(f"{value} <= {condition.high}")
        return " AND ".join(bounds)

    def _exactly(self, unit: str, number: int, value: str) -> str:
        """Spelt out part by part where the table keeps the parts: it reads better, and an index can serve it."""
        named = {"y": "year", "m": "month", "d": "day"}
        columns = [self._part(named[letter]) for letter in unit if letter in named]
        if len(columns) != len(unit) or not all(columns):
            return f"{value} = {number}"
        numbers = []
        for letter in reversed(unit):
            size = 10_000 if letter == "y" else 100
            numbers.append(number % size)
            number //= size
        return " AND ".join(
            f"{column} = {digits}"
            for column, digits in zip(columns, reversed(numbers), strict=True)
        )

    def _time_value(self, unit: str) -> str:
        if unit == "w":
            return self._weekday()
        if unit == "h":
            return self._part("hour") or self._digits("%H")
        names = {"y": "year", "m": "month", "d": "day"}
        parts = [self._part(names[letter]) for letter in unit]
        if all(parts):
            value = parts[0]
            for part in parts[1:]:
                value = f"({value} * 100 + {part})"
            return value
        return self._digits(
            "".join(
                f"%{letter.upper() if letter == 'y' else letter}" for letter in unit
            )
        )


def _names(path: tuple[Link, ...]) -> tuple[str, ...]:
    return tuple(f"{link.left.name}>{link.table.name}" for link in path)


SPOKEN = {
    "=": "is",
    "!=": "is not",
    ">": "is more than",
    ">=": "is at least",
    "<": "is less than",
    "<=": "is at most",
    "in": "is",
    "not in": "is not",
}


def _speak(label: str, operator: str, values: tuple[Any, ...]) -> str:
    if operator in {"null", "not null"}:
        return f"{label} is {'empty' if operator == 'null' else 'not empty'}"
    if operator.endswith("average"):
        return f"{label} is {operator}"
    listed = " or ".join(speak_value(value) for value in values)
    return f"{label} {SPOKEN[operator]} {listed}"


def speak_value(value: Any) -> str:
    """A value as the answers write it: whole numbers whole, others with two decimals at most."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            str(int(value))
            if value.is_integer()
            else f"{value:.2f}".rstrip("0").rstrip(".")
        )
    return str(value)
