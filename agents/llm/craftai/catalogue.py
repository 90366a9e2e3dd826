"""What this model has been told about the data: sources, their tables, and what kind of thing each column holds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from agents.llm.craftai.words import (
    GENERIC,
    label_of,
    likeness,
    singular,
    split_name,
    stem,
)

Kind = Literal["number", "text", "date", "boolean"]

NUMBERS = re.compile(r"INT|DEC|NUM|DOUB|FLOAT|REAL|MONEY|SERIAL", re.IGNORECASE)
DATES = re.compile(r"^(DATE|TIMESTAMP|DATETIME)", re.IGNORECASE)
BOOLEANS = re.compile(r"^BOOL", re.IGNORECASE)
ISO_DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$")

PARTS = ("year", "quarter", "month", "week", "day", "hour", "minute")
"""Columns of numbers by these names hold a part of a date."""

ID_ENDINGS = frozenset(
    """
    id key code number uuid guid sku zip postcode phone ean isbn iban latitude longitude lat lon
    """.split()  # noqa: SIM905  # read more easily as text
)
CLOCK_SIDES = frozenset(
    stem(word)
    for word in """
    departure arrival start end open close scheduled boarding begin finish
    """.split()  # noqa: SIM905  # read more easily as text
)
SIZES = frozenset(
    stem(word)
    for word in """
    delay price rate rating score age temperature percent percentage average ratio salary height weight length width depth distance duration time
    speed fare fee margin level grade rank index latency star
    """.split()  # noqa: SIM905  # read more easily as text
)
"""Numbers of which the mean says something and the sum does not, unless asked for."""

PERSONS = """
    customer client user employee member person buyer student patient driver author manager agent owner teacher doctor name
    """.split()  # noqa: SIM905  # read more easily as text
NO_NOUNS = frozenset(
    """
    data sheet export table report file upload all raw tbl my new old the dim fact csv list sample demo copy final backup week month year day quarter
    january february march april may june july august september october november december jan feb mar apr jun jul aug sep oct nov dec
    """.split()  # noqa: SIM905  # read more easily as text
)
COMPANIES = ("carrier", "company", "supplier", "store")
"""Who did it, where no person is known."""
LABELS = [
    "name",
    "title",
    "label",
    "full_name",
    "fullname",
    "display_name",
    "username",
    "subject",
]


@dataclass(frozen=True, eq=False)
class Column:
    name: str
    type: str
    samples: tuple[Any, ...] = ()
    table_words: tuple[str, ...] = field(default=(), repr=False)

    @cached_property
    def words(self) -> list[str]:
        return split_name(self.name) or [self.name.lower()]

    @cached_property
    def stems(self) -> list[str]:
        return [stem(word) for word in self.words]

    @cached_property
    def label(self) -> str:
        return label_of(self.name)

    @cached_property
    def is_text_date(self) -> bool:
        texts = [value for value in self.samples if isinstance(value, str) and value]
        return (
            self._declared == "text"
            and bool(texts)
            and all(ISO_DATE.match(text) for text in texts)
        )

    @cached_property
    def _declared(self) -> Kind:
        if BOOLEANS.match(self.type):
            return "boolean"
        if DATES.match(self.type):
            return "date"
        return (
            "number"
            if NUMBERS.search(self.type) and "INTERVAL" not in self.type.upper()
            else "text"
        )

    @cached_property
    def kind(self) -> Kind:
        return "date" if self.is_text_date else self._declared

    @property
    def part(self) -> str | None:
        """The part of a date that this column of numbers holds."""
        return (
            self.name.lower()
            if self.kind == "number" and self.name.lower() in PARTS
            else None
        )

    @cached_property
    def is_identifier(self) -> bool:
        own = self.words[-1] in ID_ENDINGS or self.name.lower() in ID_ENDINGS
        names_its_row = self.kind == "number" and self.words == list(self.table_words)
        return (
            own
            or names_its_row
            or any(self.words == [word] for word in self.table_words)
        )

    @cached_property
    def is_clock(self) -> bool:
        """A time of day written as a number: 517 for 5:17."""
        return (
            self.kind == "number"
            and self.words[-1] == "time"
            and bool(CLOCK_SIDES & set(self.stems))
        )

    @property
    def is_measure(self) -> bool:
        return self.kind == "number" and not (
            self.is_identifier or self.part or self.is_clock
        )

    @property
    def adds_up(self) -> bool:
        return self.is_measure and not (SIZES & set(self.stems))

    @property
    def is_category(self) -> bool:
        return self.kind in {"text", "boolean"}

    def is_about(self, *words: str) -> bool:
        return any(
            likeness(own, stem(word)) > 0 for own in self.stems for word in words
        )


@dataclass(frozen=True, eq=False)
class Table:
    name: str
    columns: tuple[Column, ...]
    row_count: int | None
    source: Source

    @cached_property
    def words(self) -> list[str]:
        return [singular(word) for word in split_name(self.name)] or [self.name.lower()]

    @cached_property
    def stems(self) -> list[str]:
        return [stem(word) for word in self.words]

    @cached_property
    def noun(self) -> str:
        """What one row is, as far as the table's name says: `flights_week1` → flight, `order_items` → order item."""
        told = [
            word for word in self.words if word not in NO_NOUNS and not word.isdigit()
        ]
        return " ".join(told) or "row"

    def column(self, name: str) -> Column | None:
        return next(
            (column for column in self.columns if column.name.lower() == name.lower()),
            None,
        )

    @cached_property
    def key(self) -> Column | None:
        """The column that names a row, as far as names can tell."""
        for column in self.columns:
            own_id = column.words[-1] in {"id", "uuid"} and column.words[:-1] in (
                [],
                self.words,
            )
            if own_id or column.words in (self.words, self.noun.split()):
                return column
        first = self.columns[0] if self.columns else None
        return (
            first
            if first is not None and (first.kind == "text" or first.is_identifier)
            else None
        )

    @cached_property
    def label(self) -> Column | None:
        """The column that says what a row is called."""
        texts = [column for column in self.columns if column.kind == "text"]
        for column in texts:
            if column.name.lower() in LABELS or (
                column.words[-1] == "name" and column.words[0] in {*self.words, "name"}
            ):
                return column
        return next(
            (
                column
                for column in texts
                if column.words[-1] in {"name", "title"} and column is not self.key
            ),
            None,
        )

    def part(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.part == name), None)

    @cached_property
    def dates(self) -> list[Column]:
        return [column for column in self.columns if column.kind == "date"]

    @cached_property
    def measures(self) -> list[Column]:
        return [column for column in self.columns if column.is_measure]

    @cached_property
    def categories(self) -> list[Column]:
        return [
            column
            for column in self.columns
            if column.is_category and not column.is_text_date
        ]


@dataclass(frozen=True)
class Link:
    """`left` of one table finds at most one row of `table` by its `key`."""

    left: Column
    table: Table
    key: Column


@dataclass(eq=False)
class Source:
    id: str
    name: str
    dialect: str
    tables: list[Table] = field(default_factory=list)
    error: str = ""

    def links_from(self, table: Table) -> list[Link]:
        return [
            link
            for other in self.tables
            if other is not table and (link := link_between(table, other)) is not None
        ]


@dataclass(frozen=True)
class Found:
    """Words of the question that stand as a value in the data."""

    phrase: str
    table: Table
    column: Column
    value: Any
    count: int


@dataclass
class Catalogue:
    sources: list[Source]
    found: list[Found] = field(default_factory=list)

    @property
    def tables(self) -> list[Table]:
        return [table for source in self.sources for table in source.tables]

    def with_found(self, hits: dict[str, Any]) -> Catalogue:
        """Knowing also where the question's words stand as values."""
        tables = {(table.source.id, table.name): table for table in self.tables}
        found = []
        for hit in hits.get("found", []):
            table = tables.get((hit["source_id"], hit["table"]))
            column = table.column(hit["column"]) if table else None
            if table is not None and column is not None:
                found.append(
                    Found(hit["phrase"], table, column, hit["value"], hit["count"])
                )
        return Catalogue(self.sources, found)

    def has_word(self, word: str) -> bool:
        """Whether it is a word of a table's name, or of the name of a column of numbers."""
        numbers = [
            column.words
            for table in self.tables
            for column in table.columns
            if column.kind != "text"
        ]
        return any(
            word in words
            for words in [*numbers, *(table.words for table in self.tables)]
        )


def link_between(table: Table, other: Table) -> Link | None:
    """How a row of `table` points at one of `other`: `carrier` at `airlines`, `customer_id` at `customers.id`."""
    key = other.key
    if key is None or (table.row_count or 0) < (other.row_count or 0):
        return None
    for column in table.columns:
        if column.part or column.kind in {"date", "boolean"} or column.is_measure:
            continue
        if column.name.lower() == key.name.lower() and key.name.lower() not in {
            "id",
            "name",
        }:
            return Link(column, other, key)
        if (
            column.words[:-1] == other.words
            and column.words[-1] == "id"
            and key.kind == column.kind
        ):
            return Link(column, other, key)
        if column.words == other.words:
            target = (
                key
                if key.kind == column.kind
                and (other.label is None or column.kind == "number")
                else other.label
            )
            if target is not None and target.kind == column.kind:
                return Link(column, other, target)
    return _link_by_meaning(table, other, key)


def _link_by_meaning(table: Table, other: Table, key: Column) -> Link | None:
    if key.kind != "text" or key is other.label:
        return None
    for column in table.columns:
        if (
            column.kind == "text"
            and len(column.words) == 1
            and column.stems[0] not in GENERIC
            and likeness(column.stems[0], other.stems[0]) > 0
        ):
            return Link(column, other, key)
    return None


def read_catalogue(described: dict[str, Any]) -> Catalogue:
    """From what the tool `describe_data` answered."""
    return Catalogue([_read_source(raw) for raw in described["sources"]])


def _read_source(raw: dict[str, Any]) -> Source:
    source = Source(
        raw["id"], raw["name"], raw.get("dialect", "duckdb"), error=raw.get("error", "")
    )
    source.tables = [_read_table(table, source) for table in raw.get("tables", [])]
    return source


def _read_table(raw: dict[str, Any], source: Source) -> Table:
    words = tuple(singular(word) for word in split_name(raw["name"]))
    rows = raw.get("sample", [])
    columns = tuple(
        Column(
            column["name"],
            column["type"],
            tuple(row.get(column["name"]) for row in rows),
            words,
        )
        for column in raw["columns"]
    )
    return Table(raw["name"], columns, raw.get("row_count"), source)
