"""Calls somebody else's API."""

import base64
import time
from email.utils import parsedate_to_datetime
from typing import Any

from craft import egress
from integrations.clients import http as requests
from workflows.nodes import bodies, pages
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import parse_json
from workflows.nodes.resolved import (
    choice,
    is_expression,
    kind_of,
    listing,
    mapping,
    number,
    text,
)

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
RESPONSES = ("auto", "json", "text", "bytes-base64")
TEXTUAL = ("text/", "application/xml", "application/javascript", "application/yaml")
TRY_AGAIN = frozenset({408, 425, 429})
REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
"""Those that a server may be sent twice with the effect of once (RFC 9110, 9.2.2)."""
MAX_BYTES = 5_000_000
MAX_BYTES_OF_ALL_PAGES = 10_000_000
MAX_RETRY_AFTER = 24 * 3600.0
SHOWN_OF_AN_ERROR = 300

HEADERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number"]},
    "x-secret": True,
    "description": "Request headers; values may name secrets.",
}
CREDENTIAL: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "x-credential": list(requests.TYPES),
    "description": "A credential by its name or id, sent as its type says: `api_key` in its header or query parameter, `bearer`, `basic`, `oauth2_client` as a token, `custom` as headers.",
}


class Http(Node):
    """Where a node says nothing of `retry`, what failed in passing (429, 408, 5xx, no connection) is tried three times in all if its method may be repeated:
    a request that did its work and lost its answer then does no harm. A POST or PATCH may; it is repeated only where its node says so, because few servers
    heed an Idempotency-Key. `Retry-After` is obeyed either way."""

    type = "http"
    family = "integrations"
    summary = "Sends an HTTP request and answers with its status, headers and body."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "method": {
                "enum": list(METHODS),
                "default": "GET",
                "description": "The request's method. Where the node says nothing of `retry`, what failed in passing (408, 425, 429, 5xx, no connection) is tried three times in all for GET, HEAD, OPTIONS, PUT and DELETE, and once for POST and PATCH; `Retry-After` is obeyed.",
            },
            "url": {
                "type": "string",
                "minLength": 1,
                "description": "A public https URL, or one that the operator has allowed.",
            },
            "query": {
                "type": "object",
                "description": "Query parameters, added to those of the URL; a list repeats its name.",
            },
            "headers": HEADERS,
            "credential": CREDENTIAL,
            **bodies.FIELDS,
            "pagination": pages.SCHEMA,
            "timeout_seconds": {
                "type": "number",
                "minimum": 0.1,
                "maximum": 300,
                "default": 15,
                "description": "For the whole exchange. The node's own timeout_seconds holds too.",
            },
            "redirects": {
                "type": "integer",
                "minimum": 0,
                "maximum": 10,
                "default": 0,
                "description": "How many redirects to follow. A redirect beyond that is a failure.",
            },
            "max_bytes": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_BYTES,
                "default": 1_000_000,
                "description": "A longer answer is a failure; of pages, each.",
            },
            "response": {
                "enum": list(RESPONSES),
                "default": "auto",
                "description": "How to read the answer's body. auto goes by its content type: JSON, text, and Base64 for anything else.",
            },
            "expected_statuses": {
                "type": "array",
                "items": {"type": "integer", "minimum": 100, "maximum": 599},
                "minItems": 1,
                "description": "The statuses that are no failure. Without this, those below 400, redirects apart.",
            },
        },
        "required": ["url"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "method": "POST",
            "url": "https://api.example.com/orders",
            "json": {"order": "{{ input.id }}"},
        },
        "input": {"id": 7},
        "output": {
            "status": 201,
            "headers": {"content-type": "application/json"},
            "body": {"accepted": True},
        },
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults = bodies.check_bodies(config)
        if isinstance(config.get("pagination"), dict):
            faults |= pages.check_pages(config["pagination"])
        if not is_expression(config["url"]):
            try:
                egress.check_url(config["url"])
            except egress.EgressError as error:
                faults["url"] = error.message
        return faults

    def default_retry(self, config: dict[str, Any]) -> dict[str, Any] | None:
        is_repeatable = config.get("method", "GET") in REPEATABLE
        return {"max_attempts": 3} if is_repeatable else None

    async def run(self, call: Call) -> Output:
        request = _Request(call)
        if "pagination" in call.config:
            return Output(await _ask_for_all(call, request))
        answer = await request.send(pages.Page(text(call, "url"), {}))
        return Output(_told(answer, request.read(answer)))


class _Request:
    """What all pages of one call have in common."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.method = choice(call, "method", METHODS, "GET")
        self._headers, self._query = headers_of(call), _query(call)
        self._body = bodies.body_of(call)
        self._credential = call.credential()
        self._statuses = listing(call, "expected_statuses")
        self._response = choice(call, "response", RESPONSES, "auto")
        self._options = {
            "timeout_seconds": number(call, "timeout_seconds", at_least=0.1, at_most=300, default=15),
            "max_bytes": int(number(call, "max_bytes", at_least=1, at_most=MAX_BYTES, default=1_000_000)),
            "redirects": int(number(call, "redirects", at_least=0, at_most=10)),
        }  # fmt: skip

    async def send(self, page: pages.Page, place: int = 1) -> egress.Fetched:
        """Raises NodeError for a status that is no success."""
        answer = await requests.fetch(
            self._credential,
            self.method,
            page.url,
            headers=self._headers_of(place),
            params={**(self._query if place == 1 or page.query else {}), **page.query},
            content=self._body.content,
            hide=self._call.hide,
            **self._options,
        )
        expect(self._call, answer, self._statuses)
        return answer

    def read(self, answer: egress.Fetched) -> Any:
        return _read(answer, self._response)

    def _headers_of(self, place: int) -> dict[str, str]:
        """Each page is a request of its own, with a key of its own."""
        headers, given = dict(self._headers), {name.lower() for name in self._headers}
        if self._body.media_type and "content-type" not in given:
            headers["Content-Type"] = self._body.media_type
        if self.method != "GET" and "idempotency-key" not in given:
            suffix = f":page:{place}" if place > 1 else ""
            headers["Idempotency-Key"] = self._call.idempotency_key + suffix
        return headers


async def _ask_for_all(call: Call, request: _Request) -> dict[str, Any]:
    pagination = pages.checked(mapping(call, "pagination"))
    most = pagination.get("max_items", 1_000)
    first = page = pages.first_page(pagination, text(call, "url"))
    found: list[Any] = []
    asked: set[str] = set()
    size = 0
    for place in range(1, pagination.get("max_pages", 10) + 1):
        answer = await request.send(page, place)
        size += len(answer.body)
        if size > MAX_BYTES_OF_ALL_PAGES:
            raise NodeError(
                f"The pages are larger than {MAX_BYTES_OF_ALL_PAGES:,} bytes together. Ask for fewer: lower max_pages.",
                code="egress_too_large",
            )
        body = request.read(answer)
        items = pages.items_of(pagination, body)
        found += items
        asked.add(repr(page))
        onward = pages.next_page(pagination, first, page, answer, body, items)
        if onward is None or len(found) >= most:
            break
        if repr(onward) in asked:
            raise NodeError(
                "The pages go round in a circle: the next one was there before.",
                code="invalid_page",
            )
        page = onward
    has_more = onward is not None or len(found) > most
    return _told(answer, found[:most]) | {"pages": place, "has_more": has_more}


def _told(answer: egress.Fetched, body: Any) -> dict[str, Any]:
    return {"status": answer.status, "headers": answer.headers, "body": body}


def headers_of(call: Call) -> dict[str, str]:
    headers = mapping(call, "headers")
    for name, value in headers.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise NodeError(
                f"headers.{name} must be a text or a number; it is {kind_of(value)}.",
                code="invalid_config",
            )
    return {name: str(value) for name, value in headers.items()}


def _query(call: Call) -> dict[str, Any]:
    query = mapping(call, "query")
    for name, value in query.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict | list):
                raise NodeError(
                    f"query.{name} must be a text, a number, true, false or a list of those; it holds {kind_of(item)}.",
                    code="invalid_config",
                )
    return query


def expect(call: Call, answer: egress.Fetched, statuses: list[Any]) -> None:
    """Raise NodeError unless the answer's status is a success."""
    status = answer.status
    if statuses:
        if status in statuses:
            return
    elif status < 300 or (status < 400 and "location" not in answer.headers):
        return
    host = answer.url.split("/")[2]
    if 300 <= status < 400:
        raise NodeError(
            f"{host} redirected elsewhere (status {status}). Use the new URL, or let `redirects` follow it.",
            code="http_redirected",
        )
    # Before anything is cut: half a secret would not be known for one.
    excerpt = " ".join(call.redact(answer.text)[:SHOWN_OF_AN_ERROR].split())
    raise NodeError(
        f"{host} answered with status {status}{f': {excerpt}' if excerpt else ''}",
        code="http_status",
        retryable=status in TRY_AGAIN or status >= 500,
        retry_after=_retry_after(answer.headers.get("retry-after", "")),
    )


def _retry_after(value: str) -> float | None:
    """Seconds, from seconds or an HTTP date."""
    try:
        seconds = (
            float(value)
            if value.isdecimal()
            else parsedate_to_datetime(value).timestamp() - time.time()
        )
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _read(answer: egress.Fetched, response: str) -> Any:
    content_type = answer.headers.get("content-type", "").partition(";")[0].strip()
    if response == "auto":
        response = _kind(content_type.lower(), answer.body)
    match response:
        case "json":
            return parse_json(answer.text) if answer.body.strip() else None
        case "text":
            return answer.text
    return base64.b64encode(answer.body).decode()


def _kind(content_type: str, body: bytes) -> str:
    if content_type == "application/json" or content_type.endswith("+json"):
        return "json"
    if content_type.startswith(TEXTUAL) or content_type.endswith("+xml"):
        return "text"
    if content_type:
        return "text" if not body else "bytes-base64"
    try:
        body.decode()
    except UnicodeDecodeError:
        return "bytes-base64"
    return "text"
