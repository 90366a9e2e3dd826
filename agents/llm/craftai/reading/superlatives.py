"""`the most`, `the longest`, `the latest`: what is first in some order, among groups or among rows."""

from __future__ import annotations

from agents.llm.craftai.catalogue import PERSONS, Column
from agents.llm.craftai.linking import (
    Mention,
)
from agents.llm.craftai.query import (
    Aggregate,
    Condition,
    Measure,
    Ref,
)
from agents.llm.craftai.reading.rows import ROWS_SHOWN, Rows
from agents.llm.craftai.reading.tables import MisreadError
from agents.llm.craftai.reading.vocabulary import BARE_SUPERLATIVES, EVENTS, MORE, SHOW
from agents.llm.craftai.words import (
    plural,
    stem,
)


class Superlatives(Rows):
    def _orders_rows(self) -> bool:
        """A superlative over the rows themselves: `the longest flight`, `my recent orders`, `which product is cheapest`."""
        meaning = self.superlative[1] if self.superlative else ""
        at = self.superlative_at
        if any(
            aggregate in {"avg", "sum", "count", "median"}
            for _, aggregate in self.aggregates
        ):
            return False
        things = [
            mention
            for mention in self.mentions
            if mention.names(self.table) or not self._measure_refs(mention)
        ]
        follows = any(
            mention.names(self.table)
            and 0 < mention.start - at <= 3
            and not any(at < other.start < mention.start for other in things)
            for mention in things
        )
        asked = self.question.find(r"\b(which|who|what)\b") is not None and any(
            self._is_row(mention) and self._asks_for(mention)
            for mention in self.mentions
        )
        is_person = self.question.find(r"\bwho\b") is not None
        owner = any(
            self._is_row(mention) and self._is_owner(mention, at)
            for mention in self.mentions
        )
        after = [token.stem for token in self.question.tokens[at + 1 : at + 3]]
        owner = owner or (
            "person" in after and any(word in PERSONS for word in self.table.words)
        )
        return (
            follows
            or asked
            or owner
            or is_person
            or meaning == "when"
            or bool(SHOW.search(self.question.lower))
        )

    def _asks_for(self, mention: Mention) -> bool:
        return any(
            mention.start in self._next_nouns(index)
            for index, token in enumerate(self.question.tokens)
            if token.word in {"which", "what"}
        )

    def _read_superlative(
        self, superlative: tuple[str, str], number: int | None, kinds: list[Aggregate]
    ) -> None:
        query = self.query
        order, meaning = superlative
        query.descending = order == MORE
        query.is_superlative = True
        if query.groups:
            query.measures = self._superlative_measures(kinds, meaning)
            query.limit = number or (5 if self._wants_several() else 1)
            query.shape = "groups"
            self._use_table_words()
            return
        self._order_rows(meaning)
        query.limit = number or (ROWS_SHOWN if self._wants_several() else 1)
        query.shape = "rows"
        self._use_table_words()
        query.columns = self._shown_columns()

    def _wants_several(self) -> bool:
        """`which carriers`, `top customers`, `recent orders`: said in the plural."""
        for mention in self.mentions:
            word = self.question.tokens[mention.end - 1].word
            is_thing = mention.names(self.table) or any(
                self._is_group_mention(mention, group) for group in self.query.groups
            )
            if (
                is_thing
                and word != stem(word)
                and plural(word) == word
                and self._is_subject(mention)
            ):
                return True
        return False

    def _is_subject(self, mention: Mention) -> bool:
        if not self.query.groups:
            return True
        return not (mention.names(self.table) and self._is_wanted(mention))

    def _superlative_measures(
        self, kinds: list[Aggregate], meaning: str
    ) -> list[Measure]:
        asked = [kind for kind in kinds if kind in {"avg", "sum", "median"}]
        if "share" in kinds or (
            meaning in {"best", "worst"} and self.question.find(r"\bon[- ]time\b")
        ):
            return [self._share_of_groups(meaning)]
        mention = self._measure_mention()
        if mention is not None and self.question.tokens[mention.start].word in EVENTS:
            self._use(mention.indexes)
            return [Measure("count")]
        if mention is not None:
            self._use(mention.indexes)
            return [
                self._measure(ref, asked[0] if asked else None)
                for ref in self._measure_refs(mention)
            ]
        if (
            asked
            and asked[0] == "sum"
            and (amount := self._amount_of(self.table)) is not None
        ):
            return [amount]
        if meaning == "delay" and self._late_refs():
            return [self._measure(ref, "avg") for ref in self._late_refs()]
        if meaning in {"best", "sold", "worst"}:
            return [self._measure_for_best(meaning)]
        said = self.question.tokens[self.superlative_at].word
        if said in BARE_SUPERLATIVES and "count" not in kinds:
            return [self._amount_of(self.table) or Measure("count")]
        if meaning in {"count", ""} or "count" in kinds:
            return (
                [self._amount_of(self.table) or Measure("count")]
                if self._speaks_of_money()
                else [Measure("count")]
            )
        if meaning == "when":
            return (
                [Measure("max" if self.query.descending else "min", self.query.date)]
                if self.query.date
                else [Measure("count")]
            )
        column = self._by_meaning(self.table, meaning)
        if column is None:
            raise MisreadError(
                f"{self.table.name} has no column for {meaning.split()[0]}.",
                [meaning.split()[0]],
            )
        return [
            self._measure(
                Ref(column),
                asked[0] if asked else ("max" if self.query.descending else "min"),
            )
        ]

    def _share_of_groups(self, meaning: str) -> Measure:
        """`the highest cancellation rate`: within each group, how many meet what was said of them."""
        tested = [
            condition
            for condition in self.query.conditions
            if isinstance(condition, Condition) and condition.spoken
        ] or [
            condition
            for condition in self.query.conditions
            if isinstance(condition, Condition)
        ]
        if not tested:
            raise MisreadError("I can't tell the share of what is meant.")
        self.query.conditions = [
            condition for condition in self.query.conditions if condition not in tested
        ]
        if meaning in {"best", "worst"}:
            self.query.descending = meaning == "best"
        return Measure("share", conditions=tuple(tested))

    def _order_rows(self, meaning: str) -> None:
        query = self.query
        if meaning == "when" or (
            meaning == ""
            and not self._measure_mention()
            and self.query.date is not None
            and self.question.find(r"\b(latest|newest)\b")
        ):
            clock = self._clock_mention()
            if clock is not None:
                query.order = clock
            elif (
                self.query.date is not None
                or self.table.part("day")
                or self.table.part("month")
                or self.table.part("year")
            ):
                query.time_order = True
            elif self.table.key is not None and self.table.key.kind == "number":
                query.order = Ref(self.table.key)
                query.notes.append(
                    f"{self.table.name} has no dates, so I went by {self.table.key.name}."
                )
            else:
                raise MisreadError(
                    f"{self.table.name} has no dates, so I can't tell what is recent."
                )
            return
        mention = self._measure_mention()
        if mention is not None:
            refs = self._measure_refs(mention)
            self._use(mention.indexes)
            query.order = refs[0]
            if len(refs) > 1:
                query.notes.append(
                    f"I went by {refs[0].column.name}; there is also {' and '.join(ref.column.name for ref in refs[1:])}."
                )
            return
        column = self._column_for_best(meaning)
        if column is None:
            raise MisreadError(
                f"I can't tell by which column to order {plural(self.table.noun)}.",
                [self.question.tokens[self.superlative_at].text],
            )
        query.order = Ref(column)

    def _column_for_best(self, meaning: str) -> Column | None:
        if meaning in {"best", "sold", "worst"}:
            measure = self._measure_for_best(meaning)
            return measure.ref.column if measure.ref else None
        if meaning in {"", "count"}:
            amount = self._amount_of(self.table)
            if amount is not None and amount.times is None and amount.ref is not None:
                return amount.ref.column
            return self.table.measures[0] if len(self.table.measures) == 1 else None
        return self._by_meaning(self.table, meaning)

    def _clock_mention(self) -> Ref | None:
        """`the earliest departure` is about a time of day."""
        for mention in self.mentions:
            for _, ref in self._refs(mention):
                if (
                    ref.column.is_clock
                    and "scheduled" not in ref.column.words
                    and not mention.names(self.table)
                    and mention.start > self.superlative_at
                ):
                    self._use(mention.indexes)
                    return ref
        return None

    def _read_extreme(self, superlative: tuple[str, str]) -> bool:
        """`what is the highest amount?`: a superlative that picks no thing gives the number itself."""
        order, meaning = superlative
        mention = self._measure_mention()
        asked = [
            aggregate
            for _, aggregate in self.aggregates
            if aggregate in {"avg", "sum", "median"}
        ]
        if asked or any(aggregate == "count" for _, aggregate in self.aggregates):
            return False
        refs = self._measure_refs(mention) if mention is not None else []
        if not refs and meaning not in {"", "count", "best", "worst", "sold", "when"}:
            column = self._by_meaning(self.table, meaning)
            refs = [Ref(column)] if column else []
        if not refs:
            return False
        if mention is not None:
            self._use(mention.indexes)
        self.query.measures = [
            Measure("max" if order == MORE else "min", ref) for ref in refs
        ]
        self.query.measures += [
            Measure("min" if order == MORE else "max", ref)
            for ref in refs
            if self._wants_both()
        ]
        self._use_table_words()
        return True

    def _wants_both(self) -> bool:
        words = {token.word for token in self.question.tokens}
        return bool(
            words & {"highest", "maximum", "max", "largest", "longest"}
        ) and bool(words & {"lowest", "minimum", "min", "smallest", "shortest"})
