"""What is counted, added up or averaged."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from agents.llm.craftai.catalogue import Column
from agents.llm.craftai.linking import (
    Mention,
)
from agents.llm.craftai.query import (
    Aggregate,
    Condition,
    Measure,
    Ref,
)
from agents.llm.craftai.reading.groups import Groups
from agents.llm.craftai.reading.tables import MisreadError
from agents.llm.craftai.reading.vocabulary import EVENTS, HOW, LATE, MONEY_WORDS, VERBS

T = TypeVar("T")


class Measures(Groups):
    def _read_measures(self, kinds: list[Aggregate]) -> None:
        query = self.query
        for position, (index, aggregate) in enumerate(self.aggregates):
            if aggregate == "share" or (
                aggregate == "sum" and position > 0 and self.aggregates[0][1] == "count"
            ):
                continue  # `how many … in total` is one wish
            later = [other for other, _ in self.aggregates[position + 1 :]]
            query.measures += self._measures_behind(
                index, aggregate, later[0] if later else len(self.question.tokens)
            )
        query.measures = distinct(query.measures)
        if not query.measures:
            query.measures = self._implied_measures()

    def _measures_behind(
        self, index: int, aggregate: Aggregate, end: int
    ) -> list[Measure]:
        if aggregate == "count":
            return [self._count_behind(index)]
        near = [
            mention
            for mention in self.mentions
            if index < mention.start
            and not self._is_grouped(mention)
            and not self._is_condition(mention)
        ]
        before = [
            mention
            for mention in reversed(self.mentions)
            if mention.end <= index + 1 and not self._is_grouped(mention)
        ]
        for mention in [
            *(item for item in near if item.start < end),
            *(item for item in near if item.start >= end),
            *before,
        ]:
            refs = self._measure_refs(mention)
            if refs and not (
                mention.names(self.table) and not self._names_measure(mention)
            ):
                self._use(mention.indexes)
                return self._ambiguous([Measure(aggregate, ref) for ref in refs])
        return [self._default_measure(index, aggregate)]

    def _ambiguous(self, measures: list[Measure]) -> list[Measure]:
        """Both readings where the words fit both: that is an answer, and picking one is a guess."""
        return measures[:3]

    def _default_measure(self, index: int, aggregate: Aggregate) -> Measure:
        amount = self._amount_of(self.table)
        unread = [
            token.text
            for token in self.question.tokens[index + 1 : index + 4]
            if token in self.question.unread()
        ]
        if aggregate == "sum":
            if amount is not None and (self._speaks_of_money() or not unread):
                self._use_words(MONEY_WORDS)
                return amount
            if (
                self.question.tokens[index].word
                in {"total", "overall", "altogether", "all", "combined"}
                and not unread
            ):
                return Measure("count")
        if (
            aggregate in {"avg", "median"}
            and amount is not None
            and not unread
            and amount.times is None
        ):
            return Measure(aggregate, amount.ref)
        if (asked := self._asked_how()) is not None:
            return Measure(aggregate, Ref(asked))
        if len(self.table.measures) == 1 and not unread:
            return Measure(aggregate, Ref(self.table.measures[0]))
        what = " ".join(unread) or self.question.tokens[index].text
        raise MisreadError(
            f"I find no numbers called “{what}” in {self.table.name}.", unread
        )

    def _asked_how(self) -> Column | None:
        """`how long is …`, `how far is …`."""
        match = self.question.find(r"\bhow (long|far|late|old|expensive|heavy|tall)\b")
        if match is None:
            return None
        self._use(self.question.indexes(*match.span()))
        return self._by_meaning(self.table, HOW[match[1]])

    def _count_behind(self, index: int) -> Measure:
        open_mentions = [
            item for item in self.mentions if item.start > index and not item.is_used
        ]
        mention = next(
            (
                item
                for item in open_mentions
                if not self._only_small_words_missing(index, item.start)
            ),
            None,
        )
        is_distinct = bool(self.question.find(r"\b(different|distinct|unique)\b"))
        if (
            mention is None
            or (mention.names(self.table) and not is_distinct)
            or self._is_late_word(mention)
        ):
            return Measure("count")
        group = self._group_ref(mention)
        refs = self._measure_refs(mention)
        if self.question.tokens[mention.start].word in EVENTS or (
            group and group.ref and group.ref.column.kind == "date" and not is_distinct
        ):
            self._use(mention.indexes)
            return Measure("count")
        if (
            group is not None
            and group.ref is not None
            and not (group.ref.column.part and not is_distinct)
            and not self._is_grouped(mention)
        ):
            self._use(mention.indexes)
            return Measure("distinct", group.ref)
        if refs and refs[0].column.adds_up:
            self._use(mention.indexes)
            return Measure("sum", refs[0])
        if grain := self._grain_at(mention.start):
            parts = self.table.part(grain[0])
            if parts is not None:
                self._use(mention.indexes)
                return Measure("distinct", Ref(parts))
        return Measure("count")

    def _only_small_words_missing(self, index: int, start: int) -> bool:
        """Something unknown stands between `how many` and the name: the name is not what is counted."""
        unread = self.question.unread()
        between = [
            token
            for token in self.question.tokens[index + 1 : start]
            if token in unread
        ]
        return bool(between)

    def _is_late_word(self, mention: Mention) -> bool:
        return self.question.tokens[mention.start].stem in {"delay", "late"}

    def _implied_measures(self) -> list[Measure]:
        """No word says what is wanted: the numbers that are named, or how many rows there are."""
        for mention in self.mentions:
            refs = self._measure_refs(mention)
            if (
                refs
                and not mention.names(self.table)
                and not self._is_condition(mention)
                and not self._is_grouped(mention)
                and not self._is_late_word_used(mention)
            ):
                self._use(mention.indexes)
                return self._ambiguous([self._measure(ref, None) for ref in refs])
        if (asked := self._asked_how()) is not None:
            return [self._measure(Ref(asked), None)]
        amount = self._amount_of(self.table) if self._speaks_of_money() else None
        if amount is not None:
            self._use_words(MONEY_WORDS)
            return [amount]
        return [Measure("count")]

    def _is_late_word_used(self, mention: Mention) -> bool:
        return mention.is_used or self.question.tokens[mention.start].word in LATE

    def _measure(self, ref: Ref, aggregate: Aggregate | None) -> Measure:
        """Without a word for it, what adds up is added up, and what does not is averaged."""
        if aggregate is not None:
            return Measure(aggregate, ref)
        return Measure("sum" if ref.column.adds_up else "avg", ref)

    def _measure_mention(self) -> Mention | None:
        """The number that a superlative or an aggregate is about: the first one named behind it, else before it."""
        used = [
            mention
            for mention in self.mentions
            if not mention.is_used
            and not self._is_condition(mention)
            and not self._is_grouped(mention)
        ]
        numbers = [
            mention
            for mention in used
            if self._measure_refs(mention)
            and not (mention.names(self.table) and not self._names_measure(mention))
        ]
        behind = [mention for mention in numbers if mention.start > self.superlative_at]
        return next(iter([*behind, *numbers]), None)

    def _measure_for_best(self, meaning: str) -> Measure:
        rating = next(
            (column for column in self.table.measures if column.is_about("rating")),
            None,
        )
        if meaning == "sold":
            quantity = next(
                (
                    column
                    for column in self.table.measures
                    if column.is_about("quantity") and column.adds_up
                ),
                None,
            )
            return (
                Measure("sum", Ref(quantity))
                if quantity
                else self._amount_of(self.table) or Measure("count")
            )
        if rating is not None:
            self.query.descending = meaning == "best"
            return Measure("avg", Ref(rating))
        if self._late_refs():
            self.query.descending = meaning == "worst"
            return Measure("avg", self._late_refs()[0])
        amount = self._amount_of(self.table) or Measure("count")
        self.query.descending = meaning == "best"
        return amount

    def _is_condition(self, mention: Mention) -> bool:
        refs = [ref.column for _, ref in self._refs(mention)]
        tokens = {self.question.tokens[index].word for index in mention.indexes}
        compared = any(
            comparison.start - mention.end in range(3)
            for comparison in self.comparisons
        )
        return (
            compared
            and any(
                isinstance(condition, Condition) and condition.ref.column in refs
                for condition in self.query.conditions
            )
            and not tokens & {"average"}
        )

    def _read_share(self) -> bool:
        """`what percentage of flights from JFK were late`: of the flights from JFK, the late ones."""
        query = self.query
        tested = self._tested()
        if not tested:
            if query.groups:
                return False
            raise MisreadError("I can't tell the share of what is meant.")
        query.conditions = [item for item in query.conditions if item not in tested]
        amount = self._amount_of(self.table) if self._speaks_of_money() else None
        whole = amount.ref if amount and amount.times is None else None
        query.measures = [Measure("share", whole, conditions=tuple(tested))]
        query.shape = "groups" if query.groups else "value"
        self._use_table_words()
        for mention in self.mentions:
            if whole and any(
                ref.column is whole.column for ref in self._measure_refs(mention)
            ):
                self._use(mention.indexes)
        return True

    def _tested(self) -> list[Condition]:
        """Which conditions the share is of, and not among: those behind the verb; of those, a judgement such as late rather than a name."""
        conditions = [
            item for item in self.query.conditions if isinstance(item, Condition)
        ]
        verb = self._verb_behind_share()
        behind = [
            item
            for item in conditions
            if self.said_at.get(item, len(self.question.tokens)) > verb
        ]
        chosen = behind or conditions
        judged = [item for item in chosen if item.spoken]
        return judged or chosen

    def _verb_behind_share(self) -> int:
        share = next(
            (index for index, aggregate in self.aggregates if aggregate == "share"), 0
        )
        words = enumerate(self.question.tokens)
        return next(
            (index for index, token in words if index > share and token.word in VERBS),
            -1,
        )


def distinct(items: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(items))
