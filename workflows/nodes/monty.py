"""Python of customers, run by Monty: an interpreter of its own, without files, processes, network or modules of ours, in worker processes that it keeps.

It starts its workers by itself, without our environment; they can't be children of `craft.sandbox`, which may start nothing. A launcher bounds them.
"""

import atexit
import os
import shlex
import shutil
import sysconfig
import tempfile
import threading
from pathlib import Path
from typing import Any

import pydantic_monty
from django.conf import settings

from craft.exceptions import UnavailableError
from workflows.nodes.base import NodeError

MB = 1024 * 1024
GRACE_SECONDS = 0.5
PATIENCE_SECONDS = 10.0
MOST_SECONDS = 60.0
MAX_FRAMES = 200
ENDING = """
import json
json.dumps(main(input, variables))
"""
BINARY = Path(sysconfig.get_path("scripts"), "monty")

# Without a network where the kernel lets us leave it, in bounded memory (macOS knows no such bound), writing no file. Monty itself gives a program none of
# these; this is what holds if that should fail.
LAUNCHER = """#!/bin/sh
bounded='ulimit -c 0; ulimit -f 0; ulimit -n 64; ulimit -v 1048576 2>/dev/null; exec "$0" "$@"'
if unshare -rn true 2>/dev/null; then
    exec unshare -rn sh -c "$bounded" {binary} "$@"
fi
exec sh -c "$bounded" {binary} "$@"
"""

_lock = threading.Lock()
_pool: pydantic_monty.Monty | None = None
_parents: list[pydantic_monty.Monty] = []
"""What a fork of ours has of its parent's, which it can't use, and must not close."""


def run(
    code: str, given: dict[str, Any], *, seconds: float, memory_mb: int
) -> tuple[str, str]:
    """What `main(input, variables)` gives, as JSON, and what was printed."""
    limits = pydantic_monty.ResourceLimits(
        max_feed_duration_secs=seconds,
        max_memory=memory_mb * MB,
        max_recursion_depth=MAX_FRAMES,
        max_total_sleep_secs=0,
    )
    printed = pydantic_monty.CollectString()
    try:
        with _shared_pool().checkout(limits=limits, script_name="code") as session:
            answer = session.feed_run(
                f"{code}\n{ENDING}", inputs=given, print_callback=printed
            )
    except pydantic_monty.MontyCrashedError as error:
        if error.timed_out:
            raise _over(f"It takes longer than {seconds:g} seconds.") from None
        raise _over("It broke the interpreter.") from None
    except pydantic_monty.MontySyntaxError as error:
        raise NodeError(
            f"The code can't be read: {error.display('msg')[:300]}{_line_of(error)}.",
            code="code_failed",
        ) from None
    except pydantic_monty.MontyRuntimeError as error:
        raise _told(error, seconds, memory_mb) from None
    except pydantic_monty.MontyError as error:
        raise NodeError(str(error)[:300], code="code_failed") from None
    except TimeoutError:
        raise UnavailableError(
            "Too much code is at work. Try again in a moment."
        ) from None
    if not isinstance(answer, str):
        raise NodeError("main gave nothing that JSON knows.", code="code_failed")
    return answer, printed.output


def _told(
    error: pydantic_monty.MontyRuntimeError, seconds: float, memory_mb: int
) -> NodeError:
    text = error.display("type-msg")
    if text.startswith("TimeoutError"):
        return _over(f"It takes longer than {seconds:g} seconds, or sleeps.")
    if text.startswith("MemoryError"):
        return _over(f"It needs more than {memory_mb} MB of memory.")
    return NodeError(f"{text[:500]}{_line_of(error)}", code="code_failed")


def _over(message: str) -> NodeError:
    return NodeError(message, code="over_limit")


def _line_of(
    error: pydantic_monty.MontyRuntimeError | pydantic_monty.MontySyntaxError,
) -> str:
    frames = error.traceback()
    return f" (line {frames[-1].line})" if frames else ""


# --- The workers of this process ---


def _shared_pool() -> pydantic_monty.Monty:
    global _pool
    with _lock:
        if _parents:
            # Monty's threads are not forked: a call would wait for ever.
            raise UnavailableError(
                "This process was forked from one that had run code already."
            )
        if _pool is None:
            _pool = pydantic_monty.Monty(
                binary_path=_launcher(),
                min_processes=0,
                max_processes=settings.SANDBOX_JOBS,
                checkout_timeout=PATIENCE_SECONDS,
                request_timeout=MOST_SECONDS,
                max_checkouts_per_worker=1_000,
                feed_duration_limit_grace=GRACE_SECONDS,
            ).__enter__()
        return _pool


def _launcher() -> Path:
    """A file of this process's own: a worker is started with one argument that we don't choose, and no environment."""
    path = Path(tempfile.mkdtemp(prefix="craft-monty-"), "launch")
    path.write_text(LAUNCHER.format(binary=shlex.quote(str(BINARY))))
    path.chmod(0o500)
    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:
            shutil.rmtree(path.parent, ignore_errors=True)

    atexit.register(remove)
    return path


def _forget_pool() -> None:
    global _pool, _lock
    _lock = threading.Lock()
    if _pool is not None:
        _parents.append(_pool)
        _pool = None


def _end_pool() -> None:
    if _pool is not None:
        _pool.__exit__(None, None, None)


os.register_at_fork(after_in_child=_forget_pool)
atexit.register(_end_pool)
