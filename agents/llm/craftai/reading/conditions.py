"""Which rows count: values that stand in the data, ids, words such as late or cancelled, what is missing, and when."""

from __future__ import annotations

import re

from agents.llm.craftai.catalogue import Column, Found
from agents.llm.craftai.linking import (
    Mention,
    ValueMention,
)
from agents.llm.craftai.query import (
    Condition,
    Operator,
    Ref,
    TimeCondition,
)
from agents.llm.craftai.reading.comparisons import Comparisons
from agents.llm.craftai.reading.tables import MisreadError
from agents.llm.craftai.reading.vocabulary import EARLY, LATE
from agents.llm.craftai.words import (
    likeness,
)


class Conditions(Comparisons):
    def _read_conditions(self) -> None:
        query = self.query
        self._choose_date()
        for value in self.values:
            self._read_value(value)
        self._merge_values()
        self._read_identifier()
        for comparison in self.comparisons:
            self._read_comparison(comparison)
        self._read_average_comparison()
        self._read_predicates()
        self._read_booleans()
        self._read_missing()
        for condition in _merge_times(self.times):
            self._check_time(condition)
            query.conditions.append(condition)

    def _add(self, condition: Condition, index: int) -> None:
        self.query.conditions.append(condition)
        self.said_at[condition] = index

    def _choose_date(self) -> None:
        """The date that the question speaks of, or else the one that tells when a row was made; a linked table's where there is none."""
        own = [Ref(column) for column in self.table.dates]
        linked = [
            Ref(column, path)
            for path in self._paths(self.table)
            for column in path[-1].table.dates
        ]
        dates = own or linked
        said = self.question.stems
        about = [
            ref
            for ref in dates
            if any(
                likeness(word, other) > 0 for word in ref.column.stems for other in said
            )
        ]
        placed = [
            ref
            for ref in dates
            if ref.column.is_about("created", "placed", "order", "date")
        ]
        self.query.date = next(iter([*about, *placed, *dates]), None)

    def _check_time(self, condition: TimeCondition) -> None:
        if self.query.date is not None:
            return
        names = {"y": "year", "m": "month", "d": "day", "h": "hour"}
        missing = [
            names[letter]
            for letter in condition.unit
            if letter in names and self.table.part(names[letter]) is None
        ]
        if missing or (condition.unit == "w" and not self.table.part("day")):
            raise MisreadError(
                f"The table {self.table.name} does not say when, so I can't tell what was {condition.spoken}."
            )

    def _read_value(self, value: ValueMention) -> None:
        options = []
        for found in value.found:
            if found.table is self.table:
                options.append((Ref(found.column), found))
            elif (path := self._path_to(found.table)) is not None:
                options.append((Ref(found.column, path), found))
        if not options:
            return
        refs = {(ref.column.name, ref.path): ref for ref, _ in options}
        chosen = max(refs.values(), key=lambda ref: self._fit(ref, value, options))
        values = list(
            dict.fromkeys(
                found.value
                for ref, found in options
                if ref.column is chosen.column and ref.path == chosen.path
            )
        )
        others = [
            ref.label
            for ref in refs.values()
            if ref.column is not chosen.column and not ref.path
        ]
        phrase = " ".join(
            token.text for token in self.question.tokens[value.start : value.end]
        )
        if others and self._hint(chosen, value) == 0:
            self.query.notes.append(
                f"I took {phrase} as {chosen.label}; it also stands in {' and '.join(others)}."
            )
        negated = self._is_negated(value.start)
        operator: Operator = (
            ("!=" if negated else "=")
            if len(values) == 1
            else ("not in" if negated else "in")
        )
        self._add(Condition(chosen, operator, tuple(values)), value.start)
        self._use(value.indexes)
        self._use_beside(value, chosen)

    def _use_beside(self, value: ValueMention, ref: Ref) -> None:
        """`status pending`, `United Airlines`, `Chicago O'Hare (ORD)`: words beside a value that only say what it is."""
        for mention in self.mentions:
            is_beside = mention.start == value.end or mention.end == value.start
            of_column = any(
                candidate.column is ref.column
                or (candidate.column is None and candidate.table is not self.table)
                for candidate in mention.candidates
            )
            links = [link.left for link in ref.path[:1]]
            if (
                is_beside
                and (
                    of_column
                    or any(
                        candidate.column in links
                        for candidate in mention.candidates
                        if candidate.column
                    )
                )
                and not mention.names(self.table)
            ):
                mention.is_used = True
                self._use(mention.indexes)
        first = self.question.tokens[value.start]
        if self.question.text[: first.start].rstrip().endswith("("):
            names = [
                index
                for index in range(max(0, value.start - 4), value.start)
                if self.question.tokens[index].text[:1].isupper()
            ]
            self._use(names)

    def _fit(
        self, ref: Ref, value: ValueMention, options: list[tuple[Ref, Found]]
    ) -> tuple[float, float, int]:
        counts = [found.count for own, found in options if own.column is ref.column]
        return (self._hint(ref, value), -len(ref.path), sum(counts))

    def _hint(self, ref: Ref, value: ValueMention) -> float:
        """Whether the words before the value point at this column: `from JFK`, `status pending`, `carrier UA`."""
        before = self.question.tokens[max(0, value.start - 3) : value.start]
        after = self.question.tokens[value.end : value.end + 1]
        hint = 0.0
        for distance, token in enumerate(reversed(before)):
            if token.word in {
                "from",
                "out",
                "leaving",
                "left",
                "leave",
                "departing",
                "departed",
                "depart",
                "originating",
                "at",
            } and ref.column.is_about("origin"):
                hint = max(hint, 3.0 - distance - (1 if token.word == "at" else 0))
            if token.word in {
                "to",
                "into",
                "towards",
                "toward",
                "bound",
                "arriving",
                "landing",
                "arrived",
                "landed",
            } and ref.column.is_about("destination"):
                hint = max(hint, 3.0 - distance)
            if any(likeness(own, token.stem) > 0 for own in ref.column.stems):
                hint = max(hint, 2.5 - distance / 2)
        return max(
            [
                hint,
                *(
                    2.0
                    for token in after
                    if any(likeness(own, token.stem) > 0 for own in ref.column.stems)
                ),
            ]
        )

    def _merge_values(self) -> None:
        """Two values of one column mean either: no row holds both."""
        merged: list[Condition | TimeCondition] = []
        for condition in self.query.conditions:
            twin = next(
                (
                    other
                    for other in merged
                    if isinstance(other, Condition)
                    and isinstance(condition, Condition)
                    and _are_twins(other, condition)
                ),
                None,
            )
            if twin is None or not isinstance(condition, Condition):
                merged.append(condition)
                continue
            operator: Operator = "not in" if twin.operator in {"!=", "not in"} else "in"
            both = Condition(twin.ref, operator, (*twin.values, *condition.values))
            self.said_at[both] = self.said_at.get(twin, 0)
            merged[merged.index(twin)] = both
        self.query.conditions = merged

    def _read_identifier(self) -> None:
        """`order 1003`, `flight number 1545`: a number right behind what it names."""
        for mention in self.mentions:
            index = mention.end
            while index < len(self.question.tokens) and self.question.tokens[
                index
            ].word in {"number", "no", "id", "#", "nr", "code", "is", "with"}:
                index += 1
            token = (
                self.question.tokens[index]
                if index < len(self.question.tokens)
                else None
            )
            if token is None or token.number is None or self.question.has_taken(index):
                continue
            column = self._identifier_of(mention)
            if column is None:
                continue
            value = (
                int(token.number)
                if column.kind == "number" and token.number.is_integer()
                else token.text
            )
            self.query.conditions.append(Condition(Ref(column), "=", (value,)))
            self._use(range(mention.start, index + 1))

    def _identifier_of(self, mention: Mention) -> Column | None:
        named = [
            candidate.column
            for candidate in mention.columns_of(self.table)
            if candidate.column and candidate.column.is_identifier
        ]
        if named:
            return named[0]
        parts = [
            candidate.column
            for candidate in mention.columns_of(self.table)
            if candidate.column and candidate.column.part
        ]
        if parts:
            return parts[0]
        return self.table.key if mention.names(self.table) else None

    def _read_predicates(self) -> None:
        refs = self._late_refs()
        for index, token in enumerate(self.question.tokens):
            if self._is_value(index):
                continue
            if refs and self._counts_delays(index):
                self._read_lateness(index, refs[0], is_counted=True)
            elif refs and (token.word in LATE or token.word in EARLY):
                self._read_lateness(index, refs[0])
            elif token.stem == "cancel":
                self._read_cancelled(index)
        self._read_stock()
        match = self.question.find(r"\bon[- ]time\b")
        if refs and match is not None:
            indexes = self.question.indexes(*match.span())
            spoken = f"on time ({refs[0].column.name} at most 0)"
            self._add(Condition(refs[0], "<=", (0,), spoken=spoken), indexes[0])
            self._use(indexes)

    def _read_stock(self) -> None:
        match = self.question.find(
            r"\b(?:(?P<out>out of|sold out|no longer in)|in)\s*stock\b|\bsold out\b"
        )
        column = next(
            (column for column in self.table.measures if column.is_about("stock")), None
        )
        if match is None or column is None:
            return
        is_out = match["out"] is not None or "sold out" in match[0]
        self.query.conditions.append(
            Condition(
                Ref(column),
                "<=" if is_out else ">",
                (0,),
                spoken=f"{'out of' if is_out else 'in'} stock",
            )
        )
        self._use(self.question.indexes(*match.span()))
        for mention in self.mentions:
            mention.is_used = mention.is_used or any(
                index in mention.indexes
                for index in self.question.indexes(*match.span())
            )

    def _counts_delays(self, index: int) -> bool:
        token = self.question.tokens[index]
        counted = any(
            aggregate in {"count", "share"} and index - at in {1, 2}
            for at, aggregate in self.aggregates
        )
        most = (
            self.superlative is not None
            and self.superlative_at == index - 1
            and self.question.tokens[index - 1].word in {"most", "fewest"}
        )
        return token.word in {"delays", "delay"} and (
            counted or (most and token.word == "delays")
        )

    def _read_lateness(self, index: int, ref: Ref, *, is_counted: bool = False) -> None:
        """`late flights` are a condition; `60 minutes late` and `most delayed` measure."""
        before = self.question.tokens[index - 1].word if index else ""
        if before in {"more", "less"}:
            self.aggregates.append((index - 1, "avg"))
        is_measured = (
            before in {"most", "least", "how", "more", "less"} and not is_counted
        ) or any(
            isinstance(condition, Condition) and condition.ref.column is ref.column
            for condition in self.query.conditions
        )
        self._use([index])
        if (
            self.superlative is not None
            and before in {"most", "least"}
            and self.question.tokens[index].word in LATE
        ):
            self.superlative = (self.superlative[0], "delay")
        if is_measured or (self.superlative is not None and before == "latest"):
            return
        for mention in self.mentions:
            mention.is_used = mention.is_used or index in mention.indexes
        is_early = self.question.tokens[index].word in EARLY
        negated = self._is_negated(index)
        sign: tuple[Operator, str] = (
            ("<", "early")
            if is_early
            else (("<=", "not late") if negated else (">", "late"))
        )
        spoken = f"{sign[1]} ({ref.column.name} {'below' if sign[0] == '<' else 'at most' if negated else 'above'} 0)"
        self._add(Condition(ref, sign[0], (0,), spoken=spoken), index)
        others = [
            other.column.name
            for other in self._late_refs()
            if other.column is not ref.column
        ]
        if others:
            self.query.notes.append(
                f"That is by {ref.column.name}; there is also {' and '.join(others)}."
            )

    def _read_cancelled(self, index: int) -> None:
        column = self.table.column("dep_time") or next(
            (
                column
                for column in self.table.columns
                if column.is_clock and "sched" not in column.name
            ),
            None,
        )
        if column is None or not column.is_clock:
            return
        negated = self._is_negated(index)
        spoken = f"{'not ' if negated else ''}cancelled ({column.name} is {'not ' if negated else ''}empty)"
        operator: Operator = "not null" if negated else "null"
        self._add(Condition(Ref(column), operator, spoken=spoken), index)
        self.query.notes.append(
            f"A {self.table.noun} without {column.name} counts as cancelled."
        )
        self._use([index])

    def _read_booleans(self) -> None:
        for mention in self.mentions:
            columns = [candidate.column for candidate in mention.columns_of(self.table)]
            column = next(
                (item for item in columns if item and item.kind == "boolean"), None
            )
            before = (
                self.question.tokens[mention.start - 1].word if mention.start else ""
            )
            if column is None or mention.is_used or before in {"by", "per", "each"}:
                continue
            self._add_boolean(
                column, mention.start, is_true=not self._is_negated(mention.start)
            )
            self._use(mention.indexes)
            mention.is_used = True
        for column in self.table.columns:
            if column.kind == "boolean":
                self._read_opposite(column)

    def _read_opposite(self, column: Column) -> None:
        """`inactive`, `unpaid`: what is not active, not paid."""
        opposites = {
            prefix + word for prefix in ("in", "un", "non") for word in column.words
        }
        for index, token in enumerate(self.question.tokens):
            if token.word in opposites:
                self._add_boolean(column, index, is_true=self._is_negated(index))
                self._use([index])

    def _add_boolean(self, column: Column, index: int, *, is_true: bool) -> None:
        self._add(Condition(Ref(column), "=", (is_true,)), index)

    def _read_missing(self) -> None:
        for mention in self.mentions:
            before = " ".join(
                token.word
                for token in self.question.tokens[
                    max(0, mention.start - 3) : mention.start
                ]
            )
            match = re.search(
                r"(?:\b(?P<no>with no|without|without an?|without any|missing|has no|have no|had no|lack|lacks|lacking|empty)(?: an?| any| the)?)$",
                before,
            )
            refs = self._refs(mention)
            if match is None or not refs or mention.names(self.table):
                continue
            self.query.conditions.append(Condition(refs[0][1], "null"))
            start = mention.start - len(match[0].split())
            self._use(range(start, mention.end))
            mention.is_used = True


def _merge_times(times: list[TimeCondition]) -> list[TimeCondition]:
    """`in January and February`: either, since no row lies in both."""
    merged: list[TimeCondition] = []
    for condition in times:
        single = condition.low is not None and condition.low == condition.high
        twin = next(
            (
                other
                for other in merged
                if single
                and other.unit == condition.unit
                and (other.choices or other.low == other.high)
            ),
            None,
        )
        if twin is None:
            merged.append(condition)
            continue
        choices = twin.choices or (twin.low or 0,)
        merged[merged.index(twin)] = TimeCondition(
            twin.unit,
            None,
            None,
            f"{twin.spoken} or {condition.spoken}",
            (*choices, condition.low or 0),
        )
    return merged


def _are_twins(one: Condition, other: Condition) -> bool:
    return (
        one.ref.column is other.ref.column
        and one.ref.path == other.ref.path
        and {one.operator, other.operator} <= {"=", "in"} | {"!=", "not in"}
    )
