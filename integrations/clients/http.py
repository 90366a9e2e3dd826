"""Requests that show a credential: each type in its own way, all through `craft.egress`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from craft import egress
from integrations.clients import oauth2
from integrations.models import Opened

Hide = Callable[[str], None]
"""Told of every text that nobody may see."""


@dataclass(frozen=True)
class Shown:
    """What a request carries to show a credential."""

    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)


def _api_key(fields: Mapping[str, Any]) -> Shown:
    key = fields.get("prefix", "") + fields["value"]
    if "query" in fields:
        return Shown(params={fields["query"]: key})
    return Shown({fields["header"]: key})


def _bearer(fields: Mapping[str, Any]) -> Shown:
    return Shown({"Authorization": f"Bearer {fields['value']}"})


def _basic(fields: Mapping[str, Any]) -> Shown:
    return Shown({"Authorization": basic(fields["username"], fields["password"])})


def basic(username: str, password: str) -> str:
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    return f"Basic {encoded}"


WAYS: dict[str, Callable[[Mapping[str, Any]], Shown]] = {
    "api_key": _api_key,
    "bearer": _bearer,
    "basic": _basic,
    "custom": lambda fields: Shown(dict(fields)),
}
TYPES = (*WAYS, "oauth2_client")
"""The types that a request can show."""


async def fetch(
    credential: Opened | None,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    params: egress.Query | None = None,
    hide: Hide = lambda text: None,
    **options: Any,
) -> egress.Fetched:
    """`egress.fetch` with the credential's own headers or parameters. A token that is refused (401) is fetched anew, once."""

    async def ask(*, anew: bool = False) -> egress.Fetched:
        shown = (
            Shown() if credential is None else await show(credential, hide, anew=anew)
        )
        return await egress.fetch(
            method,
            url,
            headers=_joined(headers or {}, shown.headers),
            params={**(params or {}), **shown.params} or None,
            **options,
        )

    answer = await ask()
    if answer.status == 401 and credential and credential.type == "oauth2_client":
        return await ask(anew=True)
    return answer


async def show(
    credential: Opened, hide: Hide = lambda text: None, *, anew: bool = False
) -> Shown:
    if credential.type == "oauth2_client":
        token = await oauth2.access_token(credential, anew=anew)
        hide(token)
        return Shown({"Authorization": f"Bearer {token}"})
    return WAYS[credential.type](credential.fields)


def _joined(given: Mapping[str, str], shown: Mapping[str, str]) -> dict[str, str]:
    """The credential's win, in whatever case the others are written."""
    taken = {name.lower() for name in shown}
    return {
        **{name: value for name, value in given.items() if name.lower() not in taken},
        **shown,
    }
