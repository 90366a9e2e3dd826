"""Whether what a process remembers still holds: one look in the cache that all processes share, instead of a query.

Who remembers something notes the subject's stamp *before* it reads the rows, and what it remembers holds as long as that stamp stands. Who changes the rows
does it inside `changing(subject)`: from before the change until after its commit the subject has no stamp, so nobody remembers anything; then it gets
another one. Where the shared cache can't be reached there is no stamp either, and the rows are read.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from django.core.cache import cache
from django.db import models, transaction
from redis.exceptions import RedisError

logger = logging.getLogger("craft.stamps")

T = TypeVar("T")
M = TypeVar("M", bound=models.Model)

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


_seen: ContextVar[dict[str, str] | None] = ContextVar("seen_stamps", default=None)


@contextmanager
def glance(subjects: Iterable[str]) -> Iterator[None]:
    """Look at these stamps at once. Within it, which should be short, `recent` finds them without another look."""
    keys = {subject: _key(subject) for subject in subjects}
    stamps: dict[str, str] = {}
    if keys and not _link.is_paused:
        try:
            found = cache.get_many(keys.values())
        except UNREACHABLE as error:
            _link.broke(error)
        else:
            stamps = {
                subject: f"{_link.era}:{found[key]}"
                for subject, key in keys.items()
                if found.get(key, CHANGING) != CHANGING
            }
    token = _seen.set(stamps)
    try:
        yield
    finally:
        _seen.reset(token)


def recent(subject: str) -> str | None:
    """The subject's stamp as a glance around this saw it; else as it is now."""
    seen = _seen.get()
    return seen[subject] if seen and subject in seen else current(subject)


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


# --- What a process remembers ---


@dataclass(frozen=True)
class _Kept(Generic[T]):
    value: T
    stamp: str
    until: float


class Memory(Generic[T]):
    """What one process remembers of rows, for a few seconds and as long as their subject's stamp stands. Threads share the values: they are for reading."""

    def __init__(self, *, seconds: float, most: int) -> None:
        self._seconds = seconds
        self._most = most
        self._kept: dict[Any, _Kept[T]] = {}

    def recall(self, key: Any, subject: str, read: Callable[[], T | None]) -> T | None:
        """What `read` found for this key, or finds now. What is not there is looked for again each time."""
        stamp = recent(subject)
        kept = self._kept.get(key)
        if kept and kept.stamp == stamp and kept.until > time.monotonic():
            return kept.value
        value = read()
        if value is not None and stamp is not None:
            if len(self._kept) >= self._most:
                self._kept.clear()
            until = time.monotonic() + self._seconds
            self._kept[key] = _Kept(value, stamp, until)
        return value


# --- Rows that are remembered ---


class StampedQuerySet(models.QuerySet[M]):
    """Of a `StampedModel`."""

    def changing(self) -> Any:
        """The context in which these rows may be written."""
        raise NotImplementedError

    def update(self, **kwargs: Any) -> int:
        if kwargs.keys() <= unheeded_of(self.model):
            return super().update(**kwargs)
        with self.changing():
            return super().update(**kwargs)

    update.alters_data = True  # type: ignore[attr-defined]  # Django's own mark, for templates

    def delete(self) -> tuple[int, dict[str, int]]:
        with self.changing():
            return super().delete()

    delete.alters_data = True  # type: ignore[attr-defined]  # as above
    delete.queryset_only = True  # type: ignore[attr-defined]  # as above


def unheeded_of(model: Any) -> frozenset[str]:
    fields: frozenset[str] = model.unheeded
    return fields


class StampedModel(models.Model):
    """Rows that processes remember. However they are written, in a service, in the console, in a shell, what is remembered of them ends with it."""

    unheeded: ClassVar[frozenset[str]] = frozenset()
    """Fields that nobody remembers, and that change often."""

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        changed = kwargs.get("update_fields")
        is_heeded = changed is None or not set(changed) <= self.unheeded
        if self._state.adding or not is_heeded:
            super().save(*args, **kwargs)
            return
        with self.changing():
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with self.changing():
            return super().delete(*args, **kwargs)

    def changing(self) -> Any:
        """The context in which this row may be written."""
        raise NotImplementedError
