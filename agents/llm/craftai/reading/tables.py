"""Which table a question is about, and which of its columns a word may mean."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date

from agents.llm.craftai.catalogue import Catalogue, Column, Link, Table
from agents.llm.craftai.linking import Candidate, Mention, Question, ValueMention
from agents.llm.craftai.query import (
    Aggregate,
    Condition,
    Group,
    Measure,
    Query,
    Ref,
    TimeCondition,
)
from agents.llm.craftai.reading.vocabulary import (
    AGGREGATES,
    ALONE,
    LATE,
    LESS,
    MORE,
    SKIPPED,
    SOFTENED,
    SUPERLATIVES,
)
from agents.llm.craftai.words import (
    NUMBER_WORDS,
    STOP,
    likeness,
    stem,
)

MAX_LINKS = 2


BARE_MEANINGS = frozenset(
    {"", "count", "best", "sold", "worst", "delay", "born", "when"}
)
"""Meanings of superlatives that no one column stands for."""


class MisreadError(Exception):
    """The question asks for something that the data does not hold, or that this model can't do. `words` are those in question."""

    def __init__(self, message: str, words: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.words = list(words)


class Tables:
    """A question in the middle of being read: its words, what they may name, and the table chosen. Each class that builds on this one reads one part more."""

    def __init__(self, text: str, catalogue: Catalogue, today: date) -> None:
        self.question = Question(text)
        self.catalogue = catalogue
        self.today = today
        self.times: list[TimeCondition] = []
        self.mentions: list[Mention] = []
        self.values: list[ValueMention] = []
        self.aggregates: list[tuple[int, Aggregate]] = []
        """Each with the position of the last word that says it."""
        self.superlative: tuple[str, str] | None = None
        """Which way it orders, and the meaning of what it orders by."""
        self.superlative_at = -1
        self.said_at: dict[Condition, int] = {}
        """Where in the question a condition was said: the position of a token."""
        self.table: Table
        self.query: Query

    def _hold(self, mentions: list[Mention]) -> list[Mention]:
        for mention in mentions:
            self.question.take_tokens(mention.indexes)
        return mentions

    def _is_value(self, index: int) -> bool:
        return any(index in value.indexes for value in self.values)

    def _use(self, indexes: Iterable[int]) -> None:
        self.question.read_tokens(indexes)

    def _use_words(self, words: frozenset[str]) -> None:
        self._use(
            index
            for index, token in enumerate(self.question.tokens)
            if token.word in words
        )

    def _use_table_words(self) -> None:
        for mention in self.mentions:
            if mention.names(self.table):
                self._use(mention.indexes)

    def _is_within_mention(self, index: int, *, only_longer: bool = False) -> bool:
        return any(
            index in mention.indexes and (not only_longer or len(mention.indexes) > 1)
            for mention in self.mentions
        )

    def _find_aggregates(self) -> list[tuple[int, Aggregate]]:
        found: list[tuple[int, Aggregate]] = []
        claimed: set[int] = set()
        for pattern, aggregate in AGGREGATES:
            for match in re.finditer(pattern, self.question.lower):
                indexes = self.question.indexes(*match.span())
                if (
                    indexes
                    and claimed.isdisjoint(indexes)
                    and not self._is_within_mention(
                        indexes[0], only_longer=not match[0].startswith("rate")
                    )
                ):
                    found.append((indexes[-1], aggregate))
                    claimed.update(indexes)
                    self.question.read_tokens(indexes)
        return sorted(found)

    def _find_superlative(self) -> None:
        for index, token in enumerate(self.question.tokens):
            known = SUPERLATIVES.get(token.word)
            before = self.question.tokens[index - 1].word if index else ""
            if (
                known is None
                or self._is_value(index)
                or (before == "at" and token.word in {"most", "least"})
            ):
                continue
            if (
                token.word in SOFTENED
                and before not in {"most", "least"}
                and token.word not in ALONE
            ):
                continue
            order, meaning = known
            if before == "least":
                order = LESS if order == MORE else MORE
            self.question.read_tokens([index])
            if self.superlative is None or meaning or self.superlative_at < 0:
                self.superlative, self.superlative_at = (order, meaning), index
        self._find_first_and_last()

    def _find_first_and_last(self) -> None:
        if self.superlative is not None:
            return
        match = self.question.find(r"\b(first|last)\b(?!\s+(?:name|week|month|year))")
        if match is not None and not self.question.is_taken(*match.span()):
            self.superlative = (LESS if match[1] == "first" else MORE, "when")
            self.superlative_at = self.question.indexes(*match.span())[0]
            self.question.take(*match.span())

    def _settle_age(self) -> None:
        """The oldest has the highest age, where ages are kept, and otherwise the earliest date."""
        if self.superlative is not None and self.superlative[1] == "born":
            order = self.superlative[0]
            aged = self._by_meaning(self.table, "age") is not None
            self.superlative = (
                ((LESS if order == MORE else MORE), "age") if aged else (order, "when")
            )

    def _choose_table(self) -> Table:
        tables = self.catalogue.tables
        if not tables:
            raise MisreadError("")
        scores = {id(table): self._score(table) for table in tables}
        best = max(
            tables,
            key=lambda table: (round(scores[id(table)], 3), table.row_count or 0),
        )
        if scores[id(best)] <= 0 and self._speaks_of_money():
            best = next((table for table in tables if self._amount_of(table)), best)
            scores[id(best)] = 1.0 if self._amount_of(best) else 0.0
        if scores[id(best)] <= 0 and not self._asks_for_rows():
            raise MisreadError("", [token.text for token in self.question.unread()])
        return best

    def _asks_for_rows(self) -> bool:
        return len(self.catalogue.tables) == 1 and bool(
            self.question.find(r"\b(rows?|records?|entries|lines|data|it|table)\b")
        )

    def _score(self, table: Table) -> float:
        """How much of the question a table answers: by what its words name, and by what it would take to answer it."""
        named = self._named_in(table)
        if not named:
            return 0.0
        return named + sum(worth for worth, is_met in self._needs(table) if is_met)

    def _named_in(self, table: Table) -> float:
        reachable = {
            id(link.table): 0.5 for path in self._paths(table) for link in path
        }
        total = 0.0
        for mention in self.mentions:
            worths = [
                self._worth(candidate, table, reachable)
                for candidate in mention.candidates
            ]
            worth = max(worths, default=0.0)
            total += worth * (2.0 if worth > 0.5 and self._is_wanted(mention) else 1.0)
        for value in self.values:
            if any(found.table is table for found in value.found):
                total += 1.0
            elif any(id(found.table) in reachable for found in value.found):
                total += 0.6
        if self.question.find(r"\broutes?\b") and ends_of_route(table):
            total += 1.0
        return total

    def _needs(self, table: Table) -> list[tuple[float, bool]]:
        """What the question asks for besides what it names, and whether this table has it."""
        meaning = self.superlative[1] if self.superlative else ""
        tells_time = bool(
            table.dates
            or table.part("month")
            or table.part("day")
            or table.part("year")
        )
        rates = any(column.is_about("delay", "rating") for column in table.measures)
        delays = any(column.is_about("delay") for column in table.measures)
        is_ranked = meaning in {"best", "sold", "worst"} and not self._names_numbers()
        asks_money = self.question.find(
            r"\b(revenue|sales|turnover|spend|spent|spending)\b"
        )
        asks_delay = self.question.find(
            r"\b(on[- ]time|late|delay(?:s|ed)?|early|punctual\w*|cancel\w*)\b"
        )
        return [
            (0.4, bool(self.times) and tells_time),
            (0.5, meaning == "when" and tells_time),
            (1.5, is_ranked and (rates or self._amount_of(table) is not None)),
            (
                0.8,
                meaning not in BARE_MEANINGS
                and self._by_meaning(table, meaning) is not None,
            ),
            (1.0, bool(asks_money) and self._amount_of(table) is not None),
            (1.5, bool(asks_delay) and delays),
        ]

    def _names_numbers(self) -> bool:
        return any(
            candidate.column is not None and candidate.column.is_measure
            for mention in self.mentions
            for candidate in mention.candidates
        )

    @staticmethod
    def _worth(
        candidate: Candidate, wanted: Table, reachable: dict[int, float]
    ) -> float:
        is_here = candidate.table is wanted
        factor = 1.0 if is_here else reachable.get(id(candidate.table), 0.0)
        base = 0.7 if candidate.column is None else 0.5
        return factor * candidate.weight * (base + 0.5 * candidate.coverage)

    def _is_wanted(self, mention: Mention) -> bool:
        """What is counted or measured stands right behind the word that says so."""
        starts = [
            index + 1 for index, aggregate in self.aggregates if aggregate != "share"
        ]
        if self.superlative and self.superlative[1] == "":
            starts.append(self.superlative_at + 1)
        return any(
            start <= mention.start <= start + 3
            and self._are_small(start, mention.start)
            for start in starts
        )

    def _are_small(self, start: int, end: int) -> bool:
        """Only words without weight stand between: no name, no `by`."""
        words = [token.word for token in self.question.tokens[start:end]]
        return not self._between(start, end) and all(
            word in STOP
            and word
            not in {"by", "per", "for", "in", "each", "across", "with", "from", "to"}
            for word in words
        )

    def _between(self, start: int, end: int) -> bool:
        return any(
            start <= other.start < end
            and self.question.tokens[other.start].word not in LATE
            for other in self.mentions
        )

    def _paths(self, table: Table) -> list[tuple[Link, ...]]:
        paths: list[tuple[Link, ...]] = []
        frontier: list[tuple[Link, ...]] = [()]
        for _ in range(MAX_LINKS):
            deeper: list[tuple[Link, ...]] = []
            for path in frontier:
                end = path[-1].table if path else table
                seen = {id(table), *(id(link.table) for link in path)}
                deeper += [
                    (*path, link)
                    for link in table.source.links_from(end)
                    if id(link.table) not in seen
                ]
            paths += deeper
            frontier = deeper
        return paths

    def _paths_of(self, table: Table) -> list[tuple[Link, ...]]:
        return [(link,) for link in table.source.links_from(table)]

    def _refs(self, mention: Mention) -> list[tuple[float, Ref]]:
        """The columns that a mention may mean, as seen from the chosen table, the likeliest first."""
        found: list[tuple[float, Ref]] = []
        for rank, candidate in enumerate(mention.candidates):
            if candidate.column is None:
                continue
            if candidate.table is self.table:
                found.append(
                    (
                        candidate.weight + candidate.coverage - rank / 1000,
                        Ref(candidate.column),
                    )
                )
                continue
            path = self._path_to(candidate.table)
            if path is not None:
                found.append(
                    (
                        candidate.weight + candidate.coverage - 0.3 - rank / 1000,
                        Ref(candidate.column, path),
                    )
                )
        return sorted(found, key=lambda pair: -pair[0])

    def _path_to(self, table: Table) -> tuple[Link, ...] | None:
        return next(
            (path for path in self._paths(self.table) if path[-1].table is table), None
        )

    def _measure_refs(self, mention: Mention) -> list[Ref]:
        """Its numbers; several where the words fit them equally well, as `delay` fits departure and arrival."""
        numbers = [
            (score, ref)
            for score, ref in self._refs(mention)
            if ref.column.kind == "number" and not ref.column.part
        ]
        measures = [
            (score, ref) for score, ref in numbers if ref.column.is_measure
        ] or numbers
        if not measures:
            return []
        best = measures[0][0]
        ranked = mention.in_table(self.table) or mention.candidates
        top = ranked[0]
        tied = [
            ref
            for score, ref in measures
            if round(best - score, 1) < 0.1
            and ref.column.is_measure == measures[0][1].column.is_measure
        ]
        return (
            self._prefer_context(tied, mention)
            if top.column is not None or tied
            else []
        )

    def _prefer_context(self, refs: list[Ref], mention: Mention) -> list[Ref]:
        own = {
            token.stem for token in self.question.tokens[mention.start : mention.end]
        }
        said = self.question.stems - own

        def context(ref: Ref) -> int:
            rest = [
                word
                for word in ref.column.stems
                if not any(likeness(word, word_said) > 0 for word_said in own)
            ]
            return sum(
                any(likeness(word, other) > 0 for other in said) for word in rest
            )

        most = max(map(context, refs), default=0)
        return [ref for ref in refs if context(ref) == most]

    def _group_ref(self, mention: Mention) -> Group | None:
        options: list[tuple[float, Group]] = []
        for candidate in mention.candidates:
            if candidate.column is None and candidate.table is not self.table:
                path = self._path_to(candidate.table)
                if path is not None and len(path) == 1:
                    options.append(
                        (
                            candidate.weight + 0.6 + 0.3 * candidate.coverage,
                            self._named(Ref(path[0].left)),
                        )
                    )
                elif path is not None:
                    options.append(
                        (
                            candidate.weight + 0.5,
                            Group(Ref(candidate.table.label or path[-1].key, path)),
                        )
                    )
        options += [
            (score, self._named(ref))
            for score, ref in self._refs(mention)
            if ref.column.part or not ref.column.is_measure
        ]
        return max(options, key=lambda option: option[0])[1] if options else None

    def _named(self, ref: Ref) -> Group:
        """Grouped by a code that another table explains, the answer carries the name too."""
        if ref.path:
            return Group(ref)
        for link in self.table.source.links_from(self.table):
            label = link.table.label
            if link.left is ref.column and label is not None and label is not link.key:
                return Group(ref, name_ref=Ref(label, (link,)))
        return Group(ref)

    def _by_meaning(self, table: Table, meaning: str) -> Column | None:
        clocks = [column for column in table.columns if column.is_clock]
        for word in meaning.split():
            for column in (*table.measures, *clocks):
                if column.is_about(word):
                    return column
        return None

    def _amount_of(self, table: Table) -> Measure | None:
        """What a row is worth: its amount, or quantity × price."""
        adding = [column for column in table.measures if column.adds_up]
        for words in (("amount",), ("revenue",), ("total",)):
            for column in adding:
                if column.is_about(*words) and not column.is_about(
                    "discount", "tax", "quantity", "stock"
                ):
                    return Measure("sum", Ref(column))
        quantity = next(
            (column for column in adding if column.is_about("quantity")), None
        )
        if quantity is None:
            return None
        price = next(
            (Ref(column) for column in table.measures if column.is_about("price")), None
        )
        if price is None:
            linked = [
                (Ref(column, path))
                for path in self._paths_of(table)
                for column in path[-1].table.measures
                if column.is_about("price")
            ]
            price = next(iter(linked), None)
        return Measure("sum", Ref(quantity), times=price) if price is not None else None

    def _late_refs(self) -> list[Ref]:
        refs = [
            Ref(column) for column in self.table.measures if column.is_about("delay")
        ]
        words = {stem(word) for word in LATE} | {"delay"}
        at = next(
            (
                index
                for index, token in enumerate(self.question.tokens)
                if token.stem in words
            ),
            0,
        )
        return self._prefer_context(refs, Mention(at, at + 1, [])) if refs else []

    def _speaks_of_money(self) -> bool:
        return bool(
            self.question.find(
                r"\b(spend|spent|spends|spending|revenue|paid|pays|worth|sales|earned|bought most|buys? (?:the )?most|money)\b"
            )
        )

    def _names_measure(self, mention: Mention) -> bool:
        return any(
            candidate.column.is_measure and candidate.coverage == 1.0
            for candidate in mention.columns_of(self.table)
            if candidate.column
        )

    def _is_single_row(self) -> bool:
        return any(
            isinstance(condition, Condition)
            and condition.operator == "="
            and _names_one(condition.ref, self.table)
            for condition in self.query.conditions
        )

    def _next_nouns(self, index: int) -> list[int]:
        """The position of the noun behind a word, past numbers and small words."""
        position = index + 1
        tokens = self.question.tokens
        while position < len(tokens):
            token = tokens[position]
            is_filler = (
                token.number is not None
                or token.word in NUMBER_WORDS
                or token.word in SUPERLATIVES
                or token.word in SKIPPED
            )
            if not is_filler:
                return [position]
            position += 1
        return []

    def _is_negated(self, start: int) -> bool:
        before = [
            token.word for token in self.question.tokens[max(0, start - 3) : start]
        ]
        return any(
            word
            in {
                "not",
                "except",
                "excluding",
                "without",
                "isn't",
                "aren't",
                "non",
                "weren't",
                "wasn't",
            }
            for word in before
        ) or before[-2:] == ["other", "than"]

    def _asks_for_values(self) -> bool:
        return bool(
            self.question.find(
                r"\b(different|distinct|unique|various|all the|what kinds?|what types?)\b"
            )
        )


def _names_one(ref: Ref, table: Table) -> bool:
    return not ref.path and (ref.column is table.key or ref.column is table.label)


def ends_of_route(table: Table) -> list[Column]:
    """Its origin and its destination, where it has both."""
    ends = [
        next((column for column in table.categories if column.is_about(word)), None)
        for word in ("origin", "destination")
    ]
    return [column for column in ends if column is not None] if all(ends) else []
