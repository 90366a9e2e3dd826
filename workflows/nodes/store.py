"""Keeps a result somewhere: in a bucket, behind a URL, in a folder of ours."""

import asyncio
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings

from craft import egress
from craft.exceptions import DomainError
from integrations.clients import http as requests
from integrations.clients import s3
from integrations.models import Opened
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import EXTENSIONS, FORMATS, MEDIA_TYPES, write
from workflows.nodes.http import HEADERS, expect, headers_of
from workflows.nodes.resolved import choice, is_expression, text

MAX_BYTES = 10_000_000
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$"
FOLDER = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
MAX_FOLDERS = 8
TIMEOUT_SECONDS = 30


class Store(Node):
    type = "store"
    family = "output"
    summary = (
        "Keeps its input in a bucket, behind a URL or in a folder, and answers where."
    )
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "target": {
                "type": "string",
                "minLength": 1,
                "description": "`s3://bucket/prefix/`, `https://…` or `file://folder/`. What ends in `/` is given a name: the execution's id.",
            },
            "format": {
                "enum": list(FORMATS),
                "default": "json",
                "description": "How the input is written.",
            },
            "name": {
                "type": "string",
                "pattern": NAME,
                "description": "A name instead of the execution's id, without an extension.",
            },
            "method": {
                "enum": ["PUT", "POST"],
                "default": "PUT",
                "description": "For an https target.",
            },
            "headers": HEADERS | {"description": "For an https target."},
            "credential": {
                "type": "string",
                "minLength": 1,
                "x-credential": ["aws", *requests.TYPES],
                "description": "A credential by its name or id: `aws` for an s3 target, which then goes to that account's buckets; for an https target as in `http`.",
            },
        },
        "required": ["target"],
        "additionalProperties": False,
    }
    example = {
        "config": {"target": "file://reports/"},
        "input": {"total": 120},
        "output": {"stored": "file://reports/exec_example.json", "bytes": 13},
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        target = config["target"]
        if is_expression(target):
            return {}
        if target.startswith("file://") and "credential" in config:
            return {"credential": "A file target takes none."}
        try:
            _scheme_of(target)
            if target.startswith("s3://"):
                s3.parse(target)
            elif target.startswith("file://"):
                _folders(target)
            else:
                egress.check_url(target)
        except (NodeError, DomainError) as error:
            return {"target": error.message}
        return {}

    async def run(self, call: Call) -> Output:
        target, format = text(call, "target"), choice(call, "format", FORMATS, "json")
        content = write(call.input, format).encode(errors="replace")
        if len(content) > MAX_BYTES:
            raise NodeError(
                f"This is {len(content):,} bytes; at most {MAX_BYTES:,} can be stored at once.",
                code="invalid_input",
            )
        name = f"{_name(call)}.{EXTENSIONS[format]}"
        match _scheme_of(target):
            case "file":
                stored = await asyncio.to_thread(
                    _write_file, call.company_id, _folders(target), name, content
                )
            case "s3":
                stored = await _put(call, _named(target, name), content, format)
            case _:
                stored = await _send(
                    call, _named(target, name), content, MEDIA_TYPES[format]
                )
        return Output({"stored": stored, "bytes": len(content)})


def _credential(call: Call, types: Sequence[str]) -> Opened | None:
    credential = call.credential()
    if credential is not None and credential.type not in types:
        raise NodeError(
            f"'{credential.name}' is a credential of the type {credential.type}; this target takes {' or '.join(types)}.",
            code="invalid_config",
        )
    return credential


def _scheme_of(target: str) -> str:
    scheme, separator, _ = target.partition("://")
    if not separator or scheme not in ("s3", "https", "http", "file"):
        raise NodeError(
            "The target must begin with s3://, https:// or file://.",
            code="invalid_config",
        )
    return scheme


def _name(call: Call) -> str:
    name = text(call, "name", call.execution_id)
    if not re.fullmatch(NAME, name):
        raise NodeError(
            f"{name[:100]!r} can't be a name: use letters, digits, dots, dashes and underscores, at most 100.",
            code="invalid_config",
        )
    return name


def _named(target: str, name: str) -> str:
    return f"{target}{name}" if target.endswith("/") else target


async def _put(call: Call, target: str, content: bytes, format: str) -> str:
    credential = _credential(call, ["aws"])
    try:
        return await s3.put(target, content, MEDIA_TYPES[format], credential=credential)
    except s3.StoreError as error:
        raise NodeError(
            error.message, code=error.code, retryable=error.status_code >= 500
        ) from None


async def _send(call: Call, url: str, content: bytes, media_type: str) -> str:
    headers = {
        "Content-Type": media_type,
        "Idempotency-Key": call.idempotency_key,
        **headers_of(call),
    }
    answer = await requests.fetch(
        _credential(call, requests.TYPES),
        choice(call, "method", ("PUT", "POST"), "PUT"),
        url,
        headers=headers,
        hide=call.hide,
        content=content,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    expect(call, answer, [])
    return url


def _folders(target: str) -> list[str]:
    folders = target.removeprefix("file://").strip("/").split("/")
    if len(folders) > MAX_FOLDERS or not all(map(FOLDER.fullmatch, folders)):
        raise NodeError(
            "A file target is file:// and one or more folders of letters, digits, dots, dashes and underscores, such as file://reports/.",
            code="invalid_config",
        )
    return folders


def outputs_of(company_id: int) -> Path:
    """In the company's own folder, with which they go."""
    return Path(settings.MEDIA_ROOT, str(company_id), "outputs")


def _write_file(company_id: int, folders: list[str], name: str, content: bytes) -> str:
    """A reader sees the whole file or none: it is written aside and then renamed."""
    root = outputs_of(company_id).resolve()
    folder = root.joinpath(*folders)
    folder.mkdir(parents=True, exist_ok=True)
    if not folder.resolve().is_relative_to(root):
        raise NodeError("The folder is not inside the company's own.")
    aside = folder / f".{uuid4().hex}"
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(folder / name)
    finally:
        aside.unlink(missing_ok=True)
    return f"file://{'/'.join(folders)}/{name}"
