"""Work that blocks, off the engine's loop: in threads of our own, which leave no database connection behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import lru_cache
from typing import TypeVar

from django.db import connections

MAX_THREADS = 32

T = TypeVar("T")


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """By process: threads don't survive a fork."""
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="node")


async def in_thread(
    work: Callable[[], T], *, stop: Callable[[], object] | None = None
) -> T:
    """What the work gives. Who is cancelled waits no longer; `stop` tells the work."""
    loop = asyncio.get_running_loop()
    run = copy_context().run
    try:
        return await loop.run_in_executor(
            _threads(os.getpid()), run, _without_trace, work
        )
    except asyncio.CancelledError:
        if stop is not None:
            stop()
        raise


def _without_trace(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connections.close_all()
