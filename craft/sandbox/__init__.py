"""Bounded child processes, for what strangers hand us: their SQL, their files, their code.

    rows = sandbox.run("datasources.guard.execution.answer", {"sql": …}, readable=[folder], limits=Limits(seconds=10))

A job is a function of ours, by its dotted name: JSON in, JSON out. Each runs in a fresh process that is thrown away afterwards, in an empty working
folder, with an empty environment, and dies at its limits: memory, processor and wall time, size of files and of output. A limit that was reached is an
`OverLimitError`, a `DomainError` that the job raised is raised here again, and whatever else went wrong in it is a `JobFailedError`.

A new interpreter with DuckDB in it costs 300 ms, so a *zygote* is started once per process of ours, clean (no thread, no secret, no open file of ours),
imports what jobs need, and forks one child per job: a few milliseconds (`zygote.py`, `child.py`). It holds a socket to us and ends when we do, however we end; its children end
with it. After a fork of ours (Celery's prefork) the child starts a zygote of its own.

What holds a job, beside the limits (`confinement.py`): an own network namespace where the kernel lets us make one, Landlock (it reads its `readable`
paths and the interpreter's libraries, writes its folder, and sees no other process), and a system call filter (no sockets, processes, signals, mounts).
Each is used where it is to be had. A container with Docker's defaults has all but the namespace. Elsewhere than on Linux only the limits are left, and a
job must not be trusted to more than the library in it (DuckDB with its own locks) is; macOS does not bound memory by rlimit, a watch in the job does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from django.conf import settings

from craft.exceptions import DomainError, InvalidError, UnavailableError

logger = logging.getLogger("craft.sandbox")

PROJECT = Path(__file__).resolve().parent.parent.parent
START_SECONDS = 30  # a zygote's first job waits for its imports
BOOT = "import sys; sys.path.insert(0, sys.argv[2]); from craft.sandbox.zygote import serve; serve(int(sys.argv[1]))"

MB = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What one job may use. `memory_bytes` is what it may add to an idle child, `file_bytes` the size of any one file that it writes."""

    seconds: float = 10
    memory_bytes: int = 512 * MB
    file_bytes: int = 512 * MB
    output_bytes: int = 16 * MB
    open_files: int = 128


class OverLimitError(DomainError):
    """A job was stopped at one of its limits: `time`, `memory`, `output`."""

    code: ClassVar[str] = "over_limit"

    def __init__(self, limit: str, message: str) -> None:
        super().__init__(message)
        self.limit = limit


class JobFailedError(Exception):
    """A fault in a job, which is our own; the text is its traceback."""


def run(
    job: str,
    payload: Any,
    *,
    limits: Limits | None = None,
    readable: Sequence[Path] = (),
    folder: Path | None = None,
    raises: Sequence[type[DomainError]] = (),
) -> Any:
    """Run a job and hand back its result. It may read `readable` and write `folder`, its working directory (by default an empty one that vanishes).

    `raises` are the kinds of `DomainError` that the job may raise by name; any other becomes an `InvalidError`.
    """
    limits = limits or Limits()
    with _slot(limits.seconds), _working_folder(folder) as workplace:
        order = {
            "job": job,
            "limits": asdict(limits),
            "readable": [str(path.resolve()) for path in readable],
            "folder": str(workplace),
        }
        output, end = _carry_out(order, json.dumps(payload).encode(), limits)
    return _judge(output, end, limits, {kind.__name__: kind for kind in raises})


def warm_up(*jobs: str) -> None:
    """Start the zygote, if there is none, and have it import what these jobs need."""
    for job in jobs:
        module = job.rpartition(".")[0]
        _carry_out({"prepare": module}, b"", Limits(seconds=START_SECONDS))


# --- One job ---


def _carry_out(
    order: dict[str, Any], payload: bytes, limits: Limits
) -> tuple[bytes, dict[str, Any]]:
    """Give the zygote an order; return what the child wrote and how it ended."""
    for is_last in (False, True):
        data, childs_data = socket.socketpair()
        control, zygotes_control = socket.socketpair()
        with data, control:
            with childs_data, zygotes_control:
                control.sendall(json.dumps(order).encode() + b"\n")
                sent = _zygote().send(childs_data, zygotes_control)
            if not sent and not is_last:
                continue  # the zygote was gone: the next one is a new one
            until = time.monotonic() + limits.seconds + START_SECONDS
            output, is_whole = _exchange(data, payload, limits.output_bytes, until)
            if not is_whole:
                return output, {
                    "why": "output"
                }  # closing `control` has the zygote kill the child
            if output.endswith(b"\n"):
                return output, {}  # all is said; the child's end need not be waited for
            end = _read_all(control, 64 * 1024, until)[0]
            return output, json.loads(end) if end else {"why": "lost"}
    raise AssertionError("unreachable")


def _exchange(
    data: socket.socket, payload: bytes, most: int, until: float
) -> tuple[bytes, bool]:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError, TimeoutError):
        data.settimeout(max(0.001, until - time.monotonic()))
        data.sendall(payload)
        data.shutdown(socket.SHUT_WR)
    return _read_all(data, most, until)


def _read_all(source: socket.socket, most: int, until: float) -> tuple[bytes, bool]:
    """Everything up to the end, and whether that was within `most`."""
    chunks: list[bytes] = []
    size = 0
    try:
        while True:
            source.settimeout(max(0.001, until - time.monotonic()))
            chunk = source.recv(256 * 1024)
            if not chunk:
                return b"".join(chunks), True
            size += len(chunk)
            if size > most:
                return b"", False
            chunks.append(chunk)
    except (TimeoutError, ConnectionResetError):
        return b"".join(chunks), True


def _judge(
    output: bytes,
    end: dict[str, Any],
    limits: Limits,
    kinds: dict[str, type[DomainError]],
) -> Any:
    why = end.get("why")
    if why == "time":
        raise OverLimitError(
            "time",
            f"It took longer than the {limits.seconds:g} seconds that it may take.",
        )
    if why == "output":
        raise OverLimitError(
            "output",
            f"It answered more than the {limits.output_bytes // MB} MB that it may answer.",
        )
    if why == "lost":
        raise UnavailableError("The sandbox was lost on the way. Try again.")
    if why == "failed":
        raise JobFailedError(end.get("traceback", ""))
    if not output.endswith(b"\n"):
        # Killed by a signal: out of memory ends as SIGABRT, SIGSEGV or SIGKILL, depending on who asked for the last page.
        logger.warning("a sandbox job died: %s", end)
        raise _over_memory(limits)
    outcome = json.loads(output)
    match outcome["outcome"]:
        case "result":
            return outcome["value"]
        case "refused":
            raise kinds.get(outcome["kind"], InvalidError)(
                outcome["message"], details=outcome["details"]
            )
        case "memory":
            raise _over_memory(limits)
        case _:
            raise JobFailedError(outcome["traceback"])


def _over_memory(limits: Limits) -> OverLimitError:
    return OverLimitError(
        "memory",
        f"It needed more than the {limits.memory_bytes // MB} MB of memory that it may use.",
    )


@contextlib.contextmanager
def _working_folder(folder: Path | None) -> Iterator[Path]:
    if folder is not None:
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory(
        prefix="craft-job-", ignore_cleanup_errors=True
    ) as made:
        yield Path(made).resolve()


# --- How many at once ---


@cache
def _slots(pid: int) -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(settings.SANDBOX_JOBS)


@contextlib.contextmanager
def _slot(patience: float) -> Iterator[None]:
    """Children are heavy: a process of ours has few at a time, and who has waited long enough is told so."""
    slots = _slots(os.getpid())
    if not slots.acquire(timeout=patience):
        raise UnavailableError(
            "Too many queries and uploads are at work. Try again in a moment."
        )
    try:
        yield
    finally:
        slots.release()


# --- The zygote of this process ---


class Zygote:
    """The clean process that forks our jobs."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603  # our own interpreter and code
                [sys.executable, "-I", "-c", BOOT, str(theirs.fileno()), str(PROJECT)],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={"LANG": "C.UTF-8", "PATH": os.defpath},
                cwd="/",
                start_new_session=True,  # Ctrl-C on our terminal is ours to handle
            )
        self.socket = ours
        self.lock = threading.Lock()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def send(self, *channels: socket.socket) -> bool:
        with self.lock:
            try:
                socket.send_fds(
                    self.socket, [b"j"], [channel.fileno() for channel in channels]
                )
            except (BrokenPipeError, ConnectionResetError):
                self.process.wait(START_SECONDS)
                return False
        return True


_lock = threading.Lock()
_current: Zygote | None = None


def _zygote() -> Zygote:
    global _current
    with _lock:
        if _current is None or not _current.is_alive:
            _current = Zygote()
        return _current


def _forget_zygote() -> None:
    """In a fork of ours: let go of the parent's socket, so that the zygote sees the parent end."""
    global _current, _lock
    _lock = threading.Lock()
    if _current is not None:
        _current.socket.close()
        _current.process.returncode = 0  # not our child: nothing to wait for
        _current = None


def _end_zygote() -> None:
    if _current is not None:
        _current.socket.close()
        _current.process.wait(START_SECONDS)


os.register_at_fork(after_in_child=_forget_zygote)
atexit.register(_end_zygote)
