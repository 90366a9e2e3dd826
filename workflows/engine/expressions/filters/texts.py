"""Filters of strings."""

import base64
import hashlib
import html
import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote, unquote
from urllib.parse import urlencode as encode_query

from workflows.engine.expressions import patterns, values
from workflows.engine.expressions.bounds import (
    MAX_OUTPUT,
    Budget,
    ExpressionError,
    too_large,
)

MAX_SLUG = 1_000


def upper(budget: Budget, value: str) -> str:
    """In capital letters."""
    return value.upper()


def lower(budget: Budget, value: str) -> str:
    """In small letters."""
    return value.lower()


def capitalize(budget: Budget, value: str) -> str:
    """The first letter large, the others small."""
    return value.capitalize()


def title(budget: Budget, value: str) -> str:
    """The first letter of each word large."""
    budget.spend(len(value) // 4)
    return re.sub(r"\S+", lambda word: word[0].capitalize(), value)


def trim(budget: Budget, value: str, characters: str | None = None) -> str:
    """Without white space, or these characters, at both ends."""
    if characters is not None and len(characters) > 100:
        raise ExpressionError("trim takes at most 100 characters.")
    return value.strip(characters)


def replace(budget: Budget, value: str, old: str, new: str, count: int = -1) -> str:
    """Each `old` by `new`, or only the first `count`."""
    found = value.count(old)
    if count >= 0:
        found = min(found, count)
    if len(value) + found * (len(new) - len(old)) > MAX_OUTPUT:
        raise too_large()
    budget.spend(found // 10)
    return value.replace(old, new, count)


def split(
    budget: Budget, value: str, separator: str | None = None, limit: int = -1
) -> list[str]:
    """The parts between separators: white space where none is named."""
    if separator == "":
        raise ExpressionError("split takes a separator that is not empty.")
    parts = value.split(separator, limit)
    budget.spend(len(parts))
    return parts


def lines(budget: Budget, value: str) -> list[str]:
    """The lines of a text, without their ends."""
    parts = re.split(r"\r\n|\n|\r", value)
    budget.spend(len(parts))
    return parts if parts[-1] else parts[:-1]


def truncate(budget: Budget, value: str, length: int = 255, end: str = "…") -> str:
    """At most `length` characters, `end` included."""
    if len(value) <= length:
        return value
    kept = max(length - len(end), 0)
    return (value[:kept] + end)[: max(length, 0)]


def repeat(budget: Budget, value: str, count: int) -> str:
    """The text `count` times."""
    if len(value) * max(count, 0) > MAX_OUTPUT:
        raise too_large()
    return value * count


def pad(
    budget: Budget, value: str, width: int, fill: str = " ", side: str = "left"
) -> str:
    """Filled up to `width` characters, on the left or the right."""
    if len(fill) != 1 or side not in {"left", "right"}:
        raise ExpressionError("pad takes one character and the side 'left' or 'right'.")
    if width > MAX_OUTPUT:
        raise too_large()
    return value.rjust(width, fill) if side == "left" else value.ljust(width, fill)


def slug(budget: Budget, value: str) -> str:
    """Small letters, digits and hyphens: fit for a URL."""
    # Long runs of combining marks take the normalization quadratic time.
    if len(value) > MAX_SLUG:
        raise ExpressionError(f"slug takes at most {MAX_SLUG:,} characters.")
    plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")


def urlencode(budget: Budget, value: Any) -> str:
    """Fit for a URL: a string escaped, an object as `a=1&b=2`."""
    if type(value) is not dict:
        text = values.to_text(value, budget)
        budget.spend(len(text) // 5)
        return quote(text, safe="")
    budget.spend(values.measure(value, budget) // 5)
    pairs = [
        (key, values.to_text(member, budget))
        for key, item in value.items()
        for member in (item if type(item) is list else [item])
    ]
    return encode_query(pairs)


def urldecode(budget: Budget, value: str) -> str:
    """What `urlencode` made, undone."""
    budget.spend(value.count("%"))
    return unquote(value)


def base64_encode(budget: Budget, value: str) -> str:
    """In base64, by way of UTF-8."""
    return base64.b64encode(value.encode()).decode()


def base64_decode(budget: Budget, value: str) -> str:
    """The text in a base64 string; the URL-safe alphabet and missing padding are fine."""
    plain = value.strip().replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except ValueError as error:
        raise ExpressionError("base64_decode takes base64 of a UTF-8 text.") from error


def sha256(budget: Budget, value: str) -> str:
    """The SHA-256 of the text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(value.encode()).hexdigest()


def escape(budget: Budget, value: str) -> str:
    """With `<`, `>`, `&` and quotes as HTML entities."""
    return html.escape(value)


def strip_tags(budget: Budget, value: str) -> str:
    """Without HTML tags. For reading, not for safety."""
    budget.spend(value.count("&") + value.count("<"))
    return html.unescape(re.sub(r"<[^<>]*>", "", value))


def wordcount(budget: Budget, value: str) -> int:
    """How many words."""
    budget.spend(len(value) // 20)
    return len(value.split())


def startswith(budget: Budget, value: str, prefix: str) -> bool:
    """Whether it begins so."""
    return value.startswith(prefix)


def endswith(budget: Budget, value: str, suffix: str) -> bool:
    """Whether it ends so."""
    return value.endswith(suffix)


def contains(budget: Budget, value: Any, item: Any) -> bool:
    """Whether a text has this part, a list this item, an object this key."""
    return values.contains(value, item, budget)


def matches(budget: Budget, value: str, pattern: str) -> bool:
    """Whether the regular expression (RE2) is found in the text."""
    return patterns.search(pattern, value, budget)


def find(budget: Budget, value: str, pattern: str) -> Any:
    """The first match of the regular expression: its group if it has one, a list of its groups if several; null if none."""
    match = next(patterns.find(pattern, value, budget), None)
    return None if match is None else _found(match)


def find_all(budget: Budget, value: str, pattern: str) -> list[Any]:
    """Every match of the regular expression, each as `find` gives it."""
    return [_found(match) for match in patterns.find(pattern, value, budget)]


def _found(match: Any) -> Any:
    groups = list(match.groups())
    if not groups:
        return match.group()
    return groups[0] if len(groups) == 1 else groups


def replace_all(budget: Budget, value: str, pattern: str, new: str) -> str:
    r"""Each match of the regular expression by `new`, in which `\1` is the first group."""
    pieces: list[str] = []
    size = at = 0
    for match in patterns.find(pattern, value, budget):
        piece = re.sub(r"\\(\d)", partial(_group, match), new)
        budget.spend_text(len(new) + len(piece))
        pieces += (value[at : match.start()], piece)
        at = match.end()
        size += len(pieces[-2]) + len(piece)
        if size > MAX_OUTPUT:
            raise too_large()
    return values.join_texts([*pieces, value[at:]])


def _group(match: Any, mark: re.Match[str]) -> str:
    number = int(mark[1])
    if number > len(match.groups()):
        raise ExpressionError(f"The pattern has no group {number}.")
    return match.group(number) or ""


FILTERS: dict[str, Callable[..., Any]] = {
    "upper": upper,
    "lower": lower,
    "capitalize": capitalize,
    "title": title,
    "trim": trim,
    "replace": replace,
    "split": split,
    "lines": lines,
    "truncate": truncate,
    "repeat": repeat,
    "pad": pad,
    "slug": slug,
    "urlencode": urlencode,
    "urldecode": urldecode,
    "base64": base64_encode,
    "base64_decode": base64_decode,
    "sha256": sha256,
    "escape": escape,
    "strip_tags": strip_tags,
    "wordcount": wordcount,
    "startswith": startswith,
    "endswith": endswith,
    "contains": contains,
    "matches": matches,
    "find": find,
    "find_all": find_all,
    "replace_all": replace_all,
}
