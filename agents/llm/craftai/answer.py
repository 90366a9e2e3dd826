"""Rows as an answer: a sentence that says what was asked and found, and a small table where there is more than one number."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.llm.craftai.catalogue import Catalogue, Table
from agents.llm.craftai.query import (
    Condition,
    Group,
    Measure,
    Query,
    TimeCondition,
    speak_value,
)
from agents.llm.craftai.words import WEEKDAYS, plural

TABLE_ROWS = 20


@dataclass
class Answer:
    text: str
    columns: list[str] = field(default_factory=list)
    rows: list[list[Any]] = field(default_factory=list)
    is_table_shown: bool = True

    def as_json(self) -> dict[str, Any]:
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"answer": self.text.split("\n\n|")[0], "rows": rows}


def write_answer(
    query: Query,
    rows: list[dict[str, Any]],
    *,
    has_more: bool,
    total: int | None = None,
) -> Answer:
    if query.per_grain or query.per_ref:
        answer = _mean_over_groups(query, rows)
    elif query.shape == "rows":
        answer = _list_rows(query, rows, has_more=has_more, total=total)
    elif query.shape == "groups":
        answer = _groups(query, rows, has_more=has_more)
    else:
        answer = _values(query, rows)
    answer.text = _with_table(
        "\n\n".join([*_unread(query), answer.text.replace("..", "."), *query.notes]),
        answer,
    )
    return answer


def _unread(query: Query) -> list[str]:
    if not query.unread:
        return []
    words = ", ".join(f"“{word}”" for word in query.unread)
    return [
        f"I could not place {words} in this data, so that is not part of what follows."
    ]


def _with_table(text: str, answer: Answer) -> str:
    if not answer.rows or not answer.is_table_shown:
        return text
    return f"{text}\n\n{markdown(answer.columns, answer.rows)}"


def markdown(columns: list[str], rows: list[list[Any]]) -> str:
    lines = [_line(columns), _line(["---"] * len(columns))]
    lines += [_line([speak_value(cell) for cell in row]) for row in rows[:TABLE_ROWS]]
    if len(rows) > TABLE_ROWS:
        lines.append(f"\n… and {len(rows) - TABLE_ROWS} more.")
    return "\n".join(lines)


def _line(cells: list[str]) -> str:
    safe = [str(cell).replace("|", "\\|").replace("\n", " ")[:200] for cell in cells]
    return f"| {' | '.join(safe)} |"


# --- one number, or a few ---


def _values(query: Query, rows: list[dict[str, Any]]) -> Answer:
    values = list(rows[0].values()) if rows else [None] * len(query.measures)
    if query.shape == "exists":
        return Answer(_existence(query, values[0] or 0))
    sentences = [
        _value(query, measure, value)
        for measure, value in zip(query.measures, values, strict=True)
    ]
    return Answer(" ".join(sentences))


def _existence(query: Query, count: int) -> str:
    return f"{'Yes' if count else 'No'}: {_count_sentence(query, count)}"


def _count_sentence(query: Query, count: int) -> str:
    noun = query.table.noun
    verb, things = ("is", noun) if count == 1 else ("are", plural(noun))
    said = (
        _where(query)
        if count != 1
        else _where(query).replace(" that are ", " that is ", 1)
    )
    return f"there {verb} {count} {things}{said}."


def _value(query: Query, measure: Measure, value: Any) -> str:
    if measure.aggregate == "count":
        return _capital(_count_sentence(query, int(value or 0)))
    if measure.aggregate == "share":
        return _share(query, measure, value)
    if value is None:
        return f"There is no {measure.label} to tell: no {plural(query.table.noun)} with a value{_where(query)}."
    if measure.aggregate == "distinct":
        label = (
            measure.label
            if value != 1
            else f"{measure.ref.label if measure.ref else ''}"
        )
        return f"There {'is' if value == 1 else 'are'} {value} {label}{_where(query)}."
    return (
        f"The {measure.label}{_where(query)} is {speak_value(value)}{_unit(measure)}."
    )


def _unit(measure: Measure) -> str:
    delays = (
        measure.ref is not None
        and measure.ref.column.is_about("delay")
        and measure.aggregate != "share"
    )
    return (
        " minutes"
        if delays
        and measure.ref is not None
        and measure.ref.column.name in {"dep_delay", "arr_delay"}
        else ""
    )


def _share(query: Query, measure: Measure, value: Any) -> str:
    meant = " and ".join(str(condition) for condition in measure.conditions)
    whole = (
        f"the total {measure.ref.label}" if measure.ref else plural(query.table.noun)
    )
    if value is None:
        return f"There are no {plural(query.table.noun)}{_where(query)}, so there is no share to tell."
    percent = speak_value(_number(value))
    if all(
        isinstance(condition, Condition) and condition.spoken
        for condition in measure.conditions
    ):
        return f"{percent}% of {whole}{_where(query)} are {meant}."
    return f"In {percent}% of {whole}{_where(query)}, {meant}."


def _where(query: Query) -> str:
    """`on January 3 that are late where origin is JFK`."""
    wheres = [
        condition for condition in query.conditions if isinstance(condition, Condition)
    ]
    said = [
        str(condition)
        for condition in query.conditions
        if isinstance(condition, TimeCondition)
    ]
    kinds = [condition.spoken for condition in wheres if condition.spoken]
    columns = [str(condition) for condition in wheres if not condition.spoken]
    if kinds:
        said.append(f"that are {' and '.join(kinds)}")
    if columns:
        said.append(f"where {' and '.join(columns)}")
    return "".join(f" {part}" for part in said)


def _mean_over_groups(query: Query, rows: list[dict[str, Any]]) -> Answer:
    group = Group(ref=query.per_ref, grain=query.per_grain)
    mean, number = list(rows[0].values()) if rows else (None, 0)
    if mean is None:
        return Answer(f"There are no {plural(query.table.noun)}{_where(query)}.")
    what = (
        plural(query.table.noun)
        if query.measures[0].aggregate == "count"
        else query.measures[0].label
    )
    return Answer(
        f"On average {speak_value(_number(mean))} {what} per {group.label}{_where(query)}, over {number} {plural(group.label)}."
    )


# --- groups ---


def _groups(query: Query, rows: list[dict[str, Any]], *, has_more: bool) -> Answer:
    if not rows:
        return Answer(f"There are no {plural(query.table.noun)}{_where(query)}.")
    columns, table = _group_table(query, rows)
    if query.is_superlative:
        return Answer(
            _winner(query, table), columns, table, is_table_shown=len(table) > 1
        )
    by = " and ".join(group.label for group in query.groups)
    what = " and ".join(_measure_words(query, measure) for measure in query.measures)
    more = f" The first {len(rows)} are shown." if has_more else ""
    having = f", of those with {_having(query, query.having)}" if query.having else ""
    thing = query.groups[0].label if len(query.groups) == 1 else "group"
    count = f" ({len(rows)} {thing if len(rows) == 1 else plural(thing)})"
    return Answer(
        f"{_capital(what)} by {by}{_where(query)}{having}{count}:{more}", columns, table
    )


def _having(query: Query, having: Condition) -> str:
    words = {
        ">": "more than",
        ">=": "at least",
        "<": "fewer than",
        "<=": "at most",
        "=": "exactly",
        "!=": "other than",
    }[having.operator]
    measure = query.measures[0]
    value = speak_value(having.values[0])
    if measure.aggregate == "count":
        return f"{words} {value} {plural(query.table.noun)}"
    return f"{measure.label} of {words} {value}"


def _measure_words(query: Query, measure: Measure) -> str:
    if measure.aggregate == "count":
        return f"number of {plural(query.table.noun)}"
    if measure.aggregate == "share":
        return f"percent of {plural(query.table.noun)} that are {' and '.join(str(condition) for condition in measure.conditions)}"
    return measure.label


def _group_table(
    query: Query, rows: list[dict[str, Any]]
) -> tuple[list[str], list[list[Any]]]:
    """The groups' keys, names and numbers; what a stretch of time is made of is put back together."""
    measures = len(query.measures)
    names = [group.name_ref.label for group in query.groups if group.name_ref]
    headings = list(rows[0])
    numbers = headings[-measures:] if measures else []
    keys = headings[: len(headings) - measures - len(names)]
    columns = (
        [group.label for group in query.groups]
        + names
        + [heading.replace("_", " ") for heading in numbers]
    )
    table = []
    for row in rows:
        left = [row[key] for key in keys]
        cells: list[Any] = []
        for position, group in enumerate(query.groups):
            others = len(query.groups) - position - 1
            taken = len(left) - others if group.grain else 1
            cells.append(_grain_value(group, left[:taken]) if group.grain else left[0])
            left = left[taken:]
        cells += [
            row[heading] for heading in headings[len(keys) : len(keys) + len(names)]
        ]
        table.append(cells + [_number(row[heading]) for heading in numbers])
    return columns, table


def _grain_value(group: Group, parts: list[Any]) -> Any:
    if group.grain == "weekday":
        return WEEKDAYS[int(parts[0])] if parts[0] is not None else None
    if group.grain == "quarter":
        return f"{parts[0]}-Q{parts[1]}"
    if len(parts) == 1 or None in parts:
        return parts[0]
    return "-".join(f"{int(part):02d}" for part in parts)


def _winner(query: Query, table: list[list[Any]]) -> str:
    first, measure = table[0], query.measures[0]
    names = sum(1 for group in query.groups if group.name_ref)
    key = ", ".join(speak_value(cell) for cell in first[: len(query.groups)])
    if names and first[len(query.groups)] is not None:
        key = f"{first[len(query.groups)]} ({key})"
    value = f"{speak_value(first[len(query.groups) + names])}{_unit(measure)}"
    way = "highest" if query.descending else "lowest"
    if measure.aggregate == "count":
        most = "most" if query.descending else "fewest"
        sentence = (
            f"{key} has the {most} {plural(query.table.noun)}{_where(query)}: {value}."
        )
    elif measure.aggregate == "share":
        sentence = f"{key} has the {way} share{_where(query)}: {value}% are {' and '.join(str(condition) for condition in measure.conditions)}."
    else:
        label = (
            measure.label
            if measure.aggregate not in {"max", "min"}
            else f"{measure.ref.label if measure.ref else ''}"
        )
        sentence = f"{key} has the {way} {label}{_where(query)}: {value}."
    others = [
        f"{other.label}: {speak_value(cell)}"
        for other, cell in zip(
            query.measures[1:], first[len(query.groups) + names + 1 :], strict=True
        )
    ]
    return f"{sentence[:-1]} ({', '.join(others)})." if others else sentence


# --- rows ---


def _list_rows(
    query: Query, rows: list[dict[str, Any]], *, has_more: bool, total: int | None
) -> Answer:
    noun = query.table.noun
    if not rows:
        return Answer(f"I found no {plural(noun)}{_where(query)}.")
    columns = list(rows[0])
    table = [
        [_number(cell) if isinstance(cell, float) else cell for cell in row.values()]
        for row in rows
    ]
    if len(rows) == 1:
        described = ", ".join(
            f"{column} {speak_value(cell)}"
            for column, cell in zip(columns, table[0], strict=True)
        )
        lead = _one_row_lead(query, rows[0])
        return Answer(f"{lead}: {described}.", columns, table, is_table_shown=False)
    order = _order_words(query)
    count = f"{total or len(rows)} {plural(noun)}"
    shown = (
        f", the first {len(rows)} shown"
        if has_more and not query.is_superlative
        else ""
    )
    return Answer(f"Here are {count}{_where(query)}{order}{shown}:", columns, table)


def _one_row_lead(query: Query, row: dict[str, Any]) -> str:
    noun = query.table.noun
    if not query.is_superlative:
        return f"One {noun}{_where(query)}"
    if query.time_order:
        return (
            f"The {'latest' if query.descending else 'earliest'} {noun}{_where(query)}"
        )
    label = query.order.label if query.order else "value"
    value = row.get(query.order.column.name) if query.order else None
    told = f" ({speak_value(_number(value))})" if value is not None else ""
    return f"The {noun} with the {'highest' if query.descending else 'lowest'} {label}{told}{_where(query)}"


def _order_words(query: Query) -> str:
    if query.time_order:
        return ", newest first" if query.descending else ", oldest first"
    if query.order is None:
        return ""
    return (
        f", by {query.order.label}, {'highest' if query.descending else 'lowest'} first"
    )


def _number(value: Any) -> Any:
    """Two decimals at most: what the table and the sentence show."""
    if isinstance(value, float):
        return (
            int(value) if value.is_integer() and abs(value) < 1e15 else round(value, 2)
        )
    if isinstance(value, str) and _is_decimal(value):
        return _number(float(value))
    return value


def _is_decimal(text: str) -> bool:
    whole, point, rest = text.lstrip("-").partition(".")
    return bool(point) and whole.isdigit() and rest.isdigit()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# --- about the data itself ---


def describe_sources(catalogue: Catalogue) -> Answer:
    lines = []
    for table in catalogue.tables:
        size = f"{table.row_count} rows, " if table.row_count is not None else ""
        names = ", ".join(column.name for column in table.columns)
        lines.append(
            f"- **{table.name}** ({table.source.name}): {size}{len(table.columns)} columns: {names}"
        )
    count = len(catalogue.tables)
    return Answer(
        f"I can read {count} {'table' if count == 1 else 'tables'}:\n\n"
        + "\n".join(lines)
        + "\n\n"
        + try_asking(catalogue)
    )


def try_asking(catalogue: Catalogue) -> str:
    examples = [
        question
        for table in sorted(catalogue.tables, key=lambda item: -(item.row_count or 0))[
            :3
        ]
        for question in example_questions(table)
    ]
    return "You can ask, for example:\n" + "\n".join(
        f"- {question}" for question in examples[:5]
    )


def example_questions(table: Table) -> list[str]:
    """Questions that this model answers for this very table."""
    things = plural(table.noun)
    examples = [f"How many {things} are there?"]
    groups = [
        column
        for column in table.categories
        if column is not table.key and column is not table.label
    ]
    measures = table.measures
    if groups:
        examples.append(f"Which {groups[0].label} has the most {things}?")
    if groups and measures:
        word = "total" if measures[0].adds_up else "average"
        examples.append(f"What is the {word} {measures[0].label} by {groups[0].label}?")
    elif measures:
        examples.append(f"What is the highest {measures[0].label}?")
    if table.dates or table.part("month"):
        examples.append(f"How many {things} per month?")
    return examples
