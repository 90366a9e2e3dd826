"""Keys for programs. A key ends in a checksum, so a typo is refused before the database is asked."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts import events
from accounts.models import ApiKey, KeyMode, Membership
from craft.events import Event, publish
from craft.exceptions import DomainError, InvalidError
from craft.prepared import TEXT, PreparedObject

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_PREFIXES = ("cv_live_", "cv_test_", "ak_live_", "ak_test_")
KEY_RANDOM = 30
KEY_CHECKSUM = 6
PERMISSIONS = ("read", "write", "admin")
OVERLAP_SECONDS = 24 * 60 * 60
MAX_OVERLAP_SECONDS = 30 * 24 * 60 * 60
TOLD = ("name", "permissions", "expires_at", "allowed_addresses")


class KeyTooWideError(DomainError):
    """A key was to be given something that its maker does not have."""

    code = "key_too_wide"
    status_code = 403


@dataclass(frozen=True)
class NewKey:
    api_key: ApiKey
    secret: str


@dataclass(frozen=True)
class Grantor:
    """Who makes or changes a key: what they may do themselves, and the key that they use, if it is one."""

    levels: frozenset[str]
    api_key: ApiKey | None = None


# --- Changes ---


def create_api_key(
    *,
    membership: Membership,
    name: str,
    look: str,
    by: Grantor,
    permissions: Sequence[str] = ("read", "write"),
    mode: str = KeyMode.LIVE,
    expires_at: datetime | None = None,
    allowed_addresses: Sequence[str] = (),
) -> NewKey:
    """`look` is `cv` or `ak`. A key never mints a wider key: raises KeyTooWideError."""
    api_key = ApiKey(
        company_id=membership.company_id,
        membership=membership,
        name=name,
        mode=mode,
        permissions=_in_order(permissions),
        expires_at=_check_expiry(expires_at),
        allowed_addresses=list(allowed_addresses),
        prefix=f"{look}_{mode}_",
    )
    _refuse_wider(api_key, by)
    secret = _give_secret(api_key)
    with transaction.atomic():
        api_key.save(force_insert=True)
        made = {name: [None, value] for name, value in _told(api_key).items()}
        publish(_event(events.API_KEY_CREATED, api_key, changes=made))
    return NewKey(api_key, secret)


@transaction.atomic
def update_api_key(api_key: ApiKey, *, by: Grantor, **changes: Any) -> ApiKey:
    """Change its name, permissions, expiry or addresses. Nobody changes a key that may do more than they may, nor makes it so."""
    api_key = _locked(api_key)
    _refuse_wider(api_key, by)
    before = _told(api_key)
    if "permissions" in changes:
        changes["permissions"] = _in_order(changes["permissions"])
    if "expires_at" in changes:
        changes["expires_at"] = _check_expiry(changes["expires_at"])
    for name, value in changes.items():
        setattr(api_key, name, value)
    _refuse_wider(api_key, by)
    told = _changes(before, _told(api_key))
    if told:
        api_key.save(update_fields=[*changes, "updated_at"])
        publish(_event(events.API_KEY_UPDATED, api_key, changes=told))
    return api_key


@transaction.atomic
def rotate_api_key(
    api_key: ApiKey, *, by: Grantor, overlap_seconds: int = OVERLAP_SECONDS
) -> NewKey:
    """A new secret for the same key. The one that it had goes on working for the overlap; one that was in its overlap already ends now."""
    api_key = _locked(api_key)
    _refuse_wider(api_key, by)
    now = timezone.now()
    api_key.previous_digest = api_key.digest if overlap_seconds else None
    api_key.previous_expires_at = (
        now + timedelta(seconds=overlap_seconds) if overlap_seconds else None
    )
    api_key.rotated_at = now
    secret = _give_secret(api_key)
    api_key.save()
    publish(
        _event(events.API_KEY_ROTATED, api_key, overlap_seconds=overlap_seconds),
    )
    return NewKey(api_key, secret)


@transaction.atomic
def delete_api_key(api_key: ApiKey) -> None:
    """It ends at once, in every process; so does the secret from before a rotation."""
    gone = {name: [value, None] for name, value in _told(api_key).items()}
    publish(_event(events.API_KEY_DELETED, api_key, changes=gone))
    api_key.delete()


def _locked(api_key: ApiKey) -> ApiKey:
    rows = ApiKey.objects.for_company(api_key.company_id).select_related("membership")
    found: ApiKey = rows.select_for_update(of=("self",)).get(pk=api_key.pk)
    return found


def _give_secret(api_key: ApiKey) -> str:
    secret = make_key(api_key.prefix)
    api_key.digest, api_key.last_four = digest_of_key(secret), secret[-4:]
    return secret


def _in_order(permissions: Sequence[str]) -> list[str]:
    return sorted(set(permissions), key=PERMISSIONS.index)


def _check_expiry(moment: datetime | None) -> datetime | None:
    if moment is not None and moment <= timezone.now():
        raise InvalidError(
            "A key can't expire in the past. Delete it to end it now.",
            details={"expires_at": "Must be in the future."},
        )
    return moment


def _told(api_key: ApiKey) -> dict[str, Any]:
    """What the audit log may know of a key."""
    expires_at = api_key.expires_at.isoformat() if api_key.expires_at else None
    return {
        "name": api_key.name,
        "mode": api_key.mode,
        "permissions": api_key.permissions,
        "expires_at": expires_at,
        "allowed_addresses": api_key.allowed_addresses,
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    return {
        name: [before[name], after[name]]
        for name in TOLD
        if before[name] != after[name]
    }


def _event(kind: str, api_key: ApiKey, **data: Any) -> Event:
    return Event(kind, api_key.company_id, {"api_key_id": api_key.pk, **data})


# --- A key never mints a wider key ---


def _refuse_wider(api_key: ApiKey, by: Grantor) -> None:
    """Refuse what reaches further than the one who asks: in what it may do, and, where that is a key, in mode, time and place."""
    wider = sorted(set(api_key.permissions) - by.levels)
    if wider:
        raise _too_wide("permissions", f"it may {', '.join(wider)}, and you may not")
    own = by.api_key
    if own is None:
        return
    if own.mode == KeyMode.TEST and api_key.mode != KeyMode.TEST:
        raise _too_wide("mode", "a test key makes and changes test keys only")
    if own.expires_at is not None and (
        api_key.expires_at is None or api_key.expires_at > own.expires_at
    ):
        raise _too_wide("expires_at", "your own key expires earlier")
    if own.allowed_addresses and not _is_within(
        api_key.allowed_addresses, own.allowed_addresses
    ):
        raise _too_wide("allowed_addresses", "your own key works from fewer addresses")


def _too_wide(field: str, reason: str) -> KeyTooWideError:
    return KeyTooWideError(
        f"You can't make or change a key that reaches further than you do: {reason}.",
        details={field: "Wider than yours."},
    )


def _is_within(inner: Sequence[str], outer: Sequence[str]) -> bool:
    networks = [ipaddress.ip_network(text) for text in outer]
    return bool(inner) and all(
        any(_covers(network, ipaddress.ip_network(text)) for network in networks)
        for text in inner
    )


def _covers(outer: Any, inner: Any) -> bool:
    return outer.version == inner.version and bool(inner.subnet_of(outer))


# --- The text of a key ---


def make_key(prefix: str) -> str:
    body = prefix + "".join(secrets.choice(BASE62) for _ in range(KEY_RANDOM))
    return body + _checksum(body)


def is_well_formed_key(text: str) -> bool:
    body, checksum = text[:-KEY_CHECKSUM], text[-KEY_CHECKSUM:]
    return hmac.compare_digest(_checksum(body).encode(), checksum.encode())


def _checksum(text: str) -> str:
    """CRC-32 of all before it, as six digits in base 62."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(KEY_CHECKSUM):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits


def digest_of_key(text: str) -> str:
    """Under a pepper of its own: a hash that was made for something else is no key's."""
    pepper = settings.API_KEY_PEPPER.encode()
    return hmac.new(pepper, text.encode(), hashlib.sha256).hexdigest()


# --- Found and used ---


def find_by_digest(digest: str) -> ApiKey | None:
    """One query: the key with its person, company and sandbox, unless the person is inactive. Whether it still opens with this secret is the caller's to ask."""
    return _with_digest.first(digest)


_with_digest = PreparedObject(
    lambda digest: (
        ApiKey.unscoped.select_related(
            "membership__user", "membership__company__sandbox"
        )
        .filter(Q(digest=digest) | Q(previous_digest=digest))
        .filter(membership__user__is_active=True)
    ),
    TEXT,
)


def write_uses(uses: Mapping[str, str]) -> None:
    """Note when keys were last used. An older moment than the one that is known changes nothing."""
    for key_id, moment in uses.items():
        used_at = datetime.fromisoformat(moment)
        earlier = Q(last_used_at=None) | Q(last_used_at__lt=used_at)
        ApiKey.unscoped.filter(earlier, pk=key_id).update(last_used_at=used_at)
