"""`more than 60 minutes`, `between 10 and 20`, `above average`: numbers that rows are held against."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from agents.llm.craftai.linking import (
    Mention,
)
from agents.llm.craftai.query import (
    Aggregate,
    Condition,
    Measure,
    Operator,
    Ref,
)
from agents.llm.craftai.reading.tables import MisreadError, Tables
from agents.llm.craftai.reading.vocabulary import (
    LATE,
    NUMBER,
    OPERATORS,
    TIMES_OF,
    UNIT,
    UNIT_MEANING,
    WORD_MEANING,
)
from agents.llm.craftai.words import (
    NUMBER_WORDS,
    plural,
    stem,
)


@dataclass(eq=False)
class Comparison:
    operator: Operator
    low: float
    high: float | None
    unit: str
    start: int
    end: int


class Comparisons(Tables):
    comparisons: list[Comparison]
    held: Measure | None = None
    """What each group is held against a number by, where that is no row's own number."""

    def _find_comparisons(self) -> list[Comparison]:
        found: list[Comparison] = []
        joined = rf"\bbetween\s+{NUMBER}\s*(?:and|to|-)\s*(?P<high>[$€£]?\d[\d,]*(?:\.\d+)?){UNIT}"
        after = rf"{NUMBER}{UNIT}\s*(?P<word>or more|or longer|or over|or above|or later|or higher|and (?:above|over|more|up)|\+|or less|or fewer|or under|or below|or lower)"
        self._compare(joined, ">=", found)
        for match in self._fresh(after):
            is_least = re.search(
                r"more|longer|over|above|later|higher|up|\+", match["word"]
            )
            operator: Operator = ">=" if is_least else "<="
            found.append(self._comparison(operator, match))
        for words, sign in OPERATORS:
            self._compare(
                rf"(?:\b|(?<=\s))(?:by\s+)?{words}\s*{NUMBER}{UNIT}", sign, found
            )
        return sorted(found, key=lambda comparison: comparison.start)

    def _compare(
        self, pattern: str, operator: Operator, found: list[Comparison]
    ) -> None:
        found += [self._comparison(operator, match) for match in self._fresh(pattern)]

    def _fresh(self, pattern: str) -> Iterable[re.Match[str]]:
        for match in re.finditer(pattern, self.question.lower):
            if not self.question.is_taken(*match.span()):
                yield match

    def _comparison(self, operator: Operator, match: re.Match[str]) -> Comparison:
        unit = (match["unit"] or "").strip()
        if not unit and match["number"][0] in "$€£":
            unit = match["number"][0]
        high = match.groupdict().get("high")
        indexes = self.question.indexes(*match.span())
        self.question.take(*match.span())
        return Comparison(
            operator,
            _number(match["number"]),
            _number(high) if high else None,
            unit,
            indexes[0],
            indexes[-1] + 1,
        )

    def _read_comparison(self, comparison: Comparison) -> None:
        if self._read_having(comparison):
            return
        ref = self._compared(comparison)
        if ref is None:
            words = " ".join(
                token.text
                for token in self.question.tokens[comparison.start : comparison.end]
            )
            raise MisreadError(
                f"I can't tell which column “{words}” is about.", [words]
            )
        factor = (
            TIMES_OF.get(comparison.unit, 1) if not ref.column.is_about("hour") else 1
        )
        if factor != 1:
            self.query.notes.append(
                f"{comparison.low:g} {comparison.unit} taken as {comparison.low * factor:g} minutes."
            )
        low = Condition(ref, comparison.operator, (comparison.low * factor,))
        if (aggregate := self._aggregate_before(comparison)) is not None:
            self.query.having = low
            self.held = Measure(aggregate, ref)
            return
        self.query.conditions.append(low)
        if comparison.high is not None:
            high = Condition(ref, "<=", (comparison.high * factor,))
            self.query.conditions.append(high)

    def _aggregate_before(self, comparison: Comparison) -> Aggregate | None:
        """`an average delay above 30`, `spent more than 1000 in total`: it is each group's mean or sum that is compared."""
        for mention in self.mentions:
            if 0 <= comparison.start - mention.end <= 2 and self._measure_refs(mention):
                for index, aggregate in self.aggregates:
                    if (
                        aggregate in {"avg", "sum", "median"}
                        and index == mention.start - 1
                    ):
                        self.aggregates.remove((index, aggregate))
                        return aggregate
        before = [token.word for token in self.question.tokens[: comparison.start]]
        is_spent = bool(before) and before[-1] in {
            "spent",
            "spend",
            "spends",
            "paid",
            "earned",
        }
        if is_spent and set(before) & {"which", "who", "customers", "clients", "users"}:
            self.aggregates = [pair for pair in self.aggregates if pair[1] != "sum"]
            return "sum"
        return None

    def _compared(self, comparison: Comparison) -> Ref | None:
        """The column a comparison is about: the nearest number named beside it, or the one that its unit means."""
        unit = (
            re.sub(
                r"s$",
                "",
                comparison.unit.replace("mins", "minute").replace("hrs", "hour"),
            )
            if len(comparison.unit) > 1
            else comparison.unit
        )
        unit = {"min": "minute", "hr": "hour", "h": "hour"}.get(unit, unit)
        near: list[tuple[int, Mention, Ref]] = []
        for mention in self.mentions:
            refs = [
                ref
                for ref in self._measure_refs(mention)
                if not ref.path or not self._measure_refs_here(mention)
            ]
            distance = (
                comparison.start - mention.end
                if mention.end <= comparison.start
                else mention.start - comparison.end + 1
            )
            is_said = refs and (
                refs[0].column.is_measure
                or any(
                    candidate.coverage == 1.0
                    for candidate in mention.columns_of(self.table)
                )
            )
            if is_said and 0 <= distance <= 5 and self._suits(refs[0], unit):
                near.append((distance, mention, refs[0]))
        if near:
            _, mention, ref = min(near, key=lambda item: item[0])
            self._use(mention.indexes)
            return ref
        said = [
            WORD_MEANING.get(token.word, "")
            for token in self.question.tokens[comparison.start : comparison.end]
        ]
        for word in " ".join([*said, UNIT_MEANING.get(unit, "")]).split():
            named = [column for column in self.table.measures if column.is_about(word)]
            if named:
                return self._prefer_context(
                    [Ref(column) for column in named],
                    Mention(comparison.start, comparison.end, []),
                )[0]
        if (
            self.superlative is None
            and self._late_refs()
            and self.question.stems & {stem(word) for word in LATE}
        ):
            return self._late_refs()[0]
        return (
            Ref(self.table.measures[0])
            if len(self.table.measures) == 1
            else (
                amount.ref
                if (amount := self._amount_of(self.table))
                and not unit
                and amount.times is None
                else None
            )
        )

    def _measure_refs_here(self, mention: Mention) -> bool:
        return any(
            candidate.column.is_measure
            for candidate in mention.columns_of(self.table)
            if candidate.column
        )

    @staticmethod
    def _suits(ref: Ref, unit: str) -> bool:
        meaning = UNIT_MEANING.get(unit, "")
        if unit in {"minute", "hour", "second"}:
            meaning += " time"
        return (
            not meaning
            or ref.column.is_about(*meaning.split())
            or unit in {"%", "percent"}
        )

    def _read_having(self, comparison: Comparison) -> bool:
        """`customers with more than 3 orders`: the number counts rows of a group, and is no column."""
        follower = next(
            (mention for mention in self.mentions if mention.start == comparison.end),
            None,
        )
        if follower is None or not follower.names(self.table) or comparison.unit:
            return False
        owner = next(
            (
                mention
                for mention in self.mentions
                if mention.end <= comparison.start
                and self._group_ref(mention) is not None
            ),
            None,
        )
        if owner is None or (group := self._group_ref(owner)) is None:
            return False
        self.query.having = Condition(
            Ref(self.table.columns[0]),
            comparison.operator,
            (comparison.low,),
            spoken=f"more {plural(self.table.noun)}",
        )
        self.query.groups.append(group)
        self._use(owner.indexes)
        self._use(follower.indexes)
        return True

    def _read_average_comparison(self) -> None:
        match = self.question.find(
            r"\b(?P<word>above|below|more than|less than|higher than|lower than|over|under)\s+(?:the\s+)?(?:average|mean)\b"
        )
        if match is None:
            return
        indexes = self.question.indexes(*match.span())
        self.aggregates = [
            (index, aggregate)
            for index, aggregate in self.aggregates
            if index not in indexes
        ]
        near = [
            (abs(mention.start - indexes[0]), mention)
            for mention in self.mentions
            if any(ref.column.is_measure for ref in self._measure_refs(mention))
        ]
        if not near:
            raise MisreadError("I can't tell the average of which column is meant.")
        mention = min(near, key=lambda pair: pair[0])[1]
        is_above = match["word"] in {"above", "more than", "higher than", "over"}
        self.query.conditions.append(
            Condition(
                self._measure_refs(mention)[0],
                "above average" if is_above else "below average",
            )
        )
        self._use([*mention.indexes, *indexes])


def _number(text: str) -> float:
    text = text.strip()
    if text.startswith("half"):
        return 0.5
    word = text.removeprefix("a ").removeprefix("an ")
    if word in {"a", "an"}:
        return 1.0
    if word in NUMBER_WORDS:
        return float(NUMBER_WORDS[word])
    digits = word.strip("$€£").replace(",", "")
    return float(digits[:-1]) * 1000 if digits.endswith("k") else float(digits)
