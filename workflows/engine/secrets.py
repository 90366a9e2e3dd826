"""What a run may use of its company's credentials, and what keeps it out of all that is written down."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from workflows.nodes.base import NodeError, Outcome, Output, Stop

if TYPE_CHECKING:
    from integrations.models import Opened

STARS = "***"
SHORTEST_HIDDEN = 4
"""A shorter text is found by chance in others, where stars would only spoil them."""


class Secrets:
    """Of one run. Most have none, and pay nothing for it."""

    __slots__ = ("_faults", "_hidden", "_opened", "scope")

    def __init__(
        self,
        opened: Mapping[str, Opened] | None = None,
        faults: Mapping[str, str] | None = None,
    ) -> None:
        self._opened = opened or {}
        self._faults = faults or {}
        self._hidden: list[str] = []
        self.scope = {word: each.value for word, each in self._opened.items()}
        """What expressions find as `secrets`."""
        for each in self._opened.values():
            self.hide(*each.secrets, *_pairs(each))

    def require(self, words: Iterable[str]) -> None:
        """Raise NodeError unless all of these can be used."""
        for word in words:
            if word not in self._opened:
                reason = self._faults.get(word, f"There is no credential '{word}'.")
                raise NodeError(reason, code="credential_missing")

    def credential(self, word: str, types: Sequence[str]) -> Opened:
        """Raise NodeError unless it is of one of these types: it may be another one by now than when the workflow was saved."""
        self.require([word])
        found = self._opened[word]
        if found.type not in types:
            raise NodeError(
                f"'{found.name}' is a credential of the type {found.type}; here one of {', '.join(types)} is needed.",
                code="invalid_config",
            )
        return found

    def hide(self, *texts: str) -> None:
        """Let nobody see these, in whatever way they may be written."""
        found = {
            form
            for text in texts
            if len(text) >= SHORTEST_HIDDEN
            for form in _forms(text)
        }
        # The longest first: one may be a part of another.
        self._hidden = sorted(
            {*self._hidden, *found}, key=lambda text: (-len(text), text)
        )

    def redact(self, value: Any) -> Any:
        """The same, with stars for what is hidden."""
        if not self._hidden:
            return value
        match value:
            case str():
                for text in self._hidden:
                    if text in value:
                        value = value.replace(text, STARS)
                return value
            case dict():
                return {
                    self.redact(key): self.redact(item) for key, item in value.items()
                }
            case list():
                return [self.redact(item) for item in value]
        return value

    def redact_outcome(self, outcome: Outcome) -> Outcome:
        if self._hidden and isinstance(outcome, Output):
            return replace(outcome, value=self.redact(outcome.value))
        if self._hidden and isinstance(outcome, Stop):
            return replace(outcome, output=self.redact(outcome.output))
        return outcome


def _forms(text: str) -> set[str]:
    """As it is, in URLs, in JSON, and in Base64."""
    raw = text.encode(errors="surrogatepass")
    encoded = base64.b64encode(raw).decode()
    return {
        text,
        quote(raw, safe=""),
        quote(raw),
        quote_plus(raw),
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        encoded,
        encoded.rstrip("="),
        base64.urlsafe_b64encode(raw).decode().rstrip("="),
    }


def _pairs(opened: Opened) -> list[str]:
    """What HTTP's basic authentication makes of two texts."""
    fields = opened.fields
    match opened.type:
        case "basic":
            return [f"{fields['username']}:{fields['password']}"]
        case "oauth2_client":
            return [
                f"{quote_plus(fields['client_id'])}:{quote_plus(fields['client_secret'])}"
            ]
    return []
