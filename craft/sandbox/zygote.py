"""The zygote: a process without threads or secrets that forks one child per job, watches its wall time and tells how it ended.

Forking copies no memory, so a child pays for each page that it first touches. A module of jobs that has a `rehearse` gets a spare child, which has done
that already when the next order comes.

It is started by `craft.sandbox` and knows no Django. Per job it is handed two sockets: the child's `data` (payload in, outcome out) and its own
`control` (the order in, how the child ended out). When the other end closes `control`, nobody waits any more, and the child is killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import time
import traceback
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NoReturn

from craft.sandbox import confinement
from craft.sandbox.child import READY, Job, Order, become_child, become_spare

PARENT_CHECK_SECONDS = 2.0
SPARE_SECONDS = 60.0


@dataclass
class Child:
    job: str
    control: socket.socket
    deadline: float
    why: str | None = None
    """Why we killed it, if we did."""


@dataclass
class Spare:
    """A child that waits for an order."""

    pid: int
    orders: socket.socket
    until: float

    has_rehearsed: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether it has said so. One that is still rehearsing would keep its order waiting for longer than a new child takes."""
        if not self.has_rehearsed:
            with contextlib.suppress(BlockingIOError):
                said = self.orders.recv(1, socket.MSG_DONTWAIT)
                self.has_rehearsed = said == READY
        return self.has_rehearsed


def serve(descriptor: int) -> NoReturn:
    with contextlib.suppress(KeyboardInterrupt):
        Zygote(socket.socket(fileno=descriptor)).serve()
    os._exit(0)  # without the farewells of libraries


class Zygote:
    def __init__(self, orders: socket.socket) -> None:
        self.orders = orders
        self.parent = os.getppid()
        self.children: dict[int, Child] = {}
        self.spares: dict[str, Spare] = {}
        self.modules: dict[str, ModuleType] = {}
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
            self._let_go_of_spares()
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
        self, order: Order, data: socket.socket, control: socket.socket
    ) -> None:
        if "prepare" in order:
            self._module_of(order["prepare"])
            return self._tell(control, {"why": "prepared"})
        job = self._job_of(order["job"])
        pid = self._hand_to_spare(order, data) or os.fork()
        if pid == 0:
            become_child(job, order, data.fileno())
        deadline = time.monotonic() + order["limits"]["seconds"]
        self.children[pid] = Child(order["job"], control, deadline)
        control.setblocking(False)
        self.selector.register(
            control, selectors.EVENT_READ, lambda: self._kill(pid, "abandoned")
        )
        return None

    def _job_of(self, dotted: str) -> Job:
        module, _, name = dotted.rpartition(".")
        job: Job = getattr(self._module_of(module), name)
        return job

    def _module_of(self, name: str) -> ModuleType:
        """A module of jobs, imported and prepared once, so that children find everything warm."""
        if name not in self.modules:
            module = importlib.import_module(name)
            getattr(module, "prepare", lambda: None)()
            self.modules[name] = module
            gc.collect()
            gc.freeze()  # the collector must not touch, and so copy, what children share
        return self.modules[name]

    # --- Spares ---

    def _make_spare(self, dotted: str) -> None:
        module = self._module_of(dotted.rpartition(".")[0])
        if dotted in self.spares or not hasattr(module, "rehearse"):
            return
        ours, theirs = socket.socketpair()
        with theirs:
            pid = os.fork()
            if pid == 0:
                become_spare(self._job_of(dotted), module.rehearse, theirs.fileno())
        until = time.monotonic() + SPARE_SECONDS
        self.spares[dotted] = Spare(pid, ours, until)

    def _hand_to_spare(self, order: Order, data: socket.socket) -> int | None:
        spare = self.spares.get(order["job"])
        if spare is None or not spare.is_ready:
            return None
        del self.spares[order["job"]]
        with spare.orders:
            line = json.dumps(order).encode() + b"\n"
            try:
                sent = socket.send_fds(spare.orders, [line], [data.fileno()])
            except OSError:
                return None  # it is gone, and will be reaped
            if rest := line[sent:]:
                spare.orders.sendall(rest)
        return spare.pid

    def _forget_spare(self, pid: int) -> None:
        for dotted, spare in list(self.spares.items()):
            if spare.pid == pid:
                self.spares.pop(dotted).orders.close()

    def _let_go_of_spares(self) -> None:
        """A spare that nobody needed ends when its socket does."""
        now = time.monotonic()
        for dotted in [key for key, spare in self.spares.items() if spare.until <= now]:
            self.spares.pop(dotted).orders.close()

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
                _kill_group(pid)
                child = self.children.pop(pid, None)
                if child is None:
                    self._forget_spare(pid)
                    continue
                self.selector.unregister(child.control)
                end = {
                    "why": child.why,
                    "status": os.waitstatus_to_exitcode(status),
                    "peak_rss": usage.ru_maxrss,
                }
                self._tell(child.control, end)
                self._make_spare(child.job)

    def _tell(self, control: socket.socket, end: dict[str, Any]) -> None:
        with control, contextlib.suppress(OSError):
            control.sendall(json.dumps(end).encode())

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
        for spare in self.spares.values():
            spare.orders.close()

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
