"""Finding rows by words: the statement that weighs a table's rows, and the part of a row that says what was looked for.

A row's weight is the share of the words that it holds, the rarer of them counting for more: 1 where it holds all. A word is found where one begins with it, so
that `delay` finds `delayed`; accents and capitals make no difference.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

MAX_WORDS = 12
MAX_COLUMNS = 60
PASSAGE_CHARACTERS = 500
ENDING = re.compile(r"(?<=\w{4})(?:ing|ed)$|(?<=\w{3}[^s])s$")
SCORE, ROW = "craft_score", "craft_row"
STOP_WORDS = frozenset(
    """
    a an the this that these those there it its they them their he she his her him we us our you your i me my is are was were be been do does did has have
    had can could will would should may might must of in on at to from for with by as into about over under per than then so and or but if not no what
    which who whom whose when where why how much many
    """.split()  # noqa: SIM905  # read more easily as text
)


def words_of(query: str) -> list[str]:
    """What is looked for: without the words that stand in every text, and without the endings of plurals and verbs."""
    found = re.findall(r"\w+", _plain(query))
    telling = [word for word in found if word not in STOP_WORDS] or found
    bare = [ENDING.sub("", word) for word in telling]
    return list(dict.fromkeys(bare))[:MAX_WORDS]


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.lower())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


def statement(table: str, columns: Sequence[str], words: Sequence[str]) -> str:
    """Rows of a table with their score, the best first. Names are quoted; of the words nothing but letters and digits is left."""
    columns = columns[:MAX_COLUMNS]
    shown = ", ".join(map(_name, columns))
    text = ", ".join(f"CAST({_name(column)} AS VARCHAR)" for column in columns)
    places = range(len(words))
    hits = ", ".join(
        f"CASE WHEN regexp_matches(craft_text, '(^|[^\\pL\\pN]){word}') THEN 1 ELSE 0 END AS craft_hit_{place}"
        for place, word in enumerate(words)
    )
    weights = ", ".join(
        f"ln(1 + count(*) / (sum(craft_hit_{place}) + 0.5)) AS craft_weight_{place}"
        for place in places
    )
    weighed = " + ".join(
        f"craft_hit_{place} * craft_weight_{place}" for place in places
    )
    whole = " + ".join(f"craft_weight_{place}" for place in places)
    any_hit = " + ".join(f"craft_hit_{place}" for place in places)
    return (
        f"WITH craft_rows AS (SELECT {shown}, row_number() OVER () AS {ROW}, lower(strip_accents(concat_ws(' ', {text}))) AS craft_text FROM {_name(table)}), "  # noqa: S608  # of quoted names, and words of letters
        f"craft_hits AS (SELECT *, {hits} FROM craft_rows), craft_weights AS (SELECT {weights} FROM craft_hits) "
        f"SELECT {shown}, {ROW}, round(({weighed}) / ({whole}), 4) AS {SCORE} FROM craft_hits, craft_weights WHERE {any_hit} > 0 "
        f"ORDER BY {SCORE} DESC, length(craft_text), {ROW}"
    )


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def passage(values: dict[str, Any], words: Sequence[str]) -> str:
    """Of the cell that says most of what was looked for, the part around it."""
    cells = [value for value in values.values() if isinstance(value, str)]
    best = max(cells, key=lambda cell: _count(cell, words), default="")
    if not _count(best, words):
        best = ", ".join(f"{name}: {value}" for name, value in values.items())
    if len(best) <= PASSAGE_CHARACTERS:
        return best
    low = best.lower()  # accents may move places a little, which a passage can bear
    first = min((low.find(word) for word in words if word in low), default=0)
    start = max(0, first - PASSAGE_CHARACTERS // 4)
    if start:
        start = low.find(" ", start, first) + 1 or start
    part = best[start : start + PASSAGE_CHARACTERS].rstrip()
    return f"{'…' if start else ''}{part}{'…' if start + len(part) < len(best) else ''}"


def _count(text: str, words: Sequence[str]) -> int:
    plain = _plain(text)
    return sum(word in plain for word in words)
