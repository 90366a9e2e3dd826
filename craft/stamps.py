"""Whether what a process remembers still holds: one look in the cache that all processes share, instead of a query.

Who remembers something notes the subject's stamp *before* it reads the rows, and what it remembers holds as long as that stamp stands. Who changes the rows
does it inside `changing(subject)`: from before the change until after its commit the subject has no stamp, so nobody remembers anything; then it gets
another one. Where the shared cache can't be reached there is no stamp either, and the rows are read.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from django.core.cache import cache
from django.db import transaction
from redis.exceptions import RedisError

logger = logging.getLogger("craft.stamps")

UNREACHABLE = (RedisError, OSError)
CHANGING = "changing"
CHANGE_SECONDS = 60
"""As long as a transaction may take. One that is rolled back leaves the subject without a stamp until then, which costs queries and nothing else."""
KEEP_SECONDS = 24 * 60 * 60
PAUSE_SECONDS = 1.0
"""After a failure, for so long no request waits for the cache again."""


class _Link:
    """What this process knows of the way to the shared cache. Stamps from before a break of it are worth nothing: a change may have passed unseen."""

    def __init__(self) -> None:
        self.era = 0
        self.paused_until = 0.0

    @property
    def is_paused(self) -> bool:
        return time.monotonic() < self.paused_until

    def broke(self, error: Exception) -> None:
        self.era += 1
        self.paused_until = time.monotonic() + PAUSE_SECONDS
        logger.warning(
            "the shared cache can't be reached (%s); rows are read instead",
            type(error).__name__,
        )


_link = _Link()


def current(subject: str) -> str | None:
    """The subject's stamp; None while it changes, or while nobody can say."""
    if _link.is_paused:
        return None
    key = _key(subject)
    try:
        stamp = cache.get(key)
        if stamp is None:
            cache.add(key, secrets.token_hex(8), KEEP_SECONDS)
            stamp = cache.get(key)
    except UNREACHABLE as error:
        _link.broke(error)
        return None
    return None if stamp in (None, CHANGING) else f"{_link.era}:{stamp}"


@contextmanager
def changing(subjects: Iterable[str]) -> Iterator[None]:
    """Around a change of rows. Where that is part of a larger transaction, the new stamps come with its commit."""
    keys = [_key(subject) for subject in subjects]
    _write(keys, CHANGING, CHANGE_SECONDS)
    yield
    transaction.on_commit(partial(_renew, keys))


def _renew(keys: list[str]) -> None:
    _write(keys, secrets.token_hex(8), KEEP_SECONDS)


def _write(keys: list[str], value: str, seconds: int) -> None:
    if not keys:
        return
    try:
        cache.set_many(dict.fromkeys(keys, value), seconds)
    except UNREACHABLE as error:
        _link.broke(error)


def _key(subject: str) -> str:
    return f"stamp:{subject}"
