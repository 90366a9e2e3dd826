"""Deeds done at the same moment, each in a process of its own with a connection of its own. Forked, so that none has to load Django; a test that races
anything asks for real transactions."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from django.db import connection, connections

SECONDS = 30


def at_once(*deeds: Callable[[], object]) -> list[str]:
    """What became of each: `done`, or the name of what it raised."""
    connections.close_all()  # a connection must not be shared by a fork
    gate, opener = os.pipe()
    racers = [_begin(deed, gate, opener) for deed in deeds]
    os.close(gate)
    for _, ready in racers:
        os.read(ready, 1)
    os.close(opener)  # everybody waits to read this, and now reads its end
    return [_end(pid, told) for pid, told in racers]


def _begin(deed: Callable[[], object], gate: int, opener: int) -> tuple[int, int]:
    told, teller = os.pipe()
    pid = os.fork()
    if pid:
        os.close(teller)
        return pid, told
    outcome = "crashed"
    try:
        os.close(opener)
        connection.ensure_connection()
        os.write(teller, b" ")
        os.read(gate, 1)
        outcome = _outcome(deed)
    finally:
        os.write(teller, json.dumps(outcome).encode())
        os._exit(0)


def _outcome(deed: Callable[[], object]) -> str:
    try:
        deed()
    except Exception as error:  # whatever it is, the test judges it
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return type(error).__name__
    finally:
        connection.close()
    return "done"


def _end(pid: int, told: int) -> str:
    until, outcome = time.monotonic() + SECONDS, b""
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return "stuck"
        time.sleep(0.002)
    with os.fdopen(told, "rb") as pipe:
        outcome = pipe.read()
    found: Any = json.loads(outcome)
    return str(found)
