"""Secrets at rest, and marks that show whether something was changed: AES-256-GCM and HMAC-SHA256 under the installation's key ring.

What is sealed says which key did it (`v1.<key id>.<text>`), so keys rotate: put a new one first in CRAFT_ENCRYPTION_KEYS, and keep the old ones as long
as something is sealed or marked under them. `context` says what the secret belongs to (`totp:user_…`): a sealed text that is moved to another row does not open there.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

VERSION = "v1"
KEY_BYTES = 32
NONCE_BYTES = 12
NAME_LENGTH = 12
DERIVED = "derived"
"""The id of the key that is made from CRAFT_SECRET_KEY where no ring is set."""


class KeyRingError(ValueError):
    """CRAFT_ENCRYPTION_KEYS can't be read."""


class UnsealError(Exception):
    """The text was not sealed here, was changed, belongs elsewhere, or its key has left the ring."""


def seal(text: str, *, context: str) -> str:
    key_id, key = next(iter(_ring().items()))
    nonce = os.urandom(NONCE_BYTES)
    sealed = key.encrypt(nonce, text.encode(), context.encode())
    return f"{VERSION}.{key_id}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"


def unseal(sealed: str, *, context: str) -> str:
    version, _, rest = sealed.partition(".")
    key_id, _, text = rest.partition(".")
    key = _ring().get(key_id)
    if version != VERSION or key is None:
        raise UnsealError("sealed under a key that is not in the ring")
    try:
        raw = base64.urlsafe_b64decode(text)
        opened = key.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], context.encode())
    except (InvalidTag, binascii.Error, ValueError):
        raise UnsealError("changed, or sealed for something else") from None
    return opened.decode()


# --- Marks ---


def mark(text: str, *, purpose: str) -> str:
    """What only this installation can make of a text: `<key>.<hex>`, under the key that seals."""
    name, key = next(iter(_markers(purpose).items()))
    return f"{name}.{_mac(key, text)}"


def is_mark(found: str, text: str, *, purpose: str) -> bool:
    """Whether it was made of this text, here, under whichever key of the ring."""
    name, _, digest = found.partition(".")
    key = _markers(purpose).get(name)
    return key is not None and hmac.compare_digest(digest, _mac(key, text))


def is_key_known(found: str, *, purpose: str) -> bool:
    """Whether the key that a mark was made under is still in the ring: without it nobody can tell."""
    return found.partition(".")[0] in _markers(purpose)


def _mac(key: bytes, text: str) -> str:
    return hmac.new(key, text.encode(), "sha256").hexdigest()


def _markers(purpose: str) -> dict[str, bytes]:
    return _marking_keys(settings.ENCRYPTION_KEYS, settings.SECRET_KEY, purpose)


@lru_cache(maxsize=16)
def _marking_keys(keys: str, secret: str, purpose: str) -> dict[str, bytes]:
    """A key of its own for each purpose, known by what it is: its place and its name in the ring may change."""
    made = [
        HKDF(SHA256(), KEY_BYTES, salt=None, info=f"craft.mark.{purpose}".encode())
        .derive(key)
        for key in _keys(keys, secret).values()
    ]  # fmt: skip
    return {_mac(key, "name")[:NAME_LENGTH]: key for key in made}


# --- The ring ---


def write_ring() -> str:
    """The ring at hand, the derived key included, as CRAFT_ENCRYPTION_KEYS takes it: with that set, CRAFT_SECRET_KEY may change."""
    found = _keys(settings.ENCRYPTION_KEYS, settings.SECRET_KEY)
    return ",".join(
        f"{key_id}:{base64.b64encode(key).decode()}" for key_id, key in found.items()
    )


def read_ring(text: str) -> dict[str, bytes]:
    """`id:base64,id:base64`, the one that seals first."""
    ring: dict[str, bytes] = {}
    for entry in filter(None, map(str.strip, text.split(","))):
        key_id, _, encoded = entry.partition(":")
        try:
            key = base64.b64decode(encoded, altchars=b"-_", validate=True)
        except binascii.Error:
            key = b""
        if not key_id.isalnum() or len(key) != KEY_BYTES:
            raise KeyRingError(
                f"The entry {key_id[:20]!r} is not a name of letters and digits, a colon, and {KEY_BYTES} bytes in base64."
            )
        if key_id in ring:
            raise KeyRingError(f"The name {key_id!r} is there twice.")
        ring[key_id] = key
    return ring


def _ring() -> dict[str, AESGCM]:
    return _ciphers(settings.ENCRYPTION_KEYS, settings.SECRET_KEY)


@lru_cache(maxsize=4)
def _ciphers(keys: str, secret: str) -> dict[str, AESGCM]:
    return {key_id: AESGCM(key) for key_id, key in _keys(keys, secret).items()}


def _keys(keys: str, secret: str) -> dict[str, bytes]:
    ring = read_ring(keys)
    ring.setdefault(DERIVED, _derive(secret))
    return ring


def _derive(secret: str) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"craft.vault").derive(
        secret.encode()
    )
