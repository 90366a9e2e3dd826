"""Which labels a text is about, by the words that it shares with their names and descriptions."""

from __future__ import annotations

import math
from typing import Any

from agents.llm.craftai.words import (
    FUNCTION,
    meanings,
    split_name,
    stem,
    tokenize,
)

SAYS_NOTHING = FUNCTION - {"hi", "hello", "hey", "thanks", "thank"}
NAME_WEIGHT, DESCRIPTION_WEIGHT = 3.0, 1.0
NEARLY = 0.7  # a word of the same meaning, beside the very word
CLOSE_TO_THE_BEST = 0.5
MAX_WORDS = 5_000


def classify(text: str, labels: list[dict[str, Any]], *, multi: bool) -> list[str]:
    """The best label, or of `multi` all that are nearly as good. None where the text shares no word with any."""
    said = {token.stem for token in tokenize(text)[:MAX_WORDS]}
    vocabularies = [_vocabulary(label) for label in labels]
    scores = [_score(said, vocabulary, vocabularies) for vocabulary in vocabularies]
    best = max(scores, default=0.0)
    if best <= 0:
        return []
    if not multi:
        return [labels[scores.index(best)]["name"]]
    return [
        label["name"]
        for label, score in zip(labels, scores, strict=True)
        if score >= best * CLOSE_TO_THE_BEST
    ]


def _vocabulary(label: dict[str, Any]) -> dict[str, float]:
    described = {
        token.stem: DESCRIPTION_WEIGHT
        for token in tokenize(label.get("description") or "")
        if token.word not in SAYS_NOTHING
    }
    return described | {stem(word): NAME_WEIGHT for word in split_name(label["name"])}


def _score(
    said: set[str], vocabulary: dict[str, float], all_of_them: list[dict[str, float]]
) -> float:
    """A word that stands for few labels tells more than one that stands for many."""
    meant = frozenset[int]().union(*map(meanings, said))
    score = 0.0
    for word, weight in vocabulary.items():
        shared = 1.0 if word in said else NEARLY if meanings(word) & meant else 0.0
        if shared:
            holders = sum(word in other for other in all_of_them)
            score += weight * shared * math.log(1 + len(all_of_them) / holders)
    return score
