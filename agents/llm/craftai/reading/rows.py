"""Rows themselves instead of numbers about them: which, which columns of them, how many."""

from __future__ import annotations

from agents.llm.craftai.catalogue import PERSONS
from agents.llm.craftai.query import (
    Condition,
    Ref,
)
from agents.llm.craftai.reading.measures import Measures, distinct
from agents.llm.craftai.reading.vocabulary import EXISTS, SHOW, SUPERLATIVES
from agents.llm.craftai.words import (
    NUMBER_WORDS,
    likeness,
)

ROWS_SHOWN = 10
ROWS_LISTED = 20
MAX_COLUMNS = 8


class Rows(Measures):
    def _read_rows(self, number: int | None) -> bool:
        """`show the orders of …`, `what is the status of order 3`: rows and not numbers about them."""
        lower = self.question.lower
        asks = (
            bool(SHOW.search(lower))
            or bool(self.question.find(r"\b(which|who|whose|when|where|what)\b"))
            or self._asks_price()
        )
        asked = [
            mention
            for mention in self.mentions
            if not mention.is_used and not mention.names(self.table)
        ]
        names_rows = any(mention.names(self.table) for mention in self.mentions)
        is_phrase = bool(self.query.conditions) and (
            names_rows and self.mentions[0].start <= 1 if self.mentions else False
        )
        if EXISTS.search(lower) or not (
            asks or is_phrase or (asked and self._is_single_row())
        ):
            return False
        if not (
            asked
            or names_rows
            or self._is_single_row()
            or self.question.find(r"\b(rows?|records?|entries|everything|data)\b")
        ):
            return False
        query = self.query
        query.shape = "rows"
        self._use_table_words()
        query.columns = self._shown_columns()
        query.limit = number or ROWS_LISTED
        self._read_sort()
        return True

    def _asks_price(self) -> bool:
        """`how much does the desk cost` is about one row's number; a sum of prices means nothing."""
        if not self._is_single_row() or not self.question.find(r"\bhow much\b"):
            return False
        return any(
            refs and not refs[0].column.adds_up
            for refs in map(self._measure_refs, self.mentions)
        )

    def _read_sort(self) -> None:
        match = self.question.find(
            r"\b(?:sorted|ordered|ranked|sort|order|rank)(?: them)? by\s+(?:the\s+)?"
        )
        if match is None:
            return
        start = self.question.indexes(*match.span())[-1] + 1
        mention = next(
            (mention for mention in self.mentions if mention.start == start), None
        )
        refs = self._refs(mention) if mention else []
        if mention is not None and refs:
            self.query.order = refs[0][1]
            self.query.descending = not self.question.find(
                r"\b(ascending|asc|lowest first|smallest first|alphabetical\w*)\b"
            )
            self._use([*self.question.indexes(*match.span()), *mention.indexes])

    def _shown_columns(self) -> list[Ref]:
        """The columns asked for, with what identifies the row; or the whole row where it is small."""
        query = self.query
        asked: list[Ref] = []
        for mention in self.mentions:
            refs = self._refs(mention)
            if refs and not mention.names(self.table) and not mention.is_used:
                is_just_when = bool(self.times) and refs[0][1] == query.date
                asked += [] if is_just_when else [refs[0][1]]
                self._use(mention.indexes)
        if self.question.find(r"\bwhen\b|\bwhat (?:time|date|day)\b"):
            asked += self._when_columns()
        if self.question.find(r"\bwho\b") and not any(
            word in PERSONS for word in self.table.words
        ):
            asked += [
                Ref(column)
                for column in self.table.categories
                if column.is_about(*PERSONS[:-1])
            ][:1]
        if self.question.find(r"\bwhere\b"):
            asked += [
                Ref(column)
                for column in self.table.categories
                if column.is_about(
                    "destination", "city", "country", "address", "location"
                )
            ][:2]
        conditions = [
            condition.ref
            for condition in query.conditions
            if isinstance(condition, Condition)
        ]
        if self.question.find(r"\bhow much\b") and self.table.measures:
            asked += [
                Ref(column)
                for column in self.table.measures
                if column.is_about("price", "amount")
            ][:1]
        names = [
            column
            for column in self.table.categories
            if column.words[-1] == "name"
            and column.words[0] in {"first", "last", "full"}
        ]
        identity = [
            Ref(column)
            for column in (self.table.key, self.table.label, *names)
            if column is not None
        ]
        ordered = [query.order] if query.order else []
        explicit = [
            ref for ref in asked if ref not in conditions and ref not in ordered
        ]
        if explicit:
            return distinct([*identity, *conditions, *asked, *ordered])[:MAX_COLUMNS]
        if len(self.table.columns) <= MAX_COLUMNS and all(
            not ref.path for ref in (*conditions, *ordered)
        ):
            return []
        return self._usual_columns(identity, distinct([*conditions, *ordered]))

    def _usual_columns(self, identity: list[Ref], involved: list[Ref]) -> list[Ref]:
        rest = [
            Ref(column)
            for column in self.table.columns
            if column.kind == "text" or column.is_identifier
        ]
        parts = [self.table.part(name) for name in ("year", "month", "day")]
        when = [Ref(column) for column in parts if column] or [
            Ref(column) for column in self.table.dates[:1]
        ]
        return distinct([*when, *identity, *involved, *rest])[:MAX_COLUMNS]

    def _when_columns(self) -> list[Ref]:
        said = self.question.stems
        clocks = [
            column
            for column in self.table.columns
            if column.is_clock or column.kind == "date"
        ]
        about = [
            column
            for column in clocks
            if any(
                likeness(own, word) > 0
                for own in column.stems
                if own not in {"time", "date"}
                for word in said
            )
        ]
        if not about and self.query.date is not None:
            return [self.query.date]
        return [Ref(column) for column in (about or clocks)][:2]

    def _top_number(self) -> int | None:
        """The 5 of `top 5`, `5 largest`, `last 5 orders`."""
        for index, token in enumerate(self.question.tokens):
            amount = (
                token.number
                if token.number is not None
                else NUMBER_WORDS.get(token.word)
            )
            if (
                amount is None
                or not 0 < amount <= 100
                or amount != int(amount)
                or (token.number is not None and self.question.has_taken(index))
            ):
                continue
            around = {
                item.word for item in self.question.tokens[max(0, index - 2) : index]
            } | {item.word for item in self.question.tokens[index + 1 : index + 3]}
            is_shown = (
                bool(SHOW.search(self.question.lower))
                and index <= 4
                and token.number is not None
            )
            before = self.question.tokens[index - 1].word if index else ""
            picks = self.superlative is not None and before in {
                "which",
                "what",
                "the",
                "are",
                "were",
            }
            if is_shown or picks or around & {*SUPERLATIVES, "first", "last", "next"}:
                self._use([index])
                return int(amount)
        return None
