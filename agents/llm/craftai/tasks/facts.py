"""What a text says plainly: labels with their values, tables, and things that are known by their looks."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from agents.llm.craftai.words import MONTHS, likeness, split_name, stem

MAX_PAIRS, MAX_ROWS, MAX_DEPTH = 500, 2_000, 20

PAIR = re.compile(
    r"^[ \t>*•-]*(?P<label>[^\W\d_][^:=\t|\n]{0,59}?)[ \t]{0,20}(?:[:=]|\t| [–—-] )(?!//)(?P<value>[^\n]*)$",
    re.MULTILINE,
)
RULER = re.compile(r"^[|\s:+-]+$")
MAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")
URL = re.compile(r"https?://[^\s<>\"')\]]{1,2000}")
PHONE = re.compile(r"(?<![\w.])\+?\(?\d[\d ()/.-]{5,20}\d(?![\w.])")
_NUMBER = (
    r"[+-]?(?:\d{1,3}(?:[ ',.]\d{3})+(?!\d)(?:[.,]\d{1,9})?|\d{1,30}(?:[.,]\d{1,30})?)"
)
NUMBER = re.compile(rf"(?<![\w.,]){_NUMBER}")
_CURRENCY = r"[$€£¥]|\b(?:USD|EUR|GBP|CHF|JPY)\b"
MONEY = re.compile(
    rf"(?P<before>{_CURRENCY})\s?(?P<a>{_NUMBER})|(?<![\w.,])(?P<b>{_NUMBER})\s?(?P<after>{_CURRENCY})"
)
CURRENCIES = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
DATE = re.compile(
    rf"""
      (?P<year>\d{{4}})-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}})
    | (?P<dotted_day>\d{{1,2}})\.\s?(?P<dotted_month>\d{{1,2}})\.\s?(?P<dotted_year>\d{{4}})
    | (?P<one>\d{{1,2}})/(?P<other>\d{{1,2}})/(?P<slashed_year>\d{{4}})
    | (?P<named_day>\d{{1,2}})(?:st|nd|rd|th)?\.?\s+(?:of\s+)?(?P<named_month>{_MONTH})\.?,?\s+(?P<named_year>\d{{4}})
    | (?P<us_month>{_MONTH})\.?\s+(?P<us_day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<us_year>\d{{4}})
    """,
    re.IGNORECASE | re.VERBOSE,
)
TIME = re.compile(
    r"^(?:T|,?\s+(?:at\s+)?)(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2})?"
)

Row = dict[str, Any]


@dataclass
class Facts:
    """Read once. `pairs` are labels and values in the order of the text, `tables` lists of rows by their headings."""

    text: str
    pairs: list[tuple[str, Any]] = field(default_factory=list)
    tables: list[list[Row]] = field(default_factory=list)

    @cached_property
    def labels(self) -> list[tuple[list[str], Any]]:
        return [(stems_of(label), value) for label, value in self.pairs]


def read(source: Any) -> Facts:
    """Of a text, of JSON in a text, or of a value."""
    if isinstance(source, str):
        try:
            value = json.loads(source)
        except (ValueError, RecursionError):
            return _of_text(source)
        if not isinstance(value, dict | list):
            return _of_text(source)
        source = value
    facts = Facts(json.dumps(source, ensure_ascii=False))
    _walk(source, "", facts, MAX_DEPTH)
    return facts


def _walk(value: Any, label: str, facts: Facts, depth: int) -> None:
    if len(facts.pairs) >= MAX_PAIRS or depth == 0:
        return
    if label:
        facts.pairs.append((label, value))
    if isinstance(value, dict):
        for key, item in value.items():
            _walk(item, str(key), facts, depth - 1)
    elif isinstance(value, list) and value:
        if all(isinstance(item, dict) for item in value):
            facts.tables.append(value[:MAX_ROWS])
        for item in value:
            _walk(item, "", facts, depth - 1)


def _of_text(text: str) -> Facts:
    pairs = [
        (found["label"].strip(" *"), found["value"].strip(" \t*\r"))
        for found, _ in zip(PAIR.finditer(text), range(MAX_PAIRS), strict=False)
    ]
    pairs = [(label, value) for label, value in pairs if value]
    return Facts(text, pairs, list(_tables(text)))


# --- Tables ---


def _tables(text: str) -> Iterator[list[Row]]:
    """Neighbouring lines that are cut by the same sign into the same number of cells; the first one names them."""
    block: list[list[str]] = []
    sign = ""
    for line in [*text.splitlines(), ""]:
        if block and sign == "|" and RULER.match(line) and "-" in line:
            continue
        cells = _cells(line, sign) if block else []
        if block and len(cells) == len(block[0]):
            block.append(cells)
            continue
        if len(block) > 1:
            yield _rows(block)
        sign, block = _begin(line)
    if len(block) > 1:
        yield _rows(block)


def _begin(line: str) -> tuple[str, list[list[str]]]:
    for sign in ("|", "\t", ";", ","):
        cells = _cells(line, sign)
        if len(cells) > 1 and all(re.search(r"[^\W\d]", cell) for cell in cells):
            return sign, [cells]
    return "", []


def _cells(line: str, sign: str) -> list[str]:
    if sign not in line or not line.strip():
        return []
    bare = line.strip().strip("|") if sign == "|" else line
    try:
        [cells] = csv.reader([bare], delimiter=sign, skipinitialspace=True)
    except (csv.Error, ValueError):
        return []
    return [cell.strip() for cell in cells]


def _rows(block: list[list[str]]) -> list[Row]:
    heading, *rows = block
    return [dict(zip(heading, row, strict=True)) for row in rows[:MAX_ROWS]]


# --- Names ---


def stems_of(name: str) -> list[str]:
    return [stem(word) for word in split_name(name)]


def fit(wanted: list[str], label: list[str]) -> float:
    """How well a label names what is wanted: 1 for the very words, less for words of one meaning and for words too many. 0 where one is missing."""
    if not wanted or not label:
        return 0.0
    nearest = [max(likeness(word, other) for other in label) for word in wanted]
    if min(nearest) == 0:
        return 0.0
    return sum(nearest) / len(nearest) * (len(wanted) / max(len(label), len(wanted)))


# --- Values ---


def number_in(text: str) -> float | int | None:
    found = NUMBER.search(text)
    return as_number(found[0]) if found else None


def as_number(text: str) -> float | int | None:
    """`1.234,56` and `1,234.56` alike: of two signs the last one is the decimal's, and a lone one is unless three digits follow it."""
    bare = re.sub(r"[ ']", "", text)
    last = max(bare.rfind("."), bare.rfind(","))
    if last >= 0:
        sign, digits = bare[last], len(bare) - last - 1
        other = "," if sign == "." else "."
        is_decimal = bare.count(sign) == 1 and (other in bare or digits != 3)
        whole = bare[:last].replace(other, "").replace(sign, "")
        bare = f"{whole}.{bare[last + 1 :]}" if is_decimal else whole + bare[last + 1 :]
        bare = bare if is_decimal else bare.replace(other, "")
    try:
        return float(bare) if "." in bare else int(bare)
    except ValueError:
        return None


def money_in(text: str) -> list[tuple[float | int, str]]:
    """Amounts, each with its currency."""
    found = []
    for match in MONEY.finditer(text):
        amount = as_number(match["a"] or match["b"])
        sign = match["before"] or match["after"]
        if amount is not None:
            found.append((amount, CURRENCIES.get(sign, sign)))
    return found


def date_in(text: str, *, with_time: bool = False) -> str | None:
    """The first date, as ISO writes it. With dots the day comes first, with slashes the month, where there is one of that number."""
    for found in DATE.finditer(text):
        day = _date_of(found)
        if day is None:
            continue
        if not with_time:
            return day.isoformat()
        time = TIME.match(text[found.end() :])
        hour, minute, second, zone = time.groups() if time else ("0", "00", None, None)
        return (
            f"{day.isoformat()}T{int(hour):02}:{minute}:{second or '00'}{zone or 'Z'}"
        )
    return None


def _date_of(found: re.Match[str]) -> date | None:
    parts = {name: value for name, value in found.groupdict().items() if value}
    named = {name.rpartition("_")[2]: value for name, value in parts.items()}
    if "one" in parts:
        month, day = int(parts["one"]), int(parts["other"])
        if month > 12:
            month, day = day, month
    else:
        word = named["month"].lower()
        month = MONTHS[word] if word in MONTHS else int(word)
        day = int(named["day"])
    try:
        return date(int(named["year"]), month, day)
    except ValueError:
        return None
