"""By what the rows are gathered: `per carrier`, `by month`, `which customer has the most …`."""

from __future__ import annotations

import re

from agents.llm.craftai.catalogue import COMPANIES, PERSONS
from agents.llm.craftai.linking import (
    Mention,
)
from agents.llm.craftai.query import (
    Condition,
    Grain,
    Group,
    Ref,
    TimeCondition,
)
from agents.llm.craftai.reading.conditions import Conditions
from agents.llm.craftai.reading.tables import MisreadError, ends_of_route
from agents.llm.craftai.reading.vocabulary import (
    BARE_SUPERLATIVES,
    GRAIN_ADVERBS,
    GRAIN_OF_UNIT,
    GRAINS,
    GROUP_MARKERS,
)
from agents.llm.craftai.words import (
    plural,
    stem,
)


class Groups(Conditions):
    def _read_groups(self) -> None:
        self._read_marked_groups()
        self._read_adverbs()
        if not self.query.groups:
            self._read_asked_group()
        self._read_compared_values()

    def _read_marked_groups(self) -> None:
        for match in re.finditer(
            rf"{GROUP_MARKERS}\s+(?:the\s+|of\s+the\s+|individual\s+|different\s+|single\s+|given\s+)*",
            self.question.lower,
        ):
            marker = self.question.indexes(*match.span())
            start = marker[-1] + 1
            if (
                self._is_sort(marker[0])
                or start >= len(self.question.tokens)
                or self._is_value(start)
            ):
                continue
            group, end = self._group_at(start)
            if group is None:
                self._complain_of_group(match[0], start)
                continue
            self._use([*marker, *range(start, end)])
            self._add_group(group, match[0].split()[0])
            while (follower := self._and_group(end)) is not None:
                group, end = follower
                self._add_group(group, "by")

    def _and_group(self, end: int) -> tuple[Group, int] | None:
        if (
            end + 1 >= len(self.question.tokens)
            or self.question.tokens[end].word != "and"
        ):
            return None
        group, after = self._group_at(end + 1)
        if group is None or (group.ref is not None and group.ref.column.is_measure):
            return None
        self._use(range(end, after))
        return group, after

    def _is_sort(self, index: int) -> bool:
        before = self.question.tokens[index - 1].stem if index else ""
        return (
            before in {"sort", "order", "rank"}
            and self.question.tokens[index].word == "by"
            and self.question.tokens[index - 1].word != "orders"
        )

    def _add_group(self, group: Group, marker: str) -> None:
        is_mean = any(
            aggregate == "avg" for _, aggregate in self.aggregates
        ) and marker in {"per", "each", "every", "for"}
        counted = any(
            mention.names(self.table) and self._is_wanted_count(mention)
            for mention in self.mentions
        )
        counted = counted or "count" in [aggregate for _, aggregate in self.aggregates]
        if is_mean and counted and not self.query.groups and self.superlative is None:
            self.query.per_grain, self.query.per_ref = group.grain, group.ref
            return
        if group not in self.query.groups:
            self.query.groups.append(group)

    def _is_wanted_count(self, mention: Mention) -> bool:
        """`average number of flights per day`, `average flights per day`."""
        averages = [index for index, aggregate in self.aggregates if aggregate == "avg"]
        return any(
            0 < mention.start - index <= 3
            and not self._between(index + 1, mention.start)
            for index in averages
        )

    def _group_at(self, start: int) -> tuple[Group | None, int]:
        ends = ends_of_route(self.table)
        if self.question.tokens[start].word in {"route", "routes"} and ends:
            self.query.groups.append(Group(Ref(ends[0])))
            return Group(Ref(ends[1])), start + 1
        mention = next(
            (mention for mention in self.mentions if mention.start == start), None
        )
        grain = self._grain_at(start)
        if mention is not None and not mention.names(self.table):
            group = self._group_ref(mention)
            is_part = (
                group is not None
                and group.ref is not None
                and group.ref.column.part is not None
            )
            if group is not None and not (grain and is_part):
                return group, mention.end
        if grain is not None:
            return Group(grain=grain[0]), grain[1]
        if mention is not None and (group := self._group_ref(mention)) is not None:
            return group, mention.end
        return None, start

    def _grain_at(self, start: int) -> tuple[Grain, int] | None:
        text = self.question.lower[self.question.tokens[start].start :]
        for pattern, grain in GRAINS:
            match = re.match(pattern, text)
            if match is not None and self._tells(grain):
                indexes = self.question.indexes(
                    self.question.tokens[start].start,
                    self.question.tokens[start].start + match.end(),
                )
                return grain, indexes[-1] + 1
        return None

    def _tells(self, grain: Grain) -> bool:
        return (
            self.query.date is not None
            or self.table.part(grain) is not None
            or (grain == "weekday" and self.table.part("day") is not None)
        )

    def _complain_of_group(self, marker: str, start: int) -> None:
        token = self.question.tokens[start]
        follows = (
            marker.split()[0] in {"per", "by"}
            and token.kind == "word"
            and not self.question.has_taken(start)
        )
        if (
            follows
            and marker.strip().endswith(("per", "by"))
            and token in self.question.unread()
        ):
            raise MisreadError(
                f"I find no “{token.text}” in {self.table.name} to group by.",
                [token.text],
            )

    def _read_adverbs(self) -> None:
        match = GRAIN_ADVERBS.search(self.question.lower)
        if match is None or self.query.groups:
            return
        found = self._grain_at(self.question.indexes(*match.span())[0])
        if found is not None:
            self._use(self.question.indexes(*match.span()))
            if any(aggregate == "avg" for _, aggregate in self.aggregates) and any(
                self._is_wanted_count(mention)
                for mention in self.mentions
                if mention.names(self.table)
            ):
                self.query.per_grain = found[0]
            else:
                self.query.groups.append(Group(grain=found[0]))

    def _read_asked_group(self) -> None:
        """`which carrier has the most …`, `top 5 customers`, `the busiest airport`, `who …`: what a superlative picks from."""
        for start in self._asked_at():
            mention = next(
                (mention for mention in self.mentions if mention.start == start), None
            )
            if mention is not None and self._is_row(mention):
                return
            group, end = self._group_at(start)
            if group is not None and (
                self.superlative is not None or group.ref is not None
            ):
                is_list = (
                    self.held is not None
                    or self._lists_values(mention, group)
                    or self.question.find(r"\b(breakdown|distribution)\b") is not None
                )
                if self.superlative is None and not is_list:
                    return
                self._use(range(start, end))
                self.query.groups.append(group)
                return
        if self.question.find(r"\bwho\b") and self.superlative is not None:
            self._group_by_person()

    def _asked_at(self) -> list[int]:
        """Where the thing asked for may stand: behind which, behind a superlative, behind top 5."""
        tokens = self.question.tokens
        starts: list[int] = []
        for index, token in enumerate(tokens):
            if token.word in {"which", "what", "whose"} or (
                token.word in {"compare", "list", "rank", "show"}
            ):
                starts += self._next_nouns(index)
        if self.held is not None or self.question.find(r"\b(breakdown|distribution)\b"):
            starts += [
                mention.start for mention in self.mentions if self._is_category(mention)
            ]
        if self.superlative is not None:
            at = self.superlative_at
            is_count_word = self.superlative[1] in {
                "count",
                "best",
                "worst",
                "sold",
                "delay",
            } or tokens[at].word in {"top", "bottom"}
            picks = is_count_word or (
                tokens[at].word in BARE_SUPERLATIVES
                and not self._names_measure_behind(at)
            )
            if picks:
                starts += self._next_nouns(at)
            starts += [
                index
                for index, token in enumerate(tokens)
                if token.word in {"route", "routes"}
            ]
            starts += [
                mention.start
                for mention in self.mentions
                if mention.end <= at and self._is_owner(mention, at)
            ]
        return starts

    def _is_category(self, mention: Mention) -> bool:
        group = self._group_ref(mention)
        return (
            group is not None
            and group.ref is not None
            and group.ref.column.kind in {"text", "boolean"}
            and not mention.names(self.table)
        )

    def _names_measure_behind(self, at: int) -> bool:
        """`the biggest amount` names what is big, `the biggest customers` who."""
        return any(
            mention.start > at and self._measure_refs(mention)
            for mention in self.mentions
        )

    def _is_owner(self, mention: Mention, at: int) -> bool:
        """`the carrier with the highest …`."""
        words = [token.word for token in self.question.tokens[mention.end : at]]
        return (
            bool(words)
            and words[0]
            in {
                "with",
                "has",
                "have",
                "had",
                "that",
                "having",
                "by",
                "who",
                "is",
                "are",
            }
            and len(words) <= 4
        )

    def _is_row(self, mention: Mention) -> bool:
        """The thing asked for is what a row of the table is."""
        if not mention.names(self.table):
            return False
        own = [
            candidate
            for candidate in mention.in_table(self.table)
            if candidate.column is None
        ]
        return (
            own[0].weight >= mention.best.weight - 0.2
            or mention.best.table is self.table
        )

    def _lists_values(self, mention: Mention | None, group: Group) -> bool:
        """`which carriers are there?` asks for the values of a column; `what is the status of …` for one row's."""
        if (
            mention is None
            or group.ref is None
            or group.ref.column.kind not in {"text", "boolean"}
            or self._is_single_row()
        ):
            return False
        before = self.question.tokens[mention.start - 1].word if mention.start else ""
        first = self.question.tokens[mention.start].word
        said_plural = first != stem(first) and plural(first) == first
        return (
            before in {"which", "different", "distinct", "unique", "all", "various"}
            or said_plural
            or self._asks_for_values()
        )

    def _group_by_person(self) -> None:
        if any(word in PERSONS for word in self.table.words):
            return
        for person in (*PERSONS, *COMPANIES):
            for link in self.table.source.links_from(self.table):
                if person in link.table.words and link.table.label is not None:
                    self.query.groups.append(self._named(Ref(link.left)))
                    return
            for column in self.table.categories:
                if column.is_about(person):
                    self.query.groups.append(self._named(Ref(column)))
                    return

    def _read_compared_values(self) -> None:
        """`compare JFK and LGA`, `JFK vs LGA`: one line for each."""
        if self.query.groups or not self.question.find(
            r"\b(compare|comparison|versus|vs\.?|difference between)\b|\b(more|less|fewer|higher|lower|better|worse|later|longer|shorter|bigger|cheaper)\b.*\bthan\b"
        ):
            return
        times = next(
            (
                condition
                for condition in self.query.conditions
                if isinstance(condition, TimeCondition) and condition.choices
            ),
            None,
        )
        if (
            times is not None
            and (grain := GRAIN_OF_UNIT.get(times.unit[-1])) is not None
        ):
            self.query.groups.append(Group(grain=grain))
            return
        several = next(
            (
                condition
                for condition in self.query.conditions
                if isinstance(condition, Condition) and condition.operator == "in"
            ),
            None,
        )
        if several is not None:
            self.query.groups.append(
                self._named(several.ref) if not several.ref.path else Group(several.ref)
            )

    def _is_group_mention(self, mention: Mention, group: Group) -> bool:
        own = self._group_ref(mention)
        return (
            own is not None
            and own.ref is not None
            and group.ref is not None
            and own.ref.column is group.ref.column
        )

    def _is_grouped(self, mention: Mention) -> bool:
        return any(
            self._is_group_mention(mention, group) for group in self.query.groups
        ) or any(
            group.grain is not None
            and self.question.tokens[mention.start].stem == group.grain
            for group in self.query.groups
        )
