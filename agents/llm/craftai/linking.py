"""Which words of a question name a table, a column, or a value that stands in the data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from agents.llm.craftai.catalogue import Catalogue, Column, Found, Table
from agents.llm.craftai.words import (
    ABBREVIATIONS,
    FILLERS,
    FUNCTION,
    GENERIC,
    STOP,
    Token,
    likeness,
    singular,
    tokenize,
)

MAX_PHRASES = 40
LONGEST_PHRASE = 4
PHRASE_CHARACTERS = 100


class Question:
    """A question cut into tokens. One that is *taken* belongs to some phrase; one that is *read* has a place in the query."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lower = text.lower()
        self.tokens = tokenize(text)
        self._taken: set[int] = set()
        self._read: set[int] = set()

    def take(self, start: int, end: int) -> None:
        """The tokens within this stretch of characters have been understood."""
        self.read_tokens(self.indexes(start, end))

    def take_tokens(self, indexes: Iterable[int]) -> None:
        self._taken.update(indexes)

    def read_tokens(self, indexes: Iterable[int]) -> None:
        indexes = list(indexes)
        self._taken.update(indexes)
        self._read.update(indexes)

    def is_taken(self, start: int, end: int) -> bool:
        return not self._taken.isdisjoint(self.indexes(start, end))

    def has_taken(self, index: int) -> bool:
        return index in self._taken

    def indexes(self, start: int, end: int) -> list[int]:
        return [
            index
            for index, token in enumerate(self.tokens)
            if token.start < end and start < token.end
        ]

    def find(self, pattern: str) -> re.Match[str] | None:
        return re.search(pattern, self.lower)

    @property
    def stems(self) -> set[str]:
        return {token.stem for token in self.tokens}

    def unread(self) -> list[Token]:
        return [
            token
            for index, token in enumerate(self.tokens)
            if index not in self._read and _is_content(token)
        ]


def _is_content(token: Token) -> bool:
    if token.kind == "sign":
        return False
    return not (
        token.word in STOP
        or (token.kind == "word" and (token.stem in FILLERS or len(token.word) == 1))
    )


def phrases_to_find(text: str, catalogue: Catalogue) -> list[str]:
    """What may stand in the data as a value: quoted words, codes, names, and short runs of words that mean nothing in particular."""
    tokens = tokenize(text)
    shouted = text.upper() == text
    phrases: list[str] = []
    for start, token in enumerate(tokens):
        if not _may_be_value(token, shouted=shouted):
            continue
        if token.kind == "word" and catalogue.has_word(
            ABBREVIATIONS.get(token.word, singular(token.word))
        ):
            continue
        for length in range(1, LONGEST_PHRASE + 1):
            run = tokens[start : start + length]
            if len(run) < length or (
                length > 1 and not _may_be_value(run[-1], shouted=shouted)
            ):
                continue
            phrase = text[run[0].start : run[-1].end].strip("\"'“”").lower()
            phrases.append(re.sub(r"['’]s$", "", phrase))
            if length == 1 and singular(token.word) != token.word:
                phrases.append(singular(token.word))
    short = [phrase for phrase in phrases if len(phrase) <= PHRASE_CHARACTERS]
    return list(dict.fromkeys(short))[:MAX_PHRASES]


def _may_be_value(token: Token, *, shouted: bool) -> bool:
    if token.kind in {"quoted", "code", "mail"}:
        return True
    if token.kind != "word":
        return False
    is_upper = len(token.text) > 1 and token.text.isupper() and not shouted
    return is_upper or (len(token.word) > 1 and token.word not in STOP)


@dataclass(frozen=True)
class Candidate:
    table: Table
    column: Column | None
    """None: the words name the table itself."""
    weight: float
    """How many of the words it accounts for."""
    coverage: float
    """How much of its own name the words say."""


@dataclass(eq=False)
class Mention:
    start: int
    end: int
    candidates: list[Candidate]
    is_used: bool = False

    @property
    def indexes(self) -> range:
        return range(self.start, self.end)

    @property
    def best(self) -> Candidate:
        return self.candidates[0]

    def in_table(self, table: Table) -> list[Candidate]:
        return [candidate for candidate in self.candidates if candidate.table is table]

    def names(self, table: Table) -> bool:
        return any(candidate.column is None for candidate in self.in_table(table))

    def columns_of(self, table: Table) -> list[Candidate]:
        return [
            candidate
            for candidate in self.in_table(table)
            if candidate.column is not None
        ]


@dataclass(eq=False)
class ValueMention:
    start: int
    end: int
    found: list[Found] = field(default_factory=list)

    @property
    def indexes(self) -> range:
        return range(self.start, self.end)


def find_mentions(
    question: Question, catalogue: Catalogue, *, exact: bool
) -> list[Mention]:
    """Tables and columns that the words not yet taken name; with `exact` only by their own full names."""
    spans = [
        span
        for start in range(len(question.tokens))
        for span in _spans_at(question, catalogue, start, exact=exact)
    ]
    spans.sort(
        key=lambda mention: (
            -mention.best.weight,
            -mention.best.coverage,
            mention.end - mention.start,
            mention.start,
        )
    )
    chosen: list[Mention] = []
    occupied: set[int] = set()
    for mention in spans:
        if occupied.isdisjoint(mention.indexes):
            chosen.append(mention)
            occupied.update(mention.indexes)
    return sorted(chosen, key=lambda mention: mention.start)


def _spans_at(
    question: Question, catalogue: Catalogue, start: int, *, exact: bool
) -> Iterable[Mention]:
    for end in range(start + 1, min(start + LONGEST_PHRASE, len(question.tokens)) + 1):
        run = question.tokens[start:end]
        if (
            any(question.has_taken(index) for index in range(start, end))
            or _is_barred(run[0])
            or _is_barred(run[-1])
        ):
            continue
        candidates = _candidates(run, question, catalogue, exact=exact)
        if candidates:
            yield Mention(start, end, candidates)


def _is_barred(token: Token) -> bool:
    return token.word in FUNCTION or token.kind in {"number", "sign", "clock", "date"}


def _candidates(
    run: list[Token], question: Question, catalogue: Catalogue, *, exact: bool
) -> list[Candidate]:
    stems = [token.stem for token in run if token.word not in FUNCTION]
    found = _by_very_name(run, catalogue)
    for table in catalogue.tables:
        if (named := _match_table(stems, table)) is not None:
            found.append(named)
        found += [
            candidate
            for column in table.columns
            if (candidate := _match_column(stems, column, table)) is not None
        ]
    if exact and not any(
        candidate.coverage == 1.0 and candidate.weight >= len(stems)
        for candidate in found
    ):
        return []
    said = question.stems - set(stems)

    def rank(candidate: Candidate) -> tuple[float, float]:
        return (
            -candidate.weight,
            -candidate.coverage - 0.5 * _context(candidate, stems, said),
        )

    found.sort(key=rank)
    return found


def _by_very_name(run: list[Token], catalogue: Catalogue) -> list[Candidate]:
    """`dep_delay`, written as it is in the data."""
    if len(run) > 1 or "_" not in run[0].word:
        return []
    columns = [(table, table.column(run[0].word)) for table in catalogue.tables]
    return [
        Candidate(table, column, float(len(column.words)), 1.0)
        for table, column in columns
        if column is not None
    ]


def _context(candidate: Candidate, stems: list[str], said: set[str]) -> int:
    """How many more words of the column's name the question says elsewhere: `arrived … late` is about `arr_delay`."""
    if candidate.column is None:
        return 0
    rest = [
        own
        for own in candidate.column.stems
        if not any(likeness(own, stem) for stem in stems)
    ]
    return sum(any(likeness(own, stem) > 0 for stem in said) for own in rest)


def _match_table(stems: list[str], table: Table) -> Candidate | None:
    own = table.stems
    weights = [
        max((likeness(stem, word) for word in own), default=0.0) or _inside(stem, own)
        for stem in stems
    ]
    if not all(weights) or all(stem in GENERIC for stem in stems):
        return None
    return Candidate(table, None, sum(weights), min(1.0, sum(weights) / len(own)))


def _inside(stem: str, words: list[str]) -> float:
    """`flights` within a table called `nycflights13`."""
    return 0.8 if len(stem) >= 4 and any(stem in word for word in words) else 0.0


def _match_column(stems: list[str], column: Column, table: Table) -> Candidate | None:
    left = list(column.stems)
    own_weight = other_weight = 0.0
    only_generic = True
    for stem in stems:
        word = max(left, key=lambda own: likeness(stem, own), default=None)
        weight = likeness(stem, word) if word is not None else 0.0
        if word is not None and weight > 0:
            left.remove(word)
            own_weight += weight
            only_generic = only_generic and word in GENERIC
        elif any(likeness(stem, word) == 1.0 for word in table.stems):
            other_weight += 0.9
        else:
            return None
    if not own_weight:
        return None
    coverage = own_weight / len(column.stems)
    if only_generic and (left or own_weight < len(column.stems)) and not other_weight:
        return None
    return Candidate(table, column, own_weight + other_weight, min(1.0, coverage))


def find_values(question: Question, catalogue: Catalogue) -> list[ValueMention]:
    """Stretches of the question that stand in the data, the longest first."""
    mentions: list[ValueMention] = []
    by_phrase: dict[str, list[Found]] = {}
    for found in catalogue.found:
        by_phrase.setdefault(found.phrase, []).append(found)
    for length in range(LONGEST_PHRASE, 0, -1):
        for start in range(len(question.tokens) - length + 1):
            run = question.tokens[start : start + length]
            if any(question.has_taken(start + offset) for offset in range(length)):
                continue
            phrase = re.sub(
                r"['’]s$", "", question.lower[run[0].start : run[-1].end].strip("\"'“”")
            )
            hits = by_phrase.get(phrase) or (
                by_phrase.get(singular(phrase)) if length == 1 else None
            )
            if hits:
                mentions.append(ValueMention(start, start + length, hits))
                question.take_tokens(range(start, start + length))
    return sorted(mentions, key=lambda mention: mention.start)
