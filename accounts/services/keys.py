"""Keys for programs. A key ends in a checksum, so a typo is refused before the database is asked."""

from __future__ import annotations

import hmac
import secrets
import zlib
from dataclasses import dataclass

from django.db import transaction

from accounts import events
from accounts.models import ApiKey, Membership
from accounts.services.secrets import digest_of
from craft.events import Event, publish
from craft.exceptions import DomainError

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_RANDOM = 30
KEY_CHECKSUM = 6


class KeyTooWideError(DomainError):
    """A key was to be given a permission that its maker does not have."""

    code = "key_too_wide"
    status_code = 403


@dataclass(frozen=True)
class NewKey:
    api_key: ApiKey
    secret: str


@transaction.atomic
def create_api_key(
    *,
    membership: Membership,
    name: str,
    permissions: list[str],
    look: str,
    granted: frozenset[str],
) -> NewKey:
    """`look` is `cv` or `ak`; `granted` is what the caller may do: a key never mints a wider key."""
    wider = sorted(set(permissions) - granted)
    if wider:
        raise KeyTooWideError(
            f"You can't give a key what you don't have: {', '.join(wider)}.",
            details={"permissions": "Wider than yours."},
        )
    prefix = f"{look}_live_"
    secret = make_key(prefix)
    api_key = ApiKey.objects.create(
        company=membership.company,
        membership=membership,
        name=name,
        digest=digest_of(secret),
        prefix=prefix,
        last_four=secret[-4:],
        permissions=sorted(set(permissions), key=["read", "write", "admin"].index),
    )
    publish(
        Event(
            events.API_KEY_CREATED,
            membership.company_id,
            {
                "api_key_id": api_key.pk,
                "permissions": api_key.permissions,
                "changes": {
                    "name": [None, api_key.name],
                    "permissions": [None, api_key.permissions],
                },
            },
        )
    )
    return NewKey(api_key, secret)


@transaction.atomic
def delete_api_key(api_key: ApiKey) -> None:
    publish(
        Event(
            events.API_KEY_DELETED,
            api_key.company_id,
            {
                "api_key_id": api_key.pk,
                "changes": {
                    "name": [api_key.name, None],
                    "permissions": [api_key.permissions, None],
                },
            },
        )
    )
    api_key.delete()


def make_key(prefix: str) -> str:
    body = prefix + "".join(secrets.choice(BASE62) for _ in range(KEY_RANDOM))
    return body + _checksum(body)


def is_well_formed_key(text: str) -> bool:
    body, checksum = text[:-KEY_CHECKSUM], text[-KEY_CHECKSUM:]
    return hmac.compare_digest(_checksum(body).encode(), checksum.encode())


def find_api_key(text: str) -> ApiKey | None:
    if not is_well_formed_key(text):
        return None
    found = ApiKey.unscoped.select_related(
        "membership__user", "membership__company"
    ).filter(digest=digest_of(text))
    return found.filter(membership__user__is_active=True).first()


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(KEY_CHECKSUM):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits
