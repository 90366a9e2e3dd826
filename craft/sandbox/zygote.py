"""The zygote: a process without threads or secrets that forks one child per job, watches its wall time and tells how it ended.

It is started by `craft.sandbox` and knows no Django. Per job it is handed two sockets: the child's `data` (payload in, outcome out) and its own
`control` (the order in, how the child ended out). When the other end closes `control`, nobody waits any more, and the child is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from craft.exceptions import DomainError
from craft.sandbox import confinement

PARENT_CHECK_SECONDS = 2.0
DATA_FD = 3


@dataclass
class Child:
    control: socket.socket
    deadline: float
    why: str | None = None
    """Why we killed it, if we did."""


def serve(descriptor: int) -> NoReturn:
    with contextlib.suppress(KeyboardInterrupt):
        Zygote(socket.socket(fileno=descriptor)).serve()
    os._exit(0)  # without the farewells of libraries


class Zygote:
    def __init__(self, orders: socket.socket) -> None:
        self.orders = orders
        self.parent = os.getppid()
        self.children: dict[int, Child] = {}
        self.modules: set[str] = set()
        self.selector = selectors.DefaultSelector()

    def serve(self) -> None:
        confinement.leave_network()
        self._hear_of_deaths()
        self.selector.register(self.orders, selectors.EVENT_READ, self._take_order)
        while os.getppid() == self.parent:
            for key, _ in self.selector.select(self._patience()):
                if key.data() is False:
                    return self._kill_all()
            self._kill_overdue()
        return self._kill_all()

    # --- Orders ---

    def _take_order(self) -> bool:
        """False at the end: our parent is gone or done with us."""
        message, descriptors, _, _ = socket.recv_fds(self.orders, 1, 2)
        if not message:
            return False
        data, control = (socket.socket(fileno=descriptor) for descriptor in descriptors)
        with data:
            try:
                order = _read_line(control)
                self._carry_out(order, data, control)
            except Exception:  # the order's fault, which its sender must hear of
                self._tell(
                    control, {"why": "failed", "traceback": traceback.format_exc()}
                )
        return True

    def _carry_out(
        self, order: dict[str, Any], data: socket.socket, control: socket.socket
    ) -> None:
        if "prepare" in order:
            self._prepare(order["prepare"])
            return self._tell(control, {"why": "prepared"})
        module, _, name = order["job"].rpartition(".")
        self._prepare(module)
        job = getattr(sys.modules[module], name)
        child = os.fork()
        if child == 0:
            become_child(job, order, data.fileno())
        self.children[child] = Child(
            control, time.monotonic() + order["limits"]["seconds"]
        )
        control.setblocking(False)
        self.selector.register(
            control, selectors.EVENT_READ, lambda: self._abandon(child)
        )
        return None

    def _prepare(self, module: str) -> None:
        """Import a module of jobs and call its `prepare`, so that its children find everything warm."""
        if module in self.modules:
            return
        imported = importlib.import_module(module)
        getattr(imported, "prepare", lambda: None)()
        self.modules.add(module)
        gc.collect()
        gc.freeze()  # the collector must not touch, and so copy, what children share

    # --- Children ---

    def _hear_of_deaths(self) -> None:
        hear, tell = socket.socketpair()
        hear.setblocking(False)
        tell.setblocking(False)
        signal.set_wakeup_fd(tell.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._wakeups = tell  # kept open

        def reap() -> None:
            with contextlib.suppress(BlockingIOError):
                while hear.recv(4096):
                    pass
            self._reap()

        self.selector.register(hear, selectors.EVENT_READ, reap)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    return
                child = self.children.pop(pid)
                _kill_group(pid)
                self.selector.unregister(child.control)
                end = {
                    "why": child.why,
                    "status": os.waitstatus_to_exitcode(status),
                    "peak_rss": usage.ru_maxrss,
                }
                self._tell(child.control, end)

    def _tell(self, control: socket.socket, end: dict[str, Any]) -> None:
        with control, contextlib.suppress(OSError):
            control.sendall(json.dumps(end).encode())

    def _abandon(self, pid: int) -> None:
        self._kill(pid, "abandoned")

    def _kill(self, pid: int, why: str) -> None:
        child = self.children.get(pid)
        if child is None:
            return  # reaped a moment ago
        child.why = child.why or why
        child.deadline = float("inf")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        _kill_group(pid)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for pid in [
            pid for pid, child in self.children.items() if child.deadline <= now
        ]:
            self._kill(pid, "time")

    def _kill_all(self) -> None:
        for pid in self.children:
            self._kill(pid, "abandoned")

    def _patience(self) -> float:
        nearest = min(
            (child.deadline for child in self.children.values()), default=float("inf")
        )
        return max(0.0, min(nearest - time.monotonic(), PARENT_CHECK_SECONDS))


def _read_line(control: socket.socket) -> dict[str, Any]:
    """The order was written before its socket was sent: reading does not wait."""
    line = b""
    while not line.endswith(b"\n"):
        chunk = control.recv(64 * 1024)
        if not chunk:
            raise EOFError("an order broke off")
        line += chunk
    order: dict[str, Any] = json.loads(line)
    return order


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


# --- In the child ---


def become_child(
    job: Callable[[Any], Any], order: dict[str, Any], data: int
) -> NoReturn:
    try:
        _let_go_of_everything(data)
        payload = _read_everything()  # before anything can fail: unread, it would take our answer with it
        os.chdir(order["folder"])
        confinement.confine(
            order["limits"], readable=order["readable"], folder=order["folder"]
        )
        outcome = _outcome_of(job, payload)
        _write_all(json.dumps(outcome, allow_nan=False).encode() + b"\n")
    except MemoryError:
        _write_all(b'{"outcome": "memory"}\n')
    except BaseException:  # nothing may reach the zygote's code again
        _write_all(
            json.dumps(
                {"outcome": "failed", "traceback": traceback.format_exc()}
            ).encode()
            + b"\n"
        )
    finally:
        os._exit(0)


def _let_go_of_everything(data: int) -> None:
    """Own session and group, default signals, and no open file but the data socket."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    silence = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(silence, standard)
    os.dup2(data, DATA_FD)
    os.closerange(DATA_FD + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    os.umask(0o077)


def _outcome_of(job: Callable[[Any], Any], payload: bytes) -> dict[str, Any]:
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
    while chunk := os.read(DATA_FD, 256 * 1024):
        chunks.append(chunk)
    return b"".join(chunks)


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(DATA_FD, view) :]
