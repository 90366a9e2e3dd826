"""Leaves out what is there already."""

from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.items import (
    FIELD,
    ITEMS,
    MISSING,
    bounded,
    dig,
    identity,
    items_of,
    path_of,
)
from workflows.nodes.resolved import choice, listing


class Dedupe(Node):
    type = "dedupe"
    family = "processing"
    summary = (
        "Keeps one of those items of a list that are equal, in whole or in some fields."
    )
    config_schema = {
        "type": "object",
        "properties": {
            "items": ITEMS,
            "by": {
                "type": "array",
                "items": FIELD,
                "minItems": 1,
                "maxItems": 20,
                "description": "The fields that tell items apart, as dotted paths. Without it, the whole item does.",
            },
            "keep": {
                "enum": ["first", "last"],
                "default": "first",
                "description": "Which of the equal ones to keep, where it stands.",
            },
            "missing": {
                "enum": ["equal", "keep"],
                "default": "equal",
                "description": "Whether a missing field is a value like any other, or items that lack one are all kept.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {"by": ["email"]},
        "input": [
            {"id": 1, "email": "ada@example.com"},
            {"id": 2, "email": "bo@example.com"},
            {"id": 3, "email": "ada@example.com"},
        ],
        "output": [
            {"id": 1, "email": "ada@example.com"},
            {"id": 2, "email": "bo@example.com"},
        ],
    }

    async def run(self, call: Call) -> Output:
        items = items_of(call)
        fields = listing(call, "by") or ["."]
        if not all(isinstance(field, str) for field in fields):
            raise NodeError("by takes paths into the items.", code="invalid_config")
        paths = [path_of(field) for field in fields]
        keeps_missing = choice(call, "missing", ("equal", "keep"), "equal") == "keep"
        is_last = choice(call, "keep", ("first", "last"), "first") == "last"
        seen: set[Any] = set()
        kept: list[Any] = []
        for item in bounded(reversed(items) if is_last else items):
            values = [dig(item, path) for path in paths]
            if keeps_missing and any(value is MISSING for value in values):
                kept.append(item)
                continue
            key = tuple(identity(value) for value in values)
            if key not in seen:
                seen.add(key)
                kept.append(item)
        return Output(kept[::-1] if is_last else kept)
