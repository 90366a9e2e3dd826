"""What a child of the zygote does: let go of everything, be confined, do its one job, end."""

from __future__ import annotations

import json
import os
import signal
import socket
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from craft.exceptions import DomainError
from craft.sandbox import confinement

CHANNEL = 3  # the one open file of a child
ORDER_BYTES = 64 * 1024
READY = b"r"
MOST_FILES = 4096  # more than a zygote ever has open, at two for each child

Job = Callable[[Any], Any]
Order = dict[str, Any]


def become_child(job: Job, order: Order, data: int) -> NoReturn:
    try:
        _let_go_of_everything(data)
        _work(job, order)
    finally:
        os._exit(1)


def become_spare(job: Job, rehearse: Callable[[], None], orders: int) -> NoReturn:
    """A child before its time: goes through the motions, so that its memory is its own, and waits for an order."""
    try:
        _let_go_of_everything(orders)
        confinement.die_with_parent()
        rehearse()
        os.write(CHANNEL, READY)
        order, data = _receive_order()
        os.dup2(data, CHANNEL)
        os.close(data)
        _work(job, order)
    finally:
        os._exit(1)


def _receive_order() -> tuple[Order, int]:
    with socket.socket(fileno=os.dup(CHANNEL)) as orders:
        line, descriptors, _, _ = socket.recv_fds(orders, ORDER_BYTES, 1)
        while line and not line.endswith(b"\n"):
            line += orders.recv(ORDER_BYTES)
    if not line:
        os._exit(0)  # the zygote has no use for us
    return json.loads(line), descriptors[0]


def _work(job: Job, order: Order) -> None:
    try:
        payload = (
            _read_everything()
        )  # before anything can fail: unread, it would take our answer with it
        os.chdir(order["folder"])
        confinement.confine(
            order["limits"], readable=order["readable"], folder=order["folder"]
        )
        outcome = _outcome_of(job, payload)
        answer = json.dumps(outcome, allow_nan=False).encode()
    except MemoryError:
        answer = b'{"outcome": "memory"}'
    except BaseException:  # a fault of the job's or ours, to be told as such
        told = traceback.format_exc()
        answer = json.dumps({"outcome": "failed", "traceback": told}).encode()
    _write_everything(answer + b"\n")
    os._exit(0)


def _let_go_of_everything(channel: int) -> None:
    """Own session and group, default signals, and no open file but the channel."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(silence, standard)
    os.dup2(channel, CHANNEL)
    os.closerange(CHANNEL + 1, MOST_FILES)
    os.umask(0o077)


def _outcome_of(job: Job, payload: bytes) -> dict[str, Any]:
    try:
        return {"outcome": "result", "value": job(json.loads(payload))}
    except DomainError as error:
        return {
            "outcome": "refused",
            "kind": type(error).__name__,
            "message": error.message,
            "details": error.details,
        }


def _read_everything() -> bytes:
    chunks = []
    while chunk := os.read(CHANNEL, 256 * 1024):
        chunks.append(chunk)
    return b"".join(chunks)


def _write_everything(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(CHANNEL, view) :]
    os.close(CHANNEL)
