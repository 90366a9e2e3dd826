"""Leaves out what is there already."""

import hashlib
from typing import Any

from workflows.models import SeenKey
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
from workflows.nodes.resolved import choice, listing, number
from workflows.nodes.threads import in_thread

MAX_SECONDS = 366 * 24 * 3600


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
            "remember_seconds": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_SECONDS,
                "description": "Leaves out also what an earlier execution of this workflow let through here, within so many seconds (at most 366 days).",
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

    def suspends(self, config: dict[str, Any]) -> bool:
        return "remember_seconds" in config

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
        keys: list[Any] = []
        for item in bounded(reversed(items) if is_last else items):
            values = [dig(item, path) for path in paths]
            if keeps_missing and any(value is MISSING for value in values):
                kept.append(item)
                keys.append(None)
                continue
            key = tuple(identity(value) for value in values)
            if key not in seen:
                seen.add(key)
                kept.append(item)
                keys.append(key)
        if "remember_seconds" in call.config and not call.is_dry:
            new = await _never_seen(call, keys)
            kept = [item for item, is_new in zip(kept, new, strict=True) if is_new]
        return Output(kept[::-1] if is_last else kept)


async def _never_seen(call: Call, keys: list[Any]) -> list[bool]:
    """What has no key is always new."""
    seconds = number(call, "remember_seconds", at_least=1, at_most=MAX_SECONDS)
    digests = [key and _digest(key) for key in keys]
    new = await in_thread(lambda: _claim(call, list(filter(None, digests)), seconds))
    return [digest is None or digest in new for digest in digests]


def _digest(key: Any) -> str:
    return hashlib.sha256(repr(_ordered(key)).encode()).hexdigest()


def _ordered(key: Any) -> Any:
    """Without the sets of `identity`, whose order is not the same in every process."""
    match key:
        case frozenset():
            return sorted(((name, _ordered(value)) for name, value in key), key=repr)
        case tuple():
            return [_ordered(each) for each in key]
        case type():
            return key.__name__
        case int() if not isinstance(key, bool):
            return float(key)
    return key


def _claim(call: Call, digests: list[str], seconds: float) -> set[str]:
    own: set[str] = SeenKey.objects.for_company(call.company_id).claim(
        company_id=call.company_id,
        workflow_id=call.workflow_id,
        node_id=call.node_id,
        owner=call.idempotency_key,
        digests=digests,
        seconds=seconds,
    )
    return own
