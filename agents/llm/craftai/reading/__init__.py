"""From a question in words to one query: which table, which rows, what is counted or measured, by what it is gathered, in which order.

A question is read by its parts, each of which takes its words: times, comparisons, names of columns and tables, values that stand in the data, then
the words that say what is wanted. What is left over is reported and never guessed at: a query that ignores half the question is worse than none.
"""

from __future__ import annotations

from datetime import date

from agents.llm.craftai.catalogue import Catalogue
from agents.llm.craftai.linking import find_mentions, find_values
from agents.llm.craftai.query import Condition, Measure, Query, Ref
from agents.llm.craftai.reading.superlatives import Superlatives
from agents.llm.craftai.reading.tables import MisreadError
from agents.llm.craftai.reading.vocabulary import CANT, EXISTS, LEADING
from agents.llm.craftai.times import find_times
from agents.llm.craftai.words import Token, are_like, likeness

__all__ = ["MisreadError", "read_question"]


def read_question(text: str, catalogue: Catalogue, today: date) -> Query:
    return _Reader(text, catalogue, today).read()


class _Reader(Superlatives):
    def read(self) -> Query:
        question = self.question
        for pattern, refusal in CANT:
            if question.find(pattern):
                raise MisreadError(refusal)
        self.times = find_times(
            question.lower, question.take, question.is_taken, self.today
        )
        self.comparisons = self._find_comparisons()
        self.mentions = find_mentions(question, self.catalogue, exact=True)
        self._hold(self.mentions)
        self.values = find_values(question, self.catalogue)
        self.mentions += self._hold(
            find_mentions(question, self.catalogue, exact=False)
        )
        self.mentions.sort(key=lambda mention: mention.start)
        self.aggregates = self._find_aggregates()
        self._find_superlative()
        self.table = self._choose_table()
        self.query = Query(self.table)
        self._settle_age()
        self._read_conditions()
        self._read_groups()
        self._read_wish()
        self._settle_unread()
        return self.query

    def _read_wish(self) -> None:
        query = self.query
        number = self._top_number()
        kinds = [aggregate for _, aggregate in self.aggregates]
        if query.per_grain or query.per_ref:
            query.measures = [Measure("count")]
            self._use_table_words()
            return
        if (
            "share" in kinds
            and not (self.superlative and query.groups)
            and self._read_share()
        ):
            return
        is_ordered = query.groups or self._orders_rows() or (number or 1) > 1
        if self.superlative is not None and is_ordered:
            self._read_superlative(self.superlative, number, kinds)
            return
        if self.superlative is not None and self._read_extreme(self.superlative):
            return
        looks_up = not kinds or (kinds == ["sum"] and self._asks_price())
        if (
            looks_up
            and self.superlative is None
            and not query.groups
            and self._read_rows(number)
        ):
            return
        if self.held is not None:
            if not query.groups:
                raise MisreadError("I can't tell of what the average is meant.")
            query.measures = [self.held]
        else:
            self._read_measures(kinds)
        self._use_table_words()
        query.shape = "groups" if query.groups else "value"
        if (
            not query.groups
            and EXISTS.search(self.question.lower)
            and query.measures == [Measure("count")]
        ):
            query.shape = "exists"
        if query.groups and number:
            query.limit = number
        if self.question.find(
            r"\b(ascending|lowest first|smallest first|increasing)\b"
        ):
            query.descending = False

    def _settle_unread(self) -> None:
        """What is left over is either said again in other words, or reported."""
        query = self.query
        stems = {own for ref in _refs_of(query) for own in ref.column.stems} | set(
            self.table.stems
        )
        stems |= {
            word
            for ref in _refs_of(query)
            for link in ref.path
            for word in link.table.stems
        }
        names = f"{self.table.source.name} {self.table.name}"
        left = [
            token
            for token in self.question.unread()
            if not any(likeness(own, token.stem) > 0 for own in stems)
            and not are_like(token.stem, names.split())
        ]
        query.unread = [
            token.text
            for token in left
            if token.stem not in {group.grain for group in query.groups}
        ]
        self._refuse_unplaced(left)

    def _refuse_unplaced(self, left: list[Token]) -> None:
        """A word that would have narrowed the rows, or that names what is counted, can't be left out: the answer would be to another question."""
        decisive = [token for token in left if self._is_decisive(token)]
        is_guess = (
            not any(mention.names(self.table) for mention in self.mentions)
            and not self.query.conditions
            and len(left) > len(self.mentions)
        )
        if decisive or is_guess:
            words = [token.text for token in decisive or left]
            raise MisreadError(
                f"I find no {' or '.join(f'“{word}”' for word in words[:4])} in {self.table.name}{self._hint_of_values(decisive)}.",
                words,
            )

    def _is_decisive(self, token: Token) -> bool:
        index = self.question.tokens.index(token)
        if token.kind in {"code", "number", "quoted", "mail", "date"} or (
            index and token.text[:1].isupper() and not self.question.text.isupper()
        ):
            return True
        before = [
            other.word for other in self.question.tokens[max(0, index - 2) : index]
        ]
        counted = any(
            aggregate == "count" and index - at in {1, 2}
            for at, aggregate in self.aggregates
        )
        return (
            counted
            or bool(set(before) & LEADING)
            or (self.superlative is not None and index == self.superlative_at + 1)
        )

    def _hint_of_values(self, decisive: list[Token]) -> str:
        """What the column that was perhaps meant holds instead: Boston, where the airports are codes."""
        if not decisive:
            return ""
        index = self.question.tokens.index(decisive[0])
        before = {
            other.word for other in self.question.tokens[max(0, index - 2) : index]
        }
        word = (
            "destination"
            if "to" in before
            else "origin"
            if before & {"from", "at", "left", "leaving"}
            else ""
        )
        column = next(
            (
                column
                for column in self.table.categories
                if word and column.is_about(word)
            ),
            None,
        )
        samples = (
            list(
                dict.fromkeys(
                    str(value) for value in column.samples if value is not None
                )
            )[:3]
            if column
            else []
        )
        return (
            f": its {column.label} is written like {', '.join(samples)}"
            if column and samples
            else ""
        )


def _refs_of(query: Query) -> list[Ref]:
    refs = [ref for group in query.groups for ref in (group.ref, group.name_ref) if ref]
    refs += [
        ref for measure in query.measures for ref in (measure.ref, measure.times) if ref
    ]
    refs += [
        condition.ref
        for condition in query.conditions
        if isinstance(condition, Condition)
    ]
    refs += [
        condition.ref
        for measure in query.measures
        for condition in measure.conditions
        if isinstance(condition, Condition)
    ]
    return refs + [ref for ref in (*query.columns, query.order, query.per_ref) if ref]
