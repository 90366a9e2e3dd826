"""What a webhook's call brings, as JSON: senders write bodies of every kind."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import MemoryFileUploadHandler
from django.http import HttpRequest, QueryDict
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from craft.api.negotiation import JSONAlways
from craft.api.parsers import check_text, read_json
from workflows.engine.journal import storable
from workflows.services.signatures import SIGNED_BY
from workflows.services.triggers import WebhookSettings

EXECUTION_HEADER = "X-Execution-ID"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
TEXTS = ("application/xml", "application/yaml", "application/x-yaml", "application/graphql", "application/javascript")  # fmt: skip
RAW_KEPT = 256 * 1024
MOST_HEADERS = 100
LONGEST_HEADER = 8_000
OF_THE_CALLER = {"authorization", "proxy-authorization", "cookie", "x-csrftoken"}
PROOFS = {"x-webhook-secret", *(headers[-1].lower() for headers in SIGNED_BY.values()), "x-hub-signature-256"}  # fmt: skip


def is_json(content_type: str) -> bool:
    kind = kind_of(content_type)
    return not kind or kind == "application/json" or kind.endswith("+json")


def kind_of(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_body(raw: bytes, content_type: str) -> Any:
    """JSON as it is, a form as an object, a text as a text, and whatever else in base64. Raises ParseError."""
    kind = kind_of(content_type)
    if is_json(content_type):
        return read_json(raw)
    if kind == FORM:
        return _fields(QueryDict(raw, encoding="utf-8"))
    if kind == MULTIPART:
        return _parts(raw, content_type)
    if kind.startswith("text/") or kind in TEXTS or kind.endswith("+xml"):
        try:
            text = raw.decode(_charset(content_type))
        except (UnicodeDecodeError, LookupError):
            return _in_base64(raw, kind)
        check_text(text)
        return text
    return _in_base64(raw, kind)


def request_told(request: HttpRequest, webhook: WebhookSettings) -> dict[str, Any]:
    """The call as the execution's `trigger` keeps it, without what its sender proves itself by."""
    hidden = OF_THE_CALLER | PROOFS | {webhook.header.lower()}
    headers = [
        (name.lower(), value[:LONGEST_HEADER])
        for name, value in request.headers.items()
        if name.lower() not in hidden
    ]
    return {
        "type": "webhook",
        "method": request.method,
        "headers": dict(headers[:MOST_HEADERS]),
        "query": _fields(request.GET) if request.META.get("QUERY_STRING") else {},
        "body": _raw_text(request.body),
    }


def _raw_text(raw: bytes) -> str | None:
    if len(raw) > RAW_KEPT or b"\0" in raw:
        return None
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _fields(found: QueryDict) -> dict[str, Any]:
    """What comes once is a text, what comes more often a list of them."""
    told = {
        name: values[0] if len(values) == 1 else values
        for name, values in found.lists()
    }
    result: dict[str, Any] = storable(told)
    return result


def _parts(raw: bytes, content_type: str) -> dict[str, Any]:
    meta = {"CONTENT_LENGTH": str(len(raw)), "CONTENT_TYPE": content_type}
    try:
        fields, files = MultiPartParser(meta, BytesIO(raw), [_InMemory()]).parse()
    except MultiPartParserError as error:
        raise ParseError(f"The body is not valid multipart: {error}.") from None
    told = _fields(fields)
    for name, found in files.lists():
        read = [
            {"filename": storable(file.name), "size": file.size}
            | _in_base64(file.read(), file.content_type or "")
            for file in found
        ]
        told[storable(name)] = read[0] if len(read) == 1 else read
    return told


class _InMemory(MemoryFileUploadHandler):
    """The whole body is in memory, and bounded: its files need not go to a disk."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        self.activated = True


def _in_base64(raw: bytes, kind: str) -> dict[str, Any]:
    return {"content_type": kind[:200], "base64": base64.b64encode(raw).decode()}


def _charset(content_type: str) -> str:
    for part in content_type.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "charset":
            return value.strip("\"'")[:40]
    return "utf-8"


class AnyBodyParser(BaseParser):
    media_type = "*/*"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise RequestDataTooBig
        return read_body(raw, media_type or "")


class AnyBody(JSONAlways):
    """Whatever kind of body it is, the one parser reads it."""

    def select_parser(self, request: Request, parsers: Iterable[Any]) -> Any:
        return next(iter(parsers))
