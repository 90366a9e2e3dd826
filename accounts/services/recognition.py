"""Whose key this is. Found in the database once, remembered by each process for a few seconds, and forgotten at once when a key, a role, a membership or a
person changes: one look at the company's stamp says whether anything has (`craft/stamps.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from accounts import tasks
from accounts.models import ApiKey
from accounts.models.access import ANYBODY, access_subject
from accounts.services.keys import digest_of_key, find_by_digest, is_well_formed_key
from craft import stamps
from craft.leases import Doorbell

KEEP_SECONDS = 5.0
MOST_KEPT = 10_000
NOTE_EVERY = timedelta(seconds=50)
"""`last_used` is at most a minute late; the rest of it is the worker's."""


@dataclass(frozen=True)
class _Kept:
    api_key: ApiKey
    stamp: str | None
    until: float

    @property
    def holds(self) -> bool:
        return (
            self.stamp is not None
            and self.until > time.monotonic()
            and _stamp_for(self.api_key) == self.stamp
        )


_kept: dict[str, _Kept] = {}


def recognise_key(text: str) -> ApiKey | None:
    """The key with its person and company, or None. At most one query; none for a typo, nor while it is remembered. Expiry is the caller's to judge."""
    shared = recognise_shared(text)
    return shared and _own_copy(shared)


def recognise_shared(text: str) -> ApiKey | None:
    """The same, for reading only: all threads are given the same object."""
    if not is_well_formed_key(text):
        return None
    digest = digest_of_key(text)
    kept = _kept.get(digest)
    api_key = kept.api_key if kept and kept.holds else _look_up(digest, kept)
    if api_key is None or not api_key.opens_with(digest):
        return None
    uses.note(api_key)
    return api_key


def subjects_of(texts: Iterable[str]) -> set[str]:
    """Whose stamps will be looked at for these keys, as far as that is known already (`craft.stamps.glance`)."""
    known = (_kept.get(digest_of_key(text)) for text in texts)
    return {access_subject(kept.api_key.company_id) for kept in known if kept}


def _look_up(digest: str, kept: _Kept | None) -> ApiKey | None:
    """Stamps are read before the row. Of a key never seen, nobody knows yet whose stamp that is: its own counts if nobody's access changed meanwhile."""
    stamp = _stamp_for(kept.api_key) if kept else None
    anybodys = None if kept else stamps.current(ANYBODY)
    api_key = find_by_digest(digest)
    if api_key is None:
        _kept.pop(digest, None)
        return None
    if anybodys is not None:
        stamp = _stamp_for(api_key)
        if stamps.current(ANYBODY) != anybodys:
            stamp = None
    if len(_kept) >= MOST_KEPT:
        _kept.clear()
    _kept[digest] = _Kept(api_key, stamp, time.monotonic() + KEEP_SECONDS)
    return api_key


def _stamp_for(api_key: ApiKey) -> str | None:
    return stamps.recent(access_subject(api_key.company_id))


def _own_copy(api_key: ApiKey) -> ApiKey:
    """Requests run in threads, and each may change the objects that it holds."""
    own = copy(api_key)
    own.membership = copy(api_key.membership)
    own.membership.user = copy(api_key.membership.user)
    own.membership.company = own.company = company = copy(api_key.membership.company)
    if company.filled_sandbox is not None:
        company.sandbox = copy(company.filled_sandbox)
    return own


class Uses:
    """When keys were used: noted by the request, written by a worker, at most about once a minute for each key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._noted: dict[str, datetime] = {}
        self._unsent: dict[str, datetime] = {}
        self._bell = Doorbell(self._send)

    def note(self, api_key: ApiKey) -> None:
        now = timezone.now()
        known = self._noted.get(api_key.pk) or api_key.last_used_at
        if known is not None and timedelta(0) <= now - known < NOTE_EVERY:
            return
        with self._lock:
            if len(self._noted) >= MOST_KEPT:
                self._noted.clear()
            self._noted[api_key.pk] = self._unsent[api_key.pk] = now
        self._bell.ring()

    def _send(self) -> None:
        with self._lock:
            unsent, self._unsent = self._unsent, {}
        if unsent:
            tasks.write_key_uses.delay(
                uses={key: moment.isoformat() for key, moment in unsent.items()}
            )


uses = Uses()
