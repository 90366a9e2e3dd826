"""Equal calls that come at the same time go out once: the first makes the call, the others wait for what it brings.

Calls of one event loop meet in a table; those of other processes meet in the shared cache, where whoever calls leaves a mark for as long as it is at it. A
call that fails is remembered by nobody, and one of those who waited for it makes the next. Nobody waits for ever: after `PATIENCE_SECONDS` one calls oneself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any, Protocol
from weakref import WeakKeyDictionary

PATIENCE_SECONDS = 60.0
MARK_SECONDS = 15
RENEW_SECONDS = 5.0
FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.02, 0.5

Result = tuple[Any, list[str]]
"""What a node put out, and the handles that it left by."""


class Store(Protocol):
    """Where results are kept for all processes. What fails in it counts as nothing found: a cache that is down costs calls, and no answer."""

    async def recall(self, key: str) -> Result | None: ...

    async def remember(self, key: str, result: Result, seconds: int) -> None: ...

    async def mark(self, key: str, seconds: int) -> bool:
        """Whether the mark is ours now: nobody else had left one."""

    async def renew(self, key: str, seconds: int) -> None: ...

    async def unmark(self, key: str) -> None: ...


_flights: WeakKeyDictionary[
    asyncio.AbstractEventLoop, dict[str, asyncio.Future[Result | None]]
] = WeakKeyDictionary()


async def once(
    store: Store, key: str, seconds: int, call: Callable[[], Awaitable[Result | None]]
) -> tuple[Result | None, bool]:
    """What the call gives, and whether somebody else made it. A call may give None, which is not kept."""
    loop = asyncio.get_running_loop()
    flights = _flights.setdefault(loop, {})
    until = loop.time() + PATIENCE_SECONDS
    while (flight := flights.get(key)) is not None and loop.time() < until:
        found = await _landed(flight, until - loop.time())
        if found is not None:
            return found, True
    if flight is not None:
        return await call(), False
    flight = flights[key] = loop.create_future()
    result: Result | None = None
    try:
        result, is_marked = await _found_elsewhere(store, key, until)
        if result is not None:
            return result, True
        if not is_marked:
            return await call(), False
        result = await _call_marked(store, key, seconds, call)
        return result, False
    finally:
        del flights[key]
        flight.set_result(result)


async def _landed(
    flight: asyncio.Future[Result | None], seconds: float
) -> Result | None:
    """A copy for each: what one execution does with it is its own affair."""
    await asyncio.wait([flight], timeout=seconds)
    return deepcopy(flight.result()) if flight.done() else None


async def _found_elsewhere(
    store: Store, key: str, until: float
) -> tuple[Result | None, bool]:
    """What is kept already, or what another process that is at it brings; and whether the mark is ours, so that the call is ours to make."""
    loop, pause = asyncio.get_running_loop(), FIRST_LOOK_SECONDS
    while (found := await store.recall(key)) is None and loop.time() < until:
        if await store.mark(key, MARK_SECONDS):
            # The one who had the mark may have come home between the look and the mark.
            found = await store.recall(key)
            if found is not None:
                await store.unmark(key)
            return found, found is None
        await asyncio.sleep(pause)
        pause = min(2 * pause, LAST_LOOK_SECONDS)
    return found, False


async def _call_marked(
    store: Store,
    key: str,
    seconds: int,
    call: Callable[[], Awaitable[Result | None]],
) -> Result | None:
    renewing = asyncio.create_task(_renew(store, key))
    try:
        result = await call()
        if result is not None:
            await store.remember(key, result, seconds)
    finally:
        renewing.cancel()
        await asyncio.shield(store.unmark(key))
    return result


async def _renew(store: Store, key: str) -> None:
    while True:
        await asyncio.sleep(RENEW_SECONDS)
        await store.renew(key, MARK_SECONDS)
