"""Puts a list in order."""

import re
from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.items import (
    FIELD,
    ITEMS,
    MISSING,
    bounded,
    dig,
    items_of,
    order_kind,
    path_of,
)
from workflows.nodes.resolved import listing

MAX_KEYS = 10
DIGITS = re.compile(r"([0-9]+)")

KEY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "field": FIELD
        | {"description": "A dotted path into each item; `.` is the item itself."},
        "direction": {
            "enum": ["asc", "desc"],
            "default": "asc",
            "description": "Upwards or downwards.",
        },
        "nulls": {
            "enum": ["last", "first"],
            "default": "last",
            "description": "Where items go that have null there, or nothing; whatever the direction.",
        },
        "order": {
            "enum": ["plain", "natural"],
            "default": "plain",
            "description": "natural reads the numbers in texts: `file2` stands before `file10`.",
        },
        "case_sensitive": {
            "type": "boolean",
            "default": False,
            "description": "Whether capital letters stand before small ones.",
        },
    },
    "required": ["field"],
    "additionalProperties": False,
}


class Sort(Node):
    type = "sort"
    family = "processing"
    summary = "Puts a list in order, by one or more fields of its items. Items that are equal stay in their order."
    config_schema = {
        "type": "object",
        "properties": {
            "items": ITEMS,
            "by": {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_KEYS,
                "items": {"anyOf": [FIELD, KEY]},
                "default": ["."],
                "description": "What to sort by, the most important first: paths into the items, or objects with more to say. Without it, by the items themselves.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {"by": [{"field": "total", "direction": "desc"}, "name"]},
        "input": [
            {"name": "Bo", "total": 5},
            {"name": "Ada", "total": 5},
            {"name": "Cy", "total": 9},
        ],
        "output": [
            {"name": "Cy", "total": 9},
            {"name": "Ada", "total": 5},
            {"name": "Bo", "total": 5},
        ],
    }

    async def run(self, call: Call) -> Output:
        items = items_of(call)
        for key in bounded(reversed(listing(call, "by") or ["."])):
            items = _sorted(items, {"field": key} if isinstance(key, str) else key)
        return Output(items)


def _sorted(items: list[Any], key: Any) -> list[Any]:
    if not isinstance(key, dict) or not isinstance(key.get("field"), str):
        raise NodeError(
            "by takes paths, or objects with a field.", code="invalid_config"
        )
    path = path_of(key["field"])
    found = [dig(item, path) for item in bounded(items)]
    known = [
        (value, item)
        for value, item in zip(found, items, strict=True)
        if value is not MISSING and value is not None
    ]
    unknown = [
        item
        for value, item in zip(found, items, strict=True)
        if value is MISSING or value is None
    ]
    values = [value for value, _ in known]
    if order_kind(values, f"What stands at {key['field']}") is str:
        values = _keys_of_texts(values, key)
    order = sorted(
        range(len(known)),
        key=values.__getitem__,
        reverse=key.get("direction") == "desc",
    )
    ordered = [known[place][1] for place in order]
    return unknown + ordered if key.get("nulls") == "first" else ordered + unknown


def _keys_of_texts(texts: list[str], key: dict[str, Any]) -> list[Any]:
    if not key.get("case_sensitive", False):
        texts = [text.casefold() for text in texts]
    if key.get("order") != "natural":
        return texts
    return [_natural(text) for text in bounded(texts)]


def _natural(text: str) -> list[Any]:
    """Texts at even places, numbers at odd ones; a number as its length and its digits, which need no arithmetic however long it is."""
    parts: list[Any] = DIGITS.split(text)
    for place in range(1, len(parts), 2):
        digits = parts[place].lstrip("0")
        parts[place] = (len(digits), digits)
    return parts
