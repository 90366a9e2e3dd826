"""Calls somebody else's API."""

import base64
import time
from email.utils import parsedate_to_datetime
from typing import Any

from craft import egress
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
MAX_RETRY_AFTER = 24 * 3600.0
SHOWN_OF_AN_ERROR = 300

HEADERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["string", "number"]},
    "x-secret": True,
    "description": "Request headers; values may name secrets.",
}


class Http(Node):
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
                "description": "The request's method.",
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
            "json": {
                "description": "Sent as the body, as JSON.",
            },
            "body": {
                "type": "string",
                "description": "Sent as the body, as it is; say in the headers what it is.",
            },
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
                "maximum": 5_000_000,
                "default": 1_000_000,
                "description": "A longer answer is a failure.",
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
        faults = {}
        if "json" in config and "body" in config:
            faults["body"] = "A request has one body: leave out `body` or `json`."
        if not is_expression(config["url"]):
            try:
                egress.check_url(config["url"])
            except egress.EgressError as error:
                faults["url"] = error.message
        return faults

    async def run(self, call: Call) -> Output:
        method = choice(call, "method", METHODS, "GET")
        answer = await egress.fetch(
            method,
            text(call, "url"),
            headers=_headers(call, method),
            params=_query(call),
            content=text(call, "body") if "body" in call.config else None,
            json=call.config.get("json"),
            timeout_seconds=number(
                call, "timeout_seconds", at_least=0.1, at_most=300, default=15
            ),
            max_bytes=int(
                number(
                    call,
                    "max_bytes",
                    at_least=1,
                    at_most=5_000_000,
                    default=1_000_000,
                )
            ),
            redirects=int(number(call, "redirects", at_least=0, at_most=10)),
        )
        expect(answer, listing(call, "expected_statuses"))
        body = _read(answer, choice(call, "response", RESPONSES, "auto"))
        return Output(
            {"status": answer.status, "headers": answer.headers, "body": body}
        )


def headers_of(call: Call) -> dict[str, str]:
    headers = mapping(call, "headers")
    for name, value in headers.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise NodeError(
                f"headers.{name} must be a text or a number; it is {kind_of(value)}.",
                code="invalid_config",
            )
    return {name: str(value) for name, value in headers.items()}


def _headers(call: Call, method: str) -> dict[str, str]:
    headers = headers_of(call)
    if method != "GET" and not any(
        name.lower() == "idempotency-key" for name in headers
    ):
        headers["Idempotency-Key"] = call.idempotency_key
    return headers


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


def expect(answer: egress.Fetched, statuses: list[Any]) -> None:
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
    excerpt = " ".join(answer.text[:SHOWN_OF_AN_ERROR].split())
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
