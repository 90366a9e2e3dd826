"""What who called is answered."""

import re
from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.resolved import is_expression, mapping, number

MAX_HEADERS = 50
NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8000}")
OURS = frozenset(
    [
        *("connection", "content-length", "date", "keep-alive", "server", "set-cookie"),
        *("strict-transport-security", "te", "trailer", "transfer-encoding", "upgrade"),
        *("x-request-id", "content-security-policy", "x-content-type-options"),
        *("proxy-authenticate", "proxy-connection", "www-authenticate", "set-cookie2"),
        *("clear-site-data", "service-worker-allowed", "alt-svc", "nel", "report-to"),
        *("reporting-endpoints", "x-sendfile", "x-execution-id", "vary", "allow"),
        "idempotent-replayed",
    ]
)
OUR_BEGINNINGS = ("access-control-", "x-ratelimit-", "x-craft-", "x-accel-")
"""Of headers that speak for this server to browsers, to callers, and to the proxy before it."""


class Respond(Node):
    type = "respond"
    family = "output"
    summary = "Says with which status, headers and body a call that started the workflow is answered. It is the execution's output."
    config_schema = {
        "type": "object",
        "properties": {
            "status": {
                "type": "integer",
                "minimum": 200,
                "maximum": 599,
                "default": 200,
                "description": "The HTTP status.",
            },
            "headers": {
                "type": "object",
                "maxProperties": MAX_HEADERS,
                "additionalProperties": {"type": "string"},
                "description": "HTTP headers, by name. Those that the server sets itself can't be set.",
            },
            "body": {
                "description": "A text, or any other value, which is sent as JSON; without it, the node's input."
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {
            "status": 201,
            "headers": {"Location": "/orders/{{ input.id }}"},
            "body": {"created": "{{ input.id }}"},
        },
        "input": {"id": 7},
        "output": {
            "status": 201,
            "headers": {"Location": "/orders/7"},
            "body": {"created": 7},
        },
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        headers = config.get("headers", {})
        if not isinstance(headers, dict):
            return {}
        return {
            f"headers.{name}": fault
            for name, value in headers.items()
            if (fault := header_fault(name, "" if is_expression(value) else value))
        }

    async def run(self, call: Call) -> Output:
        headers = mapping(call, "headers")
        if len(headers) > MAX_HEADERS:
            raise NodeError(
                f"There may be {MAX_HEADERS} headers.", code="invalid_config"
            )
        for name, value in headers.items():
            if fault := header_fault(name, value):
                raise NodeError(f"{name[:100]}: {fault}", code="invalid_config")
        status = number(call, "status", at_least=200, at_most=599, default=200)
        body = call.config.get("body", call.input)
        return Output({"status": int(status), "headers": headers, "body": body})


def header_fault(name: str, value: Any) -> str:
    if not NAME.fullmatch(name):
        return "This is no name of a header."
    if name.lower() in OURS or name.lower().startswith(OUR_BEGINNINGS):
        return "The server sets this header itself."
    if not isinstance(value, str) or not VALUE.fullmatch(value):
        return "A header is a text of one line, of at most 8,000 characters."
    return ""
