"""What a JSON Schema asks for, out of what a text says plainly. What is not found is left out, or null where that is allowed; nothing is guessed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import re2

from agents.llm.craftai.tasks.facts import (
    MAIL,
    PHONE,
    URL,
    Facts,
    Row,
    date_in,
    fit,
    money_in,
    number_in,
    read,
    stems_of,
)

Schema = dict[str, Any]
MISSING: Any = object()
GOOD_ENOUGH = 0.34
MAX_WORDS = 5_000
AMOUNTS = frozenset(
    "amount total sum price cost value fee charge balance due".split()  # noqa: SIM905  # read more easily as text
)
YES = frozenset({"yes", "y", "true", "on", "1", "ok", "agreed", "x", "✓", "✔"})
NO = frozenset({"no", "n", "false", "off", "0", "none", "-", "✗", "✘"})


def extract(source: Any, schema: Schema | None) -> Any:
    facts = read(source)
    if not schema:
        first = dict(reversed(facts.pairs))
        return {label: first[label] for label, _ in facts.pairs}
    found = _found(schema, "", facts, is_root=True)
    return None if found is MISSING else found


def _found(schema: Schema, name: str, facts: Facts, *, is_root: bool = False) -> Any:
    kind = kind_of(schema)
    if kind == "object":
        return _object(schema, name, facts, is_root=is_root)
    if kind == "array" and kind_of(_items(schema)) == "object":
        return _records(_items(schema), name, facts)
    labelled = _labelled(schema, name, facts)
    return _by_its_looks(schema, name, facts) if labelled is MISSING else labelled


def kind_of(schema: Schema) -> str:
    said = schema.get("type")
    kinds = [said] if isinstance(said, str) else list(said or [])
    kinds = [kind for kind in kinds if kind != "null"]
    if kinds:
        return str(kinds[0])
    return "object" if "properties" in schema else "array" if "items" in schema else ""


def _items(schema: Schema) -> Schema:
    items = schema.get("items")
    return items if isinstance(items, dict) else {}


def _properties(schema: Schema) -> dict[str, Schema]:
    given = schema.get("properties", {})
    return {
        name: each if isinstance(each, dict) else {} for name, each in given.items()
    }


def _object(schema: Schema, name: str, facts: Facts, *, is_root: bool) -> Any:
    if not is_root:
        inner = _labelled_value(
            name, schema, facts, lambda value: isinstance(value, dict)
        )
        facts = facts if inner is MISSING else read(inner)
    found = {}
    required = schema.get("required", [])
    for key, each in _properties(schema).items():
        value = _found(each, key, facts)
        if value is MISSING and key in required and _may_be_null(each):
            value = None
        if value is not MISSING:
            found[key] = value
    return found if found or is_root else MISSING


def _may_be_null(schema: Schema) -> bool:
    said = schema.get("type")
    return said is None or said == "null" or (isinstance(said, list) and "null" in said)


# --- Rows ---


def _records(schema: Schema, name: str, facts: Facts) -> Any:
    """The rows of the table whose headings fit best."""
    best, most = MISSING, 0.0
    for table in facts.tables:
        headings = list(dict.fromkeys(key for row in table for key in row))
        columns = _columns(schema, headings)
        if len(columns) > most:
            most = len(columns)
            best = [_record(schema, columns, row) for row in table]
    return best


def _columns(schema: Schema, headings: Iterable[str]) -> dict[str, str]:
    """The heading of each property."""
    stems = [(heading, stems_of(heading)) for heading in headings]
    columns = {}
    for key, each in _properties(schema).items():
        fits = [
            (max(fit(wanted, label) for wanted in _names(key, each)), heading)
            for heading, label in stems
        ]
        score, heading = max(fits, default=(0.0, ""), key=lambda pair: pair[0])
        if score >= GOOD_ENOUGH:
            columns[key] = heading
    return columns


def _record(schema: Schema, columns: dict[str, str], row: Row) -> Row:
    found = {}
    for key, each in _properties(schema).items():
        value = coerced(row.get(columns[key]), each) if key in columns else MISSING
        if (
            value is MISSING
            and _may_be_null(each)
            and key in schema.get("required", [])
        ):
            value = None
        if value is not MISSING:
            found[key] = value
    return found


# --- By a label ---


def _names(key: str, schema: Schema) -> list[list[str]]:
    return [
        stems_of(key),
        *([stems_of(schema["title"])] if schema.get("title") else []),
    ]


def _labelled(schema: Schema, name: str, facts: Facts) -> Any:
    found = _labelled_value(
        name, schema, facts, lambda value: coerced(value, schema) is not MISSING
    )
    return (
        _in_a_sentence(schema, name, facts)
        if found is MISSING
        else coerced(found, schema)
    )


def _labelled_value(
    name: str, schema: Schema, facts: Facts, is_usable: Callable[[Any], bool]
) -> Any:
    """The value under the label that fits best; of several the first."""
    best, value = GOOD_ENOUGH, MISSING
    for label, given in facts.labels:
        score = max((fit(wanted, label) for wanted in _names(name, schema)), default=0)
        if (score > best or (value is MISSING and score == best)) and is_usable(given):
            best, value = score, given
    return value


def _in_a_sentence(schema: Schema, name: str, facts: Facts) -> Any:
    """`the order number is A-17`, `order #17`: the name's own words, and what follows them."""
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    words = [word for word in words if word and word.lower() != "id"]
    if not words or kind_of(schema) in {"boolean", "array"} or "enum" in schema:
        return MISSING
    said = r"[ _-]".join(map(re.escape, words))
    found = re.search(
        rf"\b{said}\b[ \t]{{0,5}}(?:(?:no|nr|id)\b\.?|number)?[ \t]{{0,5}}(?:is|was|of|[:=#])[ \t]{{0,5}}([^\s,;][^\n,;]{{0,199}})",
        facts.text,
        re.IGNORECASE,
    )
    if found is None:
        return MISSING
    value = re.split(r"[.!?](?:\s|$)", found[1])[0].strip(" \"'")
    if kind_of(schema) in {"string", ""} and "format" not in schema:
        value = re.split(r"\s(?:and|but|which|who|from|for|by|on)\s", value)[0]
    return coerced(value, schema)


# --- By its looks ---


def _by_its_looks(schema: Schema, name: str, facts: Facts) -> Any:
    """What needs no label: the one mail address, the one date, the largest amount."""
    words, text = set(stems_of(name)), facts.text
    kind, form = kind_of(schema), schema.get("format")
    if "enum" in schema or "const" in schema:
        return _option(schema, text)
    if kind == "array":
        return _several(_items(schema), words, text)
    if kind in {"number", "integer"}:
        amounts = [amount for amount, _ in money_in(text)]
        if words & AMOUNTS and amounts:
            return coerced(max(amounts), schema)
        return coerced(text, schema) if not name else MISSING
    if kind not in {"string", ""}:
        return MISSING
    if "pattern" in schema:
        return next(
            (word for word in _words(text) if re2.fullmatch(schema["pattern"], word)),
            MISSING,
        )
    if form == "email" or words & {"email", "mail"}:
        return _first(MAIL, text)
    if form in {"uri", "url"} or words & {"url", "link", "websit", "homepag"}:
        return _first(URL, text)
    if form in {"date", "date-time"} or words & {"date"}:
        return date_in(text, with_time=form == "date-time") or MISSING
    if words & {"phon", "mobil", "telephon"}:
        return _first(PHONE, text)
    if words & {"currency"}:
        return next((currency for _, currency in money_in(text)), MISSING)
    return MISSING


def _first(pattern: re.Pattern[str], text: str) -> Any:
    found = pattern.search(text)
    return found[0].rstrip(".,;") if found else MISSING


def _words(text: str) -> list[str]:
    return [word.strip("()[]\"'.,;:!?") for word in text.split()[:MAX_WORDS]]


def _several(items: Schema, words: set[str], text: str) -> Any:
    form = items.get("format")
    if form == "email" or words & {"email", "mail"}:
        found: list[Any] = MAIL.findall(text)
    elif form in {"uri", "url"} or words & {"url", "link"}:
        found = URL.findall(text)
    elif "enum" in items:
        found = [option for option in items["enum"] if _says(text, option)]
    else:
        return MISSING
    return list(dict.fromkeys(found)) or MISSING


def _says(text: str, option: Any) -> bool:
    return bool(
        re.search(rf"(?<!\w){re.escape(str(option))}(?!\w)", text, re.IGNORECASE)
    )


def _option(schema: Schema, text: str) -> Any:
    options = schema.get("enum", [schema.get("const")])
    return next((option for option in options if _says(text, option)), MISSING)


# --- As the schema wants it ---


def coerced(value: Any, schema: Schema) -> Any:
    """The value as this type, or MISSING."""
    if value is None or value == "":
        return MISSING
    if "enum" in schema or "const" in schema:
        options = schema.get("enum", [schema.get("const")])
        return value if value in options else _option(schema, str(value))
    kind = kind_of(schema)
    if kind in _COERCIONS:
        return _COERCIONS[kind](value, schema)
    return value


def _as_number(value: Any, schema: Schema) -> Any:
    if isinstance(value, str):
        amounts = money_in(value)
        found = amounts[0][0] if amounts else number_in(value)
    else:
        found = value
    if isinstance(found, bool) or not isinstance(found, int | float):
        return MISSING
    if kind_of(schema) == "integer":
        return int(found) if found == int(found) else MISSING
    return found


def _as_boolean(value: Any, schema: Schema) -> Any:
    if isinstance(value, bool):
        return value
    word = re.split(r"[\s,.;!]", str(value).strip().lower())[0]
    return True if word in YES else False if word in NO else MISSING


def _as_string(value: Any, schema: Schema) -> Any:
    if isinstance(value, dict | list):
        return MISSING
    text = value.strip(" \"'") if isinstance(value, str) else str(value)
    form = schema.get("format")
    if form in {"date", "date-time"}:
        return date_in(text, with_time=form == "date-time") or MISSING
    if form == "email":
        return _first(MAIL, text)
    if form in {"uri", "url"}:
        return _first(URL, text)
    if "pattern" in schema and not re2.search(schema["pattern"], text):
        words = _words(text)
        return next(
            (word for word in words if re2.search(schema["pattern"], word)), MISSING
        )
    return text


def _as_array(value: Any, schema: Schema) -> Any:
    if isinstance(value, str):
        value = [part for part in re.split(r"\s*[,;/]\s*|\s+and\s+", value) if part]
    if not isinstance(value, list):
        return MISSING
    found = [coerced(item, _items(schema)) for item in value]
    return [item for item in found if item is not MISSING] or MISSING


def _as_object(value: Any, schema: Schema) -> Any:
    return value if isinstance(value, dict) else MISSING


_COERCIONS: dict[str, Callable[[Any, Schema], Any]] = {
    "number": _as_number,
    "integer": _as_number,
    "boolean": _as_boolean,
    "string": _as_string,
    "array": _as_array,
    "object": _as_object,
}
