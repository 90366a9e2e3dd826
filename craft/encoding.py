"""JSON as it is stored and sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson


def to_json(value: Any) -> bytes:
    """Quickly; and where the quick way ends, at numbers beyond 64 bits, all the same."""
    try:
        return orjson.dumps(value)
    except TypeError:
        text = json.dumps(
            value, ensure_ascii=False, separators=(",", ":"), default=_content_of
        )
        return text.encode()


def _content_of(value: Any) -> Any:
    if isinstance(value, orjson.Fragment):
        return json.loads(value.contents)
    raise TypeError(f"{type(value).__name__} is no JSON.")


def utc_text(moment: datetime) -> str:
    """A time as everything tells it that we write or answer: ISO 8601, in UTC, ending in Z."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat().replace("+00:00", "Z")
