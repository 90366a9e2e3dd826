"""One question from its words to its answer: which tools to call, in which order, and what to say in the end.

The dialogue is a generator: it yields a tool call, is sent the tool's result, and returns the answer. A model keeps no state between requests, so the
generator is begun anew at each and fed with the results that the messages already hold; being deterministic, it arrives at the same place.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from datetime import date
from typing import Any

from agents.llm.craftai.answer import (
    Answer,
    describe_sources,
    markdown,
    try_asking,
    write_answer,
)
from agents.llm.craftai.catalogue import (
    Catalogue,
    Column,
    Found,
    Link,
    Table,
    link_between,
    read_catalogue,
)
from agents.llm.craftai.linking import (
    Question,
    find_mentions,
    find_values,
    phrases_to_find,
)
from agents.llm.craftai.query import (
    Measure,
    Query,
    TimeCondition,
    UntellableTimeError,
    literal,
    quote,
    reach_sql,
    to_sql,
)
from agents.llm.craftai.reading import MisreadError, read_question
from agents.llm.craftai.talk import (
    NO_SOURCES,
    SQL,
    TOO_LONG,
    asks_about_data,
    asks_about_period,
    small_talk,
    without_greeting,
)

MAX_QUESTIONS = 3
MAX_TEXT = 1_000
ROWS_TO_SHOW = 100


@dataclass(frozen=True)
class ToolCall:
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class ToolResult:
    value: Any = None
    error: str = ""


Dialogue = Generator[ToolCall, ToolResult, Answer]


def converse(text: str, *, has_tools: bool, today: date) -> Dialogue:
    text = text.strip()
    said = small_talk(text)
    if said is not None:
        return Answer(said)
    if not has_tools:
        return Answer(NO_SOURCES)
    text = without_greeting(text)
    if len(text) > MAX_TEXT and not SQL.match(text):
        return Answer(TOO_LONG)
    described = yield ToolCall("describe_data", {})
    if described.error:
        return Answer(f"I could not look at the data: {described.error}")
    catalogue = read_catalogue(described.value)
    if not catalogue.tables:
        return Answer(_no_tables(catalogue))
    if SQL.match(text):
        return (yield from _run_given_sql(text, catalogue))
    if asks_about_period(text):
        return (yield from _tell_periods(catalogue))
    if asks_about_data(text):
        return describe_sources(catalogue)
    if phrases := phrases_to_find(text, catalogue):
        searched = yield ToolCall("describe_data", {"find": phrases})
        catalogue = catalogue.with_found({} if searched.error else searched.value)
    answers: list[Answer] = []
    for question in split_questions(text):
        answer = yield from _answer(question, catalogue, today)
        answers.append(answer)
    return _joined(answers)


def split_questions(text: str) -> list[str]:
    """`How many …? And which …?` are two questions; what is no question of its own stays with the one before."""
    parts = [part.strip() for part in re.findall(r"[^?]+\??", text)]
    questions = [part for part in parts if len(part.split()) >= 3] or [text]
    return [
        re.sub(r"^(?:and|also|then|,)\s+", "", part, flags=re.IGNORECASE)
        for part in questions[:MAX_QUESTIONS]
    ]


def _joined(answers: list[Answer]) -> Answer:
    if len(answers) == 1:
        return answers[0]
    return Answer(
        "\n\n".join(answer.text for answer in answers),
        answers[-1].columns,
        answers[-1].rows,
    )


def _no_tables(catalogue: Catalogue) -> str:
    broken = [
        f"{source.name}: {source.error}" for source in catalogue.sources if source.error
    ]
    if broken:
        return f"I can't read this agent's data at the moment. {' '.join(broken)}"
    return (
        NO_SOURCES
        if not catalogue.sources
        else "This agent's data sources hold no tables yet."
    )


def _answer(question: str, catalogue: Catalogue, today: date) -> Dialogue:
    catalogue = yield from _with_foreign_values(question, catalogue)
    try:
        query = read_question(question, catalogue, today)
        result = yield _query(query, to_sql(query))
    except MisreadError as error:
        return Answer(_misread(error, catalogue))
    except UntellableTimeError:
        return Answer(
            f"That table does not say when things happened. {try_asking(catalogue)}"
        )
    if result.error:
        return Answer(f"I could not run the query for this. {result.error}")
    rows = list(result.value["rows"])
    yield from _add_foreign_names(query, rows, catalogue)
    has_more = bool(result.value.get("truncated")) or (
        query.shape == "rows"
        and len(rows) >= (query.limit or 10)
        and not query.is_superlative
    )
    total = (
        (yield from _count_rows(query)) if has_more and query.shape == "rows" else None
    )
    answer = write_answer(query, rows, has_more=has_more, total=total)
    if _is_empty(query, rows) and (reach := (yield from _reach_of_dates(query))):
        answer.text += f"\n\n{reach}"
    return answer


def _count_rows(query: Query) -> Generator[ToolCall, ToolResult, int | None]:
    """More rows than are shown: how many there are."""
    counted = Query(
        query.table,
        measures=[Measure("count")],
        conditions=query.conditions,
        date=query.date,
    )
    result = yield _query(query, to_sql(counted))
    return (
        None
        if result.error or not result.value["rows"]
        else int(next(iter(result.value["rows"][0].values())))
    )


def _query(query: Query, sql: str) -> ToolCall:
    return ToolCall("query_data", {"source_id": query.table.source.id, "sql": sql})


def _misread(error: MisreadError, catalogue: Catalogue) -> str:
    said = str(error)
    if not said:
        words = ", ".join(f"“{word}”" for word in error.words[:5])
        said = (
            f"I find nothing about {words} in this agent's data."
            if words
            else "I don't see what to look up for this."
        )
    return f"{said}\n\n{try_asking(catalogue)}"


def _run_given_sql(text: str, catalogue: Catalogue) -> Dialogue:
    """Somebody who writes SQL gets its rows. The guard of the data sources judges it like any other."""
    named = [
        table
        for table in catalogue.tables
        if re.search(rf"\b{re.escape(table.name)}\b", text, re.IGNORECASE)
    ]
    table = named[0] if named else catalogue.tables[0]
    result = yield ToolCall(
        "query_data", {"source_id": table.source.id, "sql": text.rstrip("; \n")}
    )
    if result.error:
        return Answer(f"I could not run this statement. {result.error}")
    rows = result.value["rows"]
    answer = Answer(
        f"The statement gave {result.value['row_count']} rows.",
        list(result.value["columns"]),
        [list(row.values()) for row in rows],
    )
    if rows:
        answer.text += f"\n\n{markdown(answer.columns, answer.rows)}"
    return answer


def _is_empty(query: Query, rows: list[dict[str, Any]]) -> bool:
    if not rows:
        return True
    return query.shape in {"value", "exists"} and all(
        value in (None, 0) for value in rows[0].values()
    )


def _reach_of_dates(query: Query) -> Generator[ToolCall, ToolResult, str]:
    """Nothing found for a time: from when to when the data goes."""
    asks_when = any(isinstance(item, TimeCondition) for item in query.conditions)
    return (yield from _reach(query.table)) if asks_when else ""


def _reach(table: Table) -> Generator[ToolCall, ToolResult, str]:
    sql = reach_sql(table)
    if not sql:
        return ""
    result = yield ToolCall("query_data", {"source_id": table.source.id, "sql": sql})
    rows = [] if result.error else result.value["rows"]
    if not rows or rows[0]["earliest"] is None:
        return ""
    first, last = (_as_date(rows[0][name]) for name in ("earliest", "latest"))
    return f"The data in {table.name} goes from {first} to {last}."


def _as_date(value: Any) -> str:
    """20130103, put together from columns, or a date as text."""
    text = str(value)
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if text.isdigit() else text[:10]


def _tell_periods(catalogue: Catalogue) -> Dialogue:
    told = []
    for table in catalogue.tables:
        reach = yield from _reach(table)
        told += [reach] if reach else []
    return Answer(" ".join(told) or "None of the tables says when things happened.")


# --- what stands in another source ---


def _with_foreign_values(
    question: str, catalogue: Catalogue
) -> Generator[ToolCall, ToolResult, Catalogue]:
    """A name that only another source explains (`United` → UA) is looked up there, since no statement reaches across sources."""
    found = list(catalogue.found)
    for hit in _said_values(question, catalogue):
        for table in catalogue.tables:
            if table.source is hit.table.source or any(
                other.table is table and other.phrase == hit.phrase
                for other in catalogue.found
            ):
                continue
            link = link_between(table, hit.table)
            if link is None or link.key is hit.column:
                continue
            key = quote(link.key.name)
            sql = f"SELECT {key} AS code FROM {quote(hit.table.name)} WHERE {quote(hit.column.name)} = {literal(hit.value)} LIMIT 20"  # noqa: S608  # of quoted names and values
            result = yield ToolCall(
                "query_data", {"source_id": hit.table.source.id, "sql": sql}
            )
            if not result.error:
                found += [
                    Found(hit.phrase, table, link.left, row["code"], hit.count)
                    for row in result.value["rows"]
                ]
    return Catalogue(catalogue.sources, found)


def _said_values(text: str, catalogue: Catalogue) -> list[Found]:
    question = Question(text)
    for mention in find_mentions(question, catalogue, exact=True):
        question.take_tokens(mention.indexes)
    return [hit for value in find_values(question, catalogue) for hit in value.found]


def _add_foreign_names(
    query: Query, rows: list[dict[str, Any]], catalogue: Catalogue
) -> Generator[ToolCall, ToolResult, None]:
    """The names of codes that another source explains, put beside the codes."""
    if query.shape != "groups" or len(query.groups) != 1 or not rows:
        return
    ref = query.groups[0].ref
    if ref is None or ref.path or query.groups[0].name_ref is not None:
        return
    for table in catalogue.tables:
        link = (
            link_between(query.table, table)
            if table.source is not query.table.source
            else None
        )
        if (
            link is None
            or link.left is not ref.column
            or table.label is None
            or table.label is link.key
        ):
            continue
        yield from _name_codes(rows, link, table.label)
        return


def _name_codes(
    rows: list[dict[str, Any]], link: Link, label: Column
) -> Generator[ToolCall, ToolResult, None]:
    first = next(iter(rows[0]))
    codes = ", ".join(
        literal(row[first]) for row in rows[:ROWS_TO_SHOW] if row[first] is not None
    )
    if not codes:
        return
    key, table = quote(link.key.name), link.table
    sql = f"SELECT {key} AS code, min({quote(label.name)}) AS name FROM {quote(table.name)} WHERE {key} IN ({codes}) GROUP BY 1"  # noqa: S608  # of quoted names and values
    result = yield ToolCall("query_data", {"source_id": table.source.id, "sql": sql})
    if result.error:
        return
    names = {row["code"]: row["name"] for row in result.value["rows"]}
    for row in rows:
        code = row[first]
        row[first] = f"{names[code]} ({code})" if names.get(code) else code
