"""Reads a text into a JSON value. What runs here is linear in the text; the rest is left to the sandbox (`workflows/runner.py`)."""

import csv
import io
from collections.abc import Iterator
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import jwt
import re2

from workflows.nodes.base import NodeError
from workflows.nodes.items import MAX_ITEMS, bounded

MAX_FIELDS = 1_000
MAX_PATTERN = 1_000
MAX_PROGRAM = 2_000
MAX_WORK = 500_000_000  # characters times the size of the pattern's program, some 10 ns for each at the worst
MAX_CELL = 1_000_000
MAX_TOKEN = 20_000


def read_csv(text: str, *, delimiter: str, has_header: bool) -> list[Any]:
    """Objects by the first row's names, or lists; all cells are texts."""
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise NodeError(
            "delimiter must be one character, such as `;`.", code="invalid_config"
        )
    rows = _rows(text.removeprefix("\ufeff"), delimiter)
    if not has_header:
        return list(rows)
    header = next(rows, None)
    if header is None:
        return []
    names = [name.strip() or f"column{at}" for at, name in enumerate(header, 1)]
    if len(set(names)) < len(names):
        raise NodeError(
            "Two columns have the same name. Read it without `header`.",
            code="invalid_input",
        )
    objects = []
    for line, row in enumerate(rows, 2):
        if len(row) > len(names):
            raise NodeError(
                f"Row {line} has {len(row)} cells, and there are {len(names)} columns.",
                code="invalid_input",
            )
        row += [""] * (len(names) - len(row))
        objects.append(dict(zip(names, row, strict=True)))
    return objects


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for count, row in enumerate(bounded(reader)):
            if count > MAX_ITEMS:
                raise NodeError(
                    f"There are more than {MAX_ITEMS:,} rows.", code="over_limit"
                )
            if row:
                yield row
    except csv.Error as error:
        raise NodeError(f"This is not CSV: {error}.", code="invalid_input") from None


def read_form(text: str) -> dict[str, Any]:
    """A name that comes several times has a list of values."""
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise NodeError(
            f"There are more than {MAX_FIELDS:,} fields.", code="over_limit"
        ) from None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return {
        name: values[0] if len(values) == 1 else values
        for name, values in fields.items()
    }


def read_jwt(text: str) -> dict[str, Any]:
    """What a token says of itself. Nobody has looked at its signature."""
    token = text.strip().removeprefix("Bearer ").strip()
    try:
        if len(token) > MAX_TOKEN:
            raise jwt.DecodeError("it is too long")
        whole = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, RecursionError) as error:
        raise NodeError(
            f"This is no JSON Web Token: {error}.", code="invalid_input"
        ) from None
    return {"header": whole["header"], "payload": whole["payload"], "verified": False}


def pattern_fault(pattern: str) -> str:
    """Why this can't be used, or nothing."""
    try:
        compiled(pattern)
    except NodeError as error:
        return error.message
    return ""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise NodeError(
            f"A pattern may have at most {MAX_PATTERN:,} characters.",
            code="invalid_config",
        )
    options = re2.Options()
    options.log_errors = False
    try:
        regex = re2.compile(pattern, options)
    except (re2.error, UnicodeError):
        raise NodeError(
            f"{pattern[:100]!r} is not a regular expression that RE2 knows.",
            code="invalid_config",
        ) from None
    if regex.programsize > MAX_PROGRAM:
        raise NodeError("The pattern is too complex.", code="invalid_config")
    return regex


def read_text(text: str, pattern: str, *, takes_all: bool) -> Any:
    """Each match as an object of its named groups, else a list of its groups, else itself; null where the first is wanted and there is none."""
    regex = compiled(pattern)
    if regex.programsize * len(text) > MAX_WORK:
        raise NodeError(
            "The text is too long for this pattern. Split it first.", code="over_limit"
        )
    found = []
    for match in bounded(regex.finditer(text)):
        found.append(_shown(match))
        if not takes_all:
            return found[0]
        if len(found) > MAX_ITEMS:
            raise NodeError(
                f"There are more than {MAX_ITEMS:,} matches.", code="over_limit"
            )
    return found if takes_all else None


def _shown(match: Any) -> Any:
    if named := match.groupdict():
        return dict(named)
    groups = match.groups()
    if not groups:
        return match.group()
    return groups[0] if len(groups) == 1 else list(groups)
