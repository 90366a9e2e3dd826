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
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def utc_text(moment: datetime) -> str:
    """A time as everything tells it that we write or answer: ISO 8601, in UTC, ending in Z."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z)[1:-1].decode()
