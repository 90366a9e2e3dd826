"""No module dials by itself: whatever leaves the machine leaves by `craft.egress`."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

APPS = [
    "craft",
    "accounts",
    "billing",
    "integrations",
    "datasources",
    "agents",
    "workflows",
    "compliance",
    "deployments",
]
DIALLING = frozenset(
    [
        "aiohttp",
        "asyncore",
        "boto3",
        "botocore",
        "ftplib",
        "http.client",
        "httpcore",
        "httpcore2",
        "httplib2",
        "httpx",
        "httpx2",
        "imaplib",
        "nntplib",
        "poplib",
        "pycurl",
        "requests",
        "smtplib",
        "socket",
        "socketserver",
        "ssl",
        "telnetlib",
        "tornado",
        "urllib.request",
        "urllib3",
        "websocket",
        "websockets",
        "xmlrpc.client",
    ]
)
DIALLING_CALLS = frozenset({"open_connection", "create_connection", "urlopen"})
ALLOWED = {
    "craft/egress.py": {"create_connection", "httpcore2", "httpx2", "socket", "ssl"},
    "craft/demo/customer.py": {"http.client"},  # calls the server that started it
    "accounts/services/mail.py": {"smtplib"},  # its errors; Django calls the server
    "craft/leases.py": {"socket"},  # the name of this host
    "craft/sandbox/__init__.py": {"socket"},  # a pair, to its own child
    "craft/sandbox/child.py": {
        "socket"
    },  # hears its order on a pair that it was born with
    "craft/sandbox/zygote.py": {"socket"},  # the other end of that pair
    "craft/server.py": {"http.client"},  # asks itself for its health
    "craft/management/commands/up.py": {"socket"},  # asks for a free port
    "integrations/clients/s3.py": {"botocore"},  # signs; craft.egress sends
    "integrations/clients/smtp.py": {"smtplib"},  # speaks; craft.egress dials
}


def modules() -> list[Path]:
    root = Path(settings.BASE_DIR)
    return sorted(path for app in APPS for path in (root / app).rglob("*.py"))


def dialling_names(tree: ast.AST) -> Iterator[str]:
    """What a module imports, by whatever spelling, or calls that opens a connection. Imports for type checkers only don't count."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                continue
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name
            case ast.Attribute(attr=name) if name in DIALLING_CALLS:
                yield name
        yield from dialling_names(node)


def dialled_by(source: str) -> set[str]:
    found = set()
    for name in dialling_names(ast.parse(source)):
        parts = name.split(".")
        prefixes = {".".join(parts[: length + 1]) for length in range(len(parts))}
        found |= prefixes & (DIALLING | DIALLING_CALLS)
    return found


def test_no_module_dials_by_itself() -> None:
    root = Path(settings.BASE_DIR)
    found = modules()
    assert len(found) > 50
    strays = {}
    for path in found:
        name = str(path.relative_to(root))
        if stray := dialled_by(path.read_text()) - ALLOWED.get(name, set()):
            strays[name] = stray
    assert strays == {}


def test_each_exception_is_still_needed() -> None:
    root = Path(settings.BASE_DIR)
    unused = {
        name: allowed - dialled_by((root / name).read_text())
        for name, allowed in ALLOWED.items()
    }
    assert {name: rest for name, rest in unused.items() if rest} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import requests",
        "import httpx2 as web",
        "from httpx2 import AsyncClient",
        "import urllib.request",
        "from urllib import request",
        "from urllib.request import urlopen",
        "from http import client",
        "import http.client",
        "def f():\n    import boto3",
        "from botocore.session import Session",
        "__import__('socket')",
        "import importlib\nimportlib.import_module('aiohttp')",
        "import asyncio\nasync def f():\n    await asyncio.open_connection('a', 1)",
        "try:\n    import urllib3\nexcept ImportError:\n    pass",
    ],
)
def test_the_gate_sees_every_way_to_dial(source) -> None:
    assert dialled_by(source)


@pytest.mark.parametrize(
    "source",
    [
        "from urllib.parse import urlsplit",
        "from http import HTTPStatus",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpx2",
        "from craft import egress",
        "import asyncio",
    ],
)
def test_the_gate_lets_the_rest_be(source) -> None:
    assert not dialled_by(source)
