"""What nodes with a `cache` gave, kept for every process: in Redis, or in this process where there is none.

Keys are digested under the installation's secret, so that nobody who reads the cache can try what a call was made of. A cache that is down finds nothing and
keeps nothing, and the calls are made.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import TypeVar

from django.core.cache import cache
from django.utils.crypto import salted_hmac

from craft.encoding import to_json
from workflows.engine.flights import Result

MAX_BYTES = 256 * 1024
"""A larger result is not kept."""

logger = logging.getLogger("craft.engine")

T = TypeVar("T")


def recall(key: str) -> Result | None:
    kept: bytes | None = _tried(lambda: cache.get(_named("result", key)), None)
    if kept is None:
        return None
    value, handles = json.loads(kept)
    return value, handles


def remember(key: str, result: Result, seconds: int) -> None:
    try:
        text = to_json(list(result))
    except TypeError:
        return  # no JSON, which the one who writes it down will say
    if len(text) <= MAX_BYTES:
        _tried(lambda: cache.set(_named("result", key), text, seconds), None)


def mark(key: str, seconds: int) -> bool:
    return _tried(lambda: cache.add(_named("flight", key), 1, seconds), default=True)


def renew(key: str, seconds: int) -> None:
    _tried(lambda: cache.touch(_named("flight", key), seconds), default=False)


def unmark(key: str) -> None:
    _tried(lambda: cache.delete(_named("flight", key)), default=False)


def _named(kind: str, key: str) -> str:
    return f"node:{kind}:{salted_hmac('workflows.engine.results', key, algorithm='sha256').hexdigest()}"


def _tried(ask: Callable[[], T], default: T) -> T:
    try:
        return ask()
    except Exception as error:
        logger.warning("the cache of nodes' results does not answer: %r", error)
        return default
