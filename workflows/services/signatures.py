"""Whether a call was made by who knows a secret. Signatures are over the body's bytes as they came, and compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
"""That a clock may be off, either way; and that a message may be repeated by whoever overheard it."""
SECONDS = re.compile(r"[0-9]{1,12}")
MOST_SIGNATURES = 20
NOBODYS = base64.b64encode(hashlib.sha256(b"nobody's").digest()).decode()
"""What a call is compared with where there is no secret, so that this takes as long."""

SIGNED_BY = {
    "standard": ("webhook-id", "webhook-timestamp", "webhook-signature"),
    "github": ("X-Hub-Signature-256", "X-Hub-Signature"),
    "stripe": ("Stripe-Signature",),
}
"""The headers that each kind of signature comes in."""


def is_signed(
    preset: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    secrets: Sequence[str],
    now: float,
) -> bool:
    """By any of these secrets. Without one nothing is."""
    found = [
        _CHECKS[preset](headers, body, secret, now) for secret in secrets or [NOBODYS]
    ]
    return bool(secrets) and any(found)


def has_token(sent: str, *, secrets: Sequence[str]) -> bool:
    found = [_is_same(sent, [secret]) for secret in secrets or [NOBODYS]]
    return bool(secrets) and any(found)


def key_of(secret: str) -> bytes:
    """Standard Webhooks: what follows `whsec_` is base64; a secret that is not made so stands for its own bytes."""
    if secret.startswith(PREFIX):
        try:
            return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def _standard(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    identifier, sent_at = (
        headers.get("webhook-id", ""),
        headers.get("webhook-timestamp", ""),
    )
    signed = f"{identifier}.{sent_at}.".encode() + body
    digest = hmac.new(key_of(secret), signed, "sha256").digest()
    expected = base64.b64encode(digest).decode()
    versions = [
        entry.partition(",") for entry in headers.get("webhook-signature", "").split()
    ]
    given = [text for version, _, text in versions if version == "v1"]
    return _is_same(expected, given) and bool(identifier) and _is_fresh(sent_at, now)


def _github(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    expected = "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()
    return _is_same(expected, [headers.get("X-Hub-Signature-256", "")])


def _stripe(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> bool:
    entries = [
        entry.strip().partition("=")
        for entry in headers.get("Stripe-Signature", "").split(",")
    ]
    sent_at = next((text for name, _, text in entries if name == "t"), "")
    expected = hmac.new(
        secret.encode(), f"{sent_at}.".encode() + body, "sha256"
    ).hexdigest()
    given = [text for name, _, text in entries if name == "v1"]
    return _is_same(expected, given) and _is_fresh(sent_at, now)


_CHECKS = {"standard": _standard, "github": _github, "stripe": _stripe}


def _is_same(expected: str, given: Iterable[str]) -> bool:
    found = False
    for text in list(given)[:MOST_SIGNATURES]:
        # As bytes: a header may hold what is not ASCII.
        found |= hmac.compare_digest(expected.encode(), text.encode("utf-8", "replace"))
    return found


def _is_fresh(sent_at: str, now: float) -> bool:
    if not SECONDS.fullmatch(sent_at):
        return False
    return abs(now - int(sent_at)) <= TOLERANCE_SECONDS
