"""Tokens of OAuth 2 clients (RFC 6749, section 4.4): fetched when needed, remembered in this process's memory only, renewed shortly before they end."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote_plus, urlencode
from weakref import WeakKeyDictionary

from craft import egress
from craft.exceptions import DomainError
from integrations.models import Opened

TIMEOUT_SECONDS = 15
USUAL_SECONDS = 300.0
"""How long a token is taken to be good where the server does not say."""
MARGIN_SECONDS = 30.0
MOST_KEPT = 1_000
REASONS = (
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "access_denied",
    "invalid_target",
)
"""What a token server may say is wrong: RFC 6749, section 5.2, and RFC 8707."""


class TokenError(DomainError):
    """The server gave out no token, and why."""

    code: ClassVar[str] = "token_refused"


class TokenServerError(TokenError):
    """The server is at fault: trying again may help."""

    code = "token_failed"
    status_code = 502


@dataclass(frozen=True)
class _Kept:
    token: str
    ends_at: float


_kept: OrderedDict[str, _Kept] = OrderedDict()
_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]] = (
    WeakKeyDictionary()
)


async def access_token(credential: Opened, *, anew: bool = False) -> str:
    """Raises TokenError. Many that ask at once wait for one request. `anew`: the one that is remembered was refused."""
    refused = _remembered(credential.state) if anew else None
    own = _locks.setdefault(asyncio.get_running_loop(), {})
    lock = own.setdefault(credential.state, asyncio.Lock())
    try:
        async with lock:
            kept = _remembered(credential.state)
            if kept is not None and kept is not refused:
                return kept.token
            return await _fetch(credential)
    finally:
        if not lock.locked():
            own.pop(credential.state, None)


def forget() -> None:
    _kept.clear()


def _remembered(state: str) -> _Kept | None:
    kept = _kept.get(state)
    return kept if kept and kept.ends_at > time.monotonic() else None


async def _fetch(credential: Opened) -> str:
    fields = credential.fields
    form = {"grant_type": "client_credentials"}
    form |= {name: fields[name] for name in ("scope", "audience") if name in fields}
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    if fields["send_as"] == "body":
        form |= {name: fields[name] for name in ("client_id", "client_secret")}
    else:
        # Form-encoded before they are joined: RFC 6749, section 2.3.1.
        pair = (
            f"{quote_plus(fields['client_id'])}:{quote_plus(fields['client_secret'])}"
        )
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    answer = await egress.fetch(
        "POST",
        fields["token_url"],
        headers=headers,
        content=urlencode(form),
        timeout_seconds=TIMEOUT_SECONDS,
    )
    token, seconds = _read(credential, answer)
    _kept[credential.state] = _Kept(token, time.monotonic() + seconds - MARGIN_SECONDS)
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return token


def _read(credential: Opened, answer: egress.Fetched) -> tuple[str, float]:
    said = _as_object(answer.text)
    if answer.status >= 300:
        # Any other word might repeat what was sent.
        word = said.get("error")
        reason = word if word in REASONS else f"status {answer.status}"
        kind = TokenServerError if answer.status >= 500 else TokenError
        raise kind(f"The token server gave '{credential.name}' no token: {reason}.")
    token, seconds = said.get("access_token"), said.get("expires_in", USUAL_SECONDS)
    if not isinstance(token, str) or not token:
        raise TokenServerError(
            f"What the token server answered for '{credential.name}' holds no access_token."
        )
    try:
        return token, float(seconds)
    except (TypeError, ValueError):
        return token, USUAL_SECONDS


def _as_object(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
