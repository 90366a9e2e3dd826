"""What a request carries, in each way that its config may say it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from workflows.nodes.base import Call, NodeError
from workflows.nodes.resolved import kind_of, listing, mapping, text

MAX_PARTS = 100

PART: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "description": "The field's name."},
        "value": {"type": ["string", "number", "boolean"], "description": "Its text."},
        "base64": {"type": "string", "description": "Its bytes, instead of a text."},
        "filename": {"type": "string", "description": "Makes it a file."},
        "content_type": {"type": "string", "description": "What it is."},
    },
    "required": ["name"],
    "oneOf": [{"required": ["value"]}, {"required": ["base64"]}],
    "additionalProperties": False,
}

FIELDS: dict[str, dict[str, Any]] = {
    "json": {"description": "Sent as the body, as JSON."},
    "form": {
        "type": "object",
        "description": "Sent as the body, as a form; a list repeats its name.",
    },
    "multipart": {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_PARTS,
        "items": PART,
        "description": "Sent as the body, as a form of parts: texts, and files in Base64.",
    },
    "body": {
        "type": "string",
        "description": "Sent as the body, as it is; say in the headers what it is.",
    },
    "base64": {
        "type": "string",
        "description": "Sent as the body, as the bytes that it stands for; say in the headers what they are.",
    },
}
"""The fields of a config that a body can stand in."""


@dataclass(frozen=True)
class Body:
    content: bytes | None = None
    media_type: str = ""


def check_bodies(config: dict[str, Any]) -> dict[str, str]:
    given = [name for name in FIELDS if name in config]
    if len(given) < 2:
        return {}
    kept, *others = given
    return dict.fromkeys(
        others, f"A request has one body: leave out {', '.join(f'`{name}`' for name in others)} or `{kept}`."
    )  # fmt: skip


def body_of(call: Call) -> Body:
    for name, build in WAYS.items():
        if name in call.config:
            return build(call)
    return Body()


def _json(call: Call) -> Body:
    value = call.config["json"]
    if value is None:
        return Body()
    try:
        written = json.dumps(
            value, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        return Body(written.encode(), "application/json")
    except (ValueError, RecursionError):
        raise _bad("json", "it can't be written as JSON") from None


def _form(call: Call) -> Body:
    pairs = [
        (name, _plain(item, f"form.{name}"))
        for name, value in mapping(call, "form").items()
        for item in (value if isinstance(value, list) else [value])
    ]
    try:
        return Body(urlencode(pairs).encode(), "application/x-www-form-urlencoded")
    except UnicodeEncodeError:
        raise _bad("form", "it holds half a character") from None


def _plain(value: Any, where: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str() | int() | float():
            return str(value)
        case None:
            return ""
    raise NodeError(
        f"{where} must be a text, a number, true, false or a list of those; it is {kind_of(value)}.",
        code="invalid_config",
    )


def _multipart(call: Call) -> Body:
    """The boundary comes from the idempotency key: a repeat sends the same bytes."""
    boundary = f"craft-{hashlib.sha256(call.idempotency_key.encode()).hexdigest()[:32]}"
    pieces: list[bytes] = []
    for place, part in enumerate(listing(call, "multipart")):
        where = f"multipart.{place}"
        if not isinstance(part, dict) or not isinstance(part.get("name"), str):
            raise _bad(where, "it must be an object with a name")
        content = (
            _decoded(part["base64"], f"{where}.base64")
            if "base64" in part
            else _encoded(_plain(part.get("value"), f"{where}.value"), where)
        )
        pieces += [
            f"--{boundary}\r\n{_head_of(part, where)}\r\n\r\n".encode(),
            content,
            b"\r\n",
        ]
    pieces.append(f"--{boundary}--\r\n".encode())
    return Body(b"".join(pieces), f"multipart/form-data; boundary={boundary}")


def _head_of(part: dict[str, Any], where: str) -> str:
    head = f'Content-Disposition: form-data; name="{_quoted(part["name"], where)}"'
    if "filename" in part:
        head += f'; filename="{_quoted(part["filename"], where)}"'
    kind = part.get("content_type")
    if kind is None and "filename" in part:
        kind = "application/octet-stream"
    if kind is None:
        return head
    if not isinstance(kind, str) or not kind.isascii() or not kind.isprintable():
        raise _bad(where, "its content_type is none")
    return f"{head}\r\nContent-Type: {kind}"


def _quoted(value: Any, where: str) -> str:
    """As browsers do it."""
    if not isinstance(value, str):
        raise _bad(where, "its name and filename must be texts")
    _encoded(value, where)
    return value.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _encoded(value: str, where: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise _bad(where, "it holds half a character") from None


def _decoded(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise _bad(where, "it is not Base64") from None


def _bad(where: str, reason: str) -> NodeError:
    return NodeError(f"{where} can't be sent: {reason}.", code="invalid_config")


WAYS: dict[str, Callable[[Call], Body]] = {
    "json": _json,
    "form": _form,
    "multipart": _multipart,
    "body": lambda call: Body(_encoded(text(call, "body"), "body")),
    "base64": lambda call: Body(
        _decoded(text(call, "base64"), "base64"), "application/octet-stream"
    ),
}
