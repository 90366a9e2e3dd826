"""Calls that come by the thousand, answered without the machinery that other calls need.

A light call answers what is plain: a known key, a body that is right, a row that is there. Everything else it leaves, by answering None, to the view at the
same address: so no refusal and no rule is written twice, and what a light call does not know it can't do wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from rest_framework.exceptions import ParseError

from craft.api.idempotency import HEADER
from craft.api.parsers import read_json
from craft.encoding import to_json

LARGEST_BODY = 100_000
"""Of bytes: what is larger costs so much anyway that it may go the long way."""


class NotPlainError(Exception):
    """The view has to look at this."""


@dataclass(frozen=True)
class LightCall:
    """`answer` gets the request and what the pattern found in its path."""

    method: str
    path: re.Pattern[str]
    answer: Callable[[HttpRequest, re.Match[str]], HttpResponse | None]


class LightCallsMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.calls: list[LightCall] = [
            import_string(dotted) for dotted in settings.CRAFT_LIGHT_CALLS
        ]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        for call in self.calls:
            if request.method != call.method:
                continue
            if found := call.path.fullmatch(request.path_info):
                return call.answer(request, found) or self.get_response(request)
        return self.get_response(request)


def plain_body(request: HttpRequest) -> Any:
    """The JSON of a call that asks for nothing special. Raises NotPlainError."""
    headers = request.META
    if (
        headers.get("QUERY_STRING")
        or HEADER in request.headers
        or headers.get("CONTENT_TYPE", "").partition(";")[0] != "application/json"
        or headers.get("HTTP_ACCEPT", "*/*") not in {"*/*", "application/json"}
        or not headers.get("CONTENT_LENGTH", "").isdigit()
        or int(headers["CONTENT_LENGTH"]) > LARGEST_BODY
    ):
        raise NotPlainError
    try:
        return read_json(request.body)
    except (ParseError, RequestDataTooBig):
        raise NotPlainError from None


def as_response(data: Any, *, status: int) -> HttpResponse:
    response = HttpResponse(
        to_json(data),
        status=status,
        content_type="application/json; charset=utf-8",
    )
    response.headers["Allow"] = "POST, OPTIONS"  # as DRF says it on every answer
    return response
