"""Whether a credential is good: tried out at the service that it is for, where it says which."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from craft import egress, vault
from craft.exceptions import DomainError
from integrations.clients import http, oauth2, s3, smtp
from integrations.models import Credential, Opened

TIMEOUT_SECONDS = 15


@dataclass(frozen=True)
class Trial:
    """How a test went. `tested` says what was done: `request`, `token`, `bucket`, `login`, or `shape`, where nothing could be asked."""

    success: bool
    tested: str
    message: str
    latency_ms: int = 0


def try_credential(credential: Credential) -> Trial:
    """Not in a transaction: it calls outside. What goes wrong there is the result, and no error."""
    if not credential.is_set:
        return Trial(False, "shape", "It has no secret here. Give it one.")
    try:
        opened = credential.open()
    except vault.UnsealError:
        return Trial(
            False,
            "shape",
            "Its secret can't be opened any more, because its key has left CRAFT_ENCRYPTION_KEYS. Give it again.",
        )
    begun = time.monotonic()
    tested, message, is_success = "shape", "", True
    try:
        tested, message = WAYS[opened.type](opened)
    except DomainError as error:
        tested, message, is_success = _what_was_tried(opened), error.message, False
    for secret in sorted(opened.secrets, key=len, reverse=True):
        message = message.replace(secret, "***") if len(secret) > 3 else message
    return Trial(is_success, tested, message, int((time.monotonic() - begun) * 1000))


class _RefusedError(DomainError):
    pass


def _call(opened: Opened) -> tuple[str, str]:
    url = opened.fields.get("test_url")
    if not url:
        return "shape", "Its fields are complete. Give it a test_url to try it there."
    answer = egress.run_blocking(
        http.fetch(opened, "GET", url, timeout_seconds=TIMEOUT_SECONDS)
    )
    host = url.split("/")[2]
    if answer.status >= 400:
        raise _RefusedError(f"{host} answered with status {answer.status}.")
    return "request", f"{host} answered with status {answer.status}."


def _fetch_token(opened: Opened) -> tuple[str, str]:
    egress.run_blocking(oauth2.access_token(opened, anew=True))
    if "test_url" in opened.fields:
        return _call(opened)
    return "token", "The token server gave out a token."


def _look_into_bucket(opened: Opened) -> tuple[str, str]:
    bucket = opened.fields.get("bucket")
    if not bucket:
        return "shape", "Its fields are complete. Give it a bucket to try it there."
    egress.run_blocking(s3.look_into(bucket, opened))
    return "bucket", f"The bucket {bucket} can be listed."


def _log_in(opened: Opened) -> tuple[str, str]:
    egress.refuse_in_test_mode("Mail")
    smtp.log_in(opened)
    return "login", f"{opened.fields['host']} lets it in."


def _nothing(opened: Opened) -> tuple[str, str]:
    return "shape", "Its fields are complete. Nobody knows where to try them."


WAYS: dict[str, Callable[[Opened], tuple[str, str]]] = {
    "api_key": _call,
    "bearer": _call,
    "basic": _call,
    "oauth2_client": _fetch_token,
    "aws": _look_into_bucket,
    "smtp": _log_in,
    "custom": _nothing,
}


def _what_was_tried(opened: Opened) -> str:
    outside = {"oauth2_client": "token", "aws": "bucket", "smtp": "login"}
    return outside.get(opened.type, "request")
