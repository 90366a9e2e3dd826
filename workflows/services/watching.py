"""The events of an execution, while it runs and afterwards.

They are read off its rows, so that a run which nobody watches pays for none: each step keeps the number of its beginning and of its end, given in the order
in which they are written down. What one looks at later is therefore, number by number, what another saw live.

Each watcher holds a thread of the web server; few are let in, and none for long.
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db.models import Q

from craft.encoding import utc_text
from craft.exceptions import DomainError
from craft.lifetime import stopping
from workflows.models import Execution, Step

BEGUN = 1
"""The number of `execution.started`; those of the steps follow."""
LOOK_SECONDS = 0.3
HEARTBEAT_SECONDS = 2.0
RETRY_MS = 1_000
MOST_WATCHERS, MOST_OF_A_COMPANY = 6, 3
"""In one process, whose server has 32 threads."""
STEP_FIELDS = (
    "id",
    "node_id",
    "iteration",
    "type",
    "name",
    "status",
    "origin",
    "attempt",
    "error",
    "started_at",
    "completed_at",
    "begun",
    "ended",
)


class TooManyWatchersError(DomainError):
    """The company watches as many executions as it may. `wait` says in how many seconds to ask again."""

    code = "too_many_watchers"
    status_code = 429
    wait = 5


class NoRoomToWatchError(DomainError):
    """The process serves as many watchers as it may."""

    code = "unavailable"
    status_code = 503
    wait = 5


@dataclass(frozen=True)
class RunEvent:
    """Something that an execution went through. The numbers of one execution's events rise, with gaps."""

    number: int
    type: str
    data: dict[str, Any]

    def as_text(self) -> str:
        """As server-sent events are written."""
        data = json.dumps(self.data, separators=(",", ":"), ensure_ascii=False)
        return f"id: {self.number}\nevent: {self.type}\ndata: {data}\n\n"


class Watcher:
    """Looks again and again at one execution, and each time tells what is new beyond `last`."""

    def __init__(self, execution: Execution, *, last: int = 0) -> None:
        self._pk = execution.pk
        self._last = last
        self._newest = 0
        self._open: set[int] = set()
        self.is_over = False

    def look(self) -> list[RunEvent]:
        # The execution first: once it is over, all its steps are written.
        execution: dict[str, Any] = Execution.unscoped.values(  # type: ignore[assignment]  # a dict like any other
            "pk", "workflow_id", "status", "started_at", "completed_at", "error"
        ).get(pk=self._pk)
        is_over = execution["completed_at"] is not None
        steps = self._new_steps(all_of_them=is_over)
        events = [] if execution["started_at"] is None else [_started(execution)]
        for step in steps:
            events += _events_of(step)
        events.sort(key=lambda event: event.number)
        if is_over:
            events += _ending(execution, steps, after=events)
            self.is_over = True
        fresh = [event for event in events if event.number > self._last]
        if fresh:
            self._last = fresh[-1].number
        return fresh

    def _new_steps(self, *, all_of_them: bool) -> list[dict[str, Any]]:
        steps = Step.objects.filter(execution=self._pk)
        if not all_of_them:
            steps = steps.filter(Q(pk__gt=self._newest) | Q(pk__in=list(self._open)))
        found = list(steps.order_by("pk").values(*STEP_FIELDS))
        if found:
            self._newest = max(self._newest, found[-1]["id"])
        self._open -= {step["id"] for step in found}
        self._open |= {step["id"] for step in found if not step["ended"]}
        return found


def _started(execution: dict[str, Any]) -> RunEvent:
    data = {
        "execution_id": execution["pk"],
        "workflow_id": execution["workflow_id"],
        "started_at": _time(execution["started_at"]),
    }
    return RunEvent(BEGUN, "execution.started", data)


def _events_of(step: dict[str, Any]) -> Iterator[RunEvent]:
    is_skipped = step["status"] == "skipped"
    if step["begun"] and not is_skipped:
        yield RunEvent(step["begun"], "step.started", _named(step))
    if step["ended"]:
        yield _ended(step, step["ended"])


def _ended(step: dict[str, Any], number: int) -> RunEvent:
    data = {
        **_named(step),
        "status": step["status"],
        "attempt": step["attempt"],
        "origin": step["origin"],
        "error": step["error"],
        "completed_at": _time(step["completed_at"]),
    }
    return RunEvent(number, f"step.{step['status']}", data)


def _named(step: dict[str, Any]) -> dict[str, Any]:
    return {
        "node_id": step["node_id"],
        "iteration": step["iteration"],
        "type": step["type"],
        "name": step["name"],
        "started_at": _time(step["started_at"]),
    }


def _ending(
    execution: dict[str, Any], steps: list[dict[str, Any]], *, after: list[RunEvent]
) -> Iterator[RunEvent]:
    """The last events: of steps that were closed from outside, since no process had the execution, and of the execution itself."""
    number = after[-1].number if after else BEGUN
    for step in steps:
        if not step["ended"] and step["completed_at"]:
            number += 1
            yield _ended(step, number)
    data = {
        "execution_id": execution["pk"],
        "workflow_id": execution["workflow_id"],
        "status": execution["status"],
        "error": execution["error"],
        "completed_at": _time(execution["completed_at"]),
    }
    yield RunEvent(number + 1, f"execution.{execution['status']}", data)


def _time(moment: datetime | None) -> str | None:
    return utc_text(moment) if moment else None


# --- Who watches ---


class Watchers:
    """How many are let in, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_company: Counter[int] = Counter()

    def enter(self, company_id: int) -> Callable[[], object]:
        """What to call when leaving, once or more. Raises TooManyWatchersError and NoRoomToWatchError."""
        with self._lock:
            if self._by_company[company_id] >= MOST_OF_A_COMPANY:
                raise TooManyWatchersError(
                    f"At most {MOST_OF_A_COMPANY} executions are watched at a time. Ask again when one has ended."
                )
            if self._by_company.total() >= MOST_WATCHERS:
                raise NoRoomToWatchError(
                    "All places for watchers are taken. Ask again in a moment."
                )
            self._by_company[company_id] += 1
        return lambda: self._leave(company_id)

    def _leave(self, company_id: int) -> None:
        with self._lock:
            self._by_company[company_id] -= 1


watchers = Watchers()


class EventStream(Iterator[str]):
    """The text of server-sent events: from `last` to the terminal event, or until the watcher has had its time and has to come again. Whoever drops it gives
    up its place."""

    def __init__(self, execution: Execution, *, last: int) -> None:
        self.close = weakref.finalize(self, watchers.enter(execution.company_id))
        self._pieces = _pieces(Watcher(execution, last=last))

    def __next__(self) -> str:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise


def _pieces(watcher: Watcher) -> Iterator[str]:
    until = time.monotonic() + settings.EVENT_STREAM_SECONDS
    quiet_since = time.monotonic()
    yield f"retry: {RETRY_MS}\n\n"
    while True:
        events = watcher.look()
        for event in events:
            yield event.as_text()
        now = time.monotonic()
        if watcher.is_over or now >= until or stopping:
            return
        if events:
            quiet_since = now
        elif now - quiet_since >= HEARTBEAT_SECONDS:
            quiet_since = now
            yield ": still there\n\n"
        time.sleep(LOOK_SECONDS)
