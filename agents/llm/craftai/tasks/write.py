"""A text of a text: its own sentences, those that matter to what is asked, in their order. Nothing is made up, since nothing is written."""

from __future__ import annotations

import math
import re
from collections import Counter

from agents.llm.craftai.talk import NAME, small_talk
from agents.llm.craftai.words import FUNCTION, NUMBER_WORDS, tokenize

SUMMARY = re.compile(
    r"\b(?:summar\w+|sum up|shorten\w*|tl;?dr|digest|gist|overview|key points?|main points?|brief\w*|condense\w*)\b",
    re.IGNORECASE,
)
WANTED = re.compile(
    r"\b(\d{1,2}|" + "|".join(NUMBER_WORDS) + r")[ -](?:sentences?|lines?|points?)\b",
    re.IGNORECASE,
)
BETWEEN_SENTENCES = re.compile(r"(?<=[.!?])\s+(?=[^\sa-z])|\n+")
BOTH_IN_ONE = re.compile(r"([^:\n]{1,200})[:\n]\s*(\S.{60,})", re.DOTALL)
"""What to do, and then what to do it with."""
MAX_SENTENCES, MAX_TEXT = 2_000, 200_000
USUAL_SENTENCES = 3
NOTHING = "Nothing in the data speaks of that."
NO_DATA = (
    f"I am {NAME}, Craft's built-in model: I follow fixed rules and write nothing of my own. Given data, I answer with those of its sentences that speak of "
    "what is asked, or with the few that say most of it. For a text that is not there yet, choose a model of another provider."
)


def write(prompt: str, data: list[str]) -> str:
    text = "\n".join(data)[:MAX_TEXT].strip()
    if not text and (both := BOTH_IN_ONE.match(prompt)) is not None:
        prompt, text = both[1], both[2][:MAX_TEXT]
    if not text:
        return small_talk(prompt) or NO_DATA
    sentences = [each.strip() for each in BETWEEN_SENTENCES.split(text)]
    sentences = [each for each in sentences if re.search(r"\w", each)][:MAX_SENTENCES]
    wanted = _wanted(prompt)
    is_summary = SUMMARY.search(prompt) is not None
    scores = _typical(sentences) if is_summary else _near(sentences, prompt)
    order = sorted(range(len(sentences)), key=lambda place: (-scores[place], place))
    chosen = sorted(place for place in order[:wanted] if scores[place] > 0)
    return " ".join(sentences[place] for place in chosen) or NOTHING


def _wanted(prompt: str) -> int:
    found = WANTED.search(prompt)
    if found is None:
        return USUAL_SENTENCES
    word = found[1].lower()
    return max(1, int(word) if word.isdigit() else NUMBER_WORDS[word])


def _stems(text: str) -> set[str]:
    return {token.stem for token in tokenize(text) if token.word not in FUNCTION}


def _typical(sentences: list[str]) -> list[float]:
    """Full of what the whole is about; the first one says most. Long sentences have no advantage but a small one."""
    stems = [_stems(sentence) for sentence in sentences]
    often = Counter(word for words in stems for word in words)
    return [
        sum(often[word] for word in words) / math.sqrt(len(words) + 1)
        + (often.total() / len(sentences) if place == 0 else 0)
        for place, words in enumerate(stems)
    ]


def _near(sentences: list[str], prompt: str) -> list[float]:
    """Sharing words with what is asked, the more so the rarer they are."""
    asked = _stems(prompt)
    stems = [_stems(sentence) for sentence in sentences]
    holders = Counter(word for words in stems for word in words & asked)
    return [
        sum(math.log(1 + len(sentences) / holders[word]) for word in words & asked)
        for words in stems
    ]
