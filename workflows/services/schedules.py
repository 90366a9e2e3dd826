"""Schedules. A firing is an execution whose idempotency key is its due time: two schedulers, a restart, or a clock that jumps can't double it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.db import DatabaseError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.models import User
from craft.encoding import utc_text
from craft.events import Event, publish
from craft.exceptions import ConflictError, InvalidError, NotFoundError
from craft.leases import TERMINAL
from workflows import events
from workflows.models import Execution, Firing, Schedule, Workflow
from workflows.models.schedules import Misfire, Overlap
from workflows.services import executions
from workflows.services.timing import EPOCH, SECOND, Timing
from workflows.services.triggers import schedule_settings, trigger_type

logger = logging.getLogger("craft.schedules")

ON_TIME = timedelta(seconds=60)
"""A firing that is later than this was missed."""
CLOCK_STEP = timedelta(seconds=2)
"""Clocks of two machines differ by less."""
CHUNK = 500
"""Due times of one schedule that one transaction deals with."""
PASS_SECONDS = 0.5
"""The next pass comes a second after this one began."""
MOST_WAITING = 1_000
"""Due times of one schedule that wait for their turn."""
MOST_BACKFILLED = 1_000
NO_TIMES = "This workflow has no schedule: its trigger says no times."
LOOK_AGAIN = timedelta(seconds=5)
AFTER_A_FAULT = timedelta(seconds=60)
TIMING_FIELDS = (
    "cron",
    "every_seconds",
    "timezone",
    "start_at",
    "end_at",
    "jitter_seconds",
)


def timing_of(schedule: Schedule) -> Timing:
    return Timing(**{name: getattr(schedule, name) for name in TIMING_FIELDS})


def sync_schedule(workflow: Workflow) -> None:
    """Keep a schedule exactly while the workflow is live and its trigger says when. Other due times count from now; other options leave them as they are."""
    settings = schedule_settings(workflow.trigger)
    if settings is None or not workflow.is_live:
        Schedule.objects.filter(workflow=workflow).delete()
        return
    schedule = Schedule.objects.filter(workflow=workflow).first()
    schedule = schedule or Schedule(workflow=workflow)
    changes = schedule.assign(vars(settings.timing))
    schedule.misfire = settings.misfire
    schedule.catch_up_seconds = settings.catch_up_seconds
    schedule.overlap = settings.overlap
    if changes or schedule.since is None:
        begin(schedule, timezone.now())
    schedule.save()


def begin(schedule: Schedule, now: datetime) -> None:
    """From now on, as if nothing had been before."""
    schedule.since = schedule.handled_at = now
    move_on(schedule, timing_of(schedule).next_after(now))


def move_on(schedule: Schedule, due: datetime | None) -> None:
    schedule.next_at = due
    schedule.fires_at = (
        timing_of(schedule).moment_of(due, schedule.workflow_id) if due else None
    )


# --- Firing ---


def fire_due_schedules() -> int:
    """Start what is due; the number of executions begun. One pass is short however much there is to catch up on: the next goes on with it."""
    fired, began, faulty = 0, time.monotonic(), set[int]()
    while (count := _fire_next(faulty)) is not None:
        fired += count
        if time.monotonic() - began > PASS_SECONDS:
            break
    return fired


def ready(now: datetime) -> list[QuerySet[Schedule]]:
    """Those with a due time, those whose queue may go on, and those under whom the clock was set back: each found by an index of its own."""
    active = Schedule.objects.filter(paused_at=None)
    over = Q(last_execution=None) | Q(last_execution__status__in=TERMINAL)
    waiting = active.filter(pk__in=Firing.objects.values("schedule_id"))
    return [
        active.filter(fires_at__lte=now).order_by("fires_at"),
        waiting.filter(over).order_by("pk"),
        active.filter(handled_at__gt=now + CLOCK_STEP).order_by("pk"),
    ]


def _fire_next(faulty: set[int]) -> int | None:
    """Deal with the one that has waited longest. None when there is none, or another scheduler has all that are left."""
    now = timezone.now()
    for found in ready(now):
        candidates = found.exclude(pk__in=faulty)
        if not candidates.exists():
            continue  # before a transaction is begun: an idle scheduler takes no write lock on SQLite
        schedule = None
        try:
            with transaction.atomic():
                # The workflow too, whose executions are counted: who changes it takes it before its schedule.
                schedule = (
                    candidates.select_for_update(
                        skip_locked=True, no_key=True, of=("self", "workflow")
                    )
                    .select_related(
                        "workflow__company",
                        "workflow__version",
                        "workflow__published_version",
                    )
                    .first()
                )
                if schedule is not None:
                    return handle(schedule, now)
        except DatabaseError:
            raise
        except Exception:
            # One schedule's fault holds no other up.
            logger.exception("schedule failed", extra={"schedule": str(schedule)})
            if schedule is not None:
                faulty.add(schedule.pk)
                later = now + AFTER_A_FAULT
                Schedule.objects.filter(pk=schedule.pk).update(fires_at=later)
            return 0
    return None


def handle(schedule: Schedule, now: datetime) -> int:
    """Within a transaction that holds the row."""
    if schedule.handled_at and schedule.handled_at > now + CLOCK_STEP:
        step_back(schedule, now)
    fired = release(schedule)
    if schedule.next_at and schedule.fires_at and schedule.fires_at <= now:
        fired += fire(schedule, schedule.next_at, now)
    schedule.handled_at = now
    schedule.save()
    return fired


def step_back(schedule: Schedule, now: datetime) -> None:
    """The clock was ahead, and due times may have been passed over that are still to come: go on after the last that did fire."""
    began = schedule.since if schedule.since and schedule.since <= now else now
    fired = (
        Execution.objects.for_company(schedule.workflow.company)
        .filter(
            idempotency_key__gte=key_of(schedule, EPOCH),
            idempotency_key__lte=key_of(schedule, now),
        )
        .order_by("-idempotency_key")
        .values_list("idempotency_key", flat=True)
        .first()
    )
    last = datetime.fromisoformat(fired.rpartition("@")[2]) if fired else began
    move_on(schedule, timing_of(schedule).next_after(max(last, began)))


def fire(schedule: Schedule, due: datetime, now: datetime) -> int:
    times, following = plan(schedule, due, now)
    move_on(schedule, following)
    if following and schedule.fires_at and following <= now:
        schedule.fires_at = max(
            schedule.fires_at, now
        )  # behind the others that are due
    return begin_each(schedule, times, now)


def plan(
    schedule: Schedule, due: datetime, now: datetime
) -> tuple[list[datetime], datetime | None]:
    """Of the due times that have come, those to fire, at most a chunk; and the first that is left."""
    timing = timing_of(schedule)
    latest = timing.latest(due - SECOND, now) or due
    if latest > due and timing.moment_of(latest, schedule.workflow_id) > now:
        latest = timing.latest(due - SECOND, latest - SECOND) or due
    oldest = now - timedelta(seconds=schedule.catch_up_seconds)
    is_on_time = timing.moment_of(latest, schedule.workflow_id) >= now - ON_TIME
    if schedule.misfire == Misfire.ALL:
        begin = max(due, min(oldest, latest) if is_on_time else oldest)
        times = timing.between(begin - SECOND, latest, CHUNK + 1)
        if len(times) > CHUNK:
            return times[:CHUNK], times[CHUNK]
    elif is_on_time or (schedule.misfire == Misfire.LAST and latest >= oldest):
        times = [latest]
    else:
        times = []
    return times, timing.next_after(latest)


def begin_each(schedule: Schedule, times: list[datetime], now: datetime) -> int:
    """As the rule for overlaps has it."""
    if schedule.overlap == Overlap.ALLOW:
        return start(schedule, times)
    times = unfired(schedule, times)  # an execution gives way to another, not to itself
    if not times:
        return 0
    match schedule.overlap:
        case Overlap.QUEUE:
            enqueue(schedule, times, now)
            return release(schedule)
        case Overlap.SKIP if is_busy(schedule):
            schedule.skipped_count += len(times)
            return 0
        case Overlap.SKIP:
            schedule.skipped_count += len(times) - 1
            return start(schedule, times[:1])
        case _:
            cancel_running(schedule)
            schedule.skipped_count += len(times) - 1
            return start(schedule, times[-1:])


def key_of(schedule: Schedule, due: datetime) -> str:
    """Keys of one schedule sort by time."""
    return f"schedule:{schedule.workflow_id}@{due.astimezone(UTC).isoformat(timespec='seconds')}"


def start(
    schedule: Schedule, times: Sequence[datetime], *, is_backfill: bool = False
) -> int:
    """Begin an execution for each due time that has none."""
    workflow = schedule.workflow
    new = [
        executions.build_execution(
            workflow=workflow,
            company=workflow.company,
            user=None,
            input={"scheduled_at": utc_text(due)},
            trigger={
                "type": trigger_type(workflow),
                "scheduled_at": utc_text(due),
                **({"backfill": True} if is_backfill else {}),
            },
            idempotency_key=key_of(schedule, due),
        )
        for due in unfired(schedule, times)
    ]
    if new:
        executions.insert(new)
        executions.doorbell.ring_on_commit()
        schedule.last_execution = new[-1]
    return len(new)


def unfired(schedule: Schedule, times: Sequence[datetime]) -> list[datetime]:
    """Those that no execution began for."""
    keys = {key_of(schedule, due): due for due in times}
    own = Execution.objects.for_company(schedule.workflow.company)
    fired = own.filter(idempotency_key__in=list(keys))
    known = set(fired.values_list("idempotency_key", flat=True)) if keys else set()
    return [due for key, due in keys.items() if key not in known]


def is_busy(schedule: Schedule) -> bool:
    last = schedule.last_execution_id
    return (
        last is not None
        and Execution.unscoped.filter(pk=last).exclude(status__in=TERMINAL).exists()
    )


def cancel_running(schedule: Schedule) -> None:
    if is_busy(schedule):
        running = Execution.unscoped.get(pk=schedule.last_execution_id)
        with contextlib.suppress(ConflictError):  # over meanwhile
            executions.request_cancel(running)


# --- The queue ---


def enqueue(schedule: Schedule, times: list[datetime], now: datetime) -> None:
    """What the queue has no room for stays due."""
    room = max(0, MOST_WAITING - schedule.firings.count())
    rows = [Firing(schedule=schedule, due_at=due) for due in times[:room]]
    Firing.objects.bulk_create(rows, ignore_conflicts=True)
    if len(times) > room:
        move_on(schedule, times[room])
        schedule.fires_at = now + LOOK_AGAIN


def release(schedule: Schedule) -> int:
    """Begin the first that waits, unless the one before still runs."""
    while not is_busy(schedule):
        firing = schedule.firings.order_by("due_at").first()
        if firing is None:
            return 0
        firing.delete()
        if start(schedule, [firing.due_at], is_backfill=firing.is_backfill):
            return 1
    return 0


# --- What people do ---


def schedule_of(workflow: Workflow) -> Schedule:
    """Raises NotFoundError where the trigger says no times, and ConflictError for a draft."""
    if schedule_settings(workflow.trigger) is None:
        raise NotFoundError(NO_TIMES)
    # In the order in which whoever changes the workflow takes them.
    Workflow.unscoped.select_for_update(no_key=True).get(pk=workflow.pk)
    schedule = (
        Schedule.objects.select_for_update(of=("self",))
        .select_related(
            "workflow__company", "workflow__version", "workflow__published_version"
        )
        .filter(workflow=workflow)
        .first()
    )
    if schedule is None:
        raise ConflictError("This workflow is a draft: its schedule rests. Publish it.")
    return schedule


@transaction.atomic
def pause_schedule(workflow: Workflow, *, user: User | None) -> None:
    """Nothing fires, and what would have is not made up for. Once paused, it stays as it was paused first."""
    schedule = schedule_of(workflow)
    if schedule.paused_at is None:
        schedule.paused_at, schedule.paused_by = timezone.now(), user
        schedule.save()
        _tell(events.WORKFLOW_SCHEDULE_PAUSED, workflow, paused=[False, True])


@transaction.atomic
def resume_schedule(workflow: Workflow) -> None:
    """From the next due time on."""
    schedule = schedule_of(workflow)
    if schedule.paused_at is not None:
        schedule.paused_at = schedule.paused_by = None
        begin(schedule, timezone.now())
        schedule.save()
        _tell(events.WORKFLOW_SCHEDULE_RESUMED, workflow, paused=[True, False])


@transaction.atomic
def backfill(
    workflow: Workflow, *, begin_at: datetime, end_at: datetime, overlap: str
) -> dict[str, int]:
    """Fire the due times of a range that has passed, both ends included, but for those that fired before."""
    now = timezone.now()
    if end_at < begin_at or end_at > now:
        sentence = (
            "Must not be before from."
            if end_at < begin_at
            else "Must not be in the future."
        )
        raise InvalidError(f"to: {sentence}", details={"to": sentence})
    schedule = schedule_of(workflow)
    times = timing_of(schedule).between(
        begin_at.replace(microsecond=0) - SECOND, end_at, MOST_BACKFILLED + 1
    )
    times = [due for due in times if due >= begin_at]
    if len(times) > MOST_BACKFILLED:
        raise InvalidError(
            f"There are more than {MOST_BACKFILLED:,} due times in this range. Take it in parts.",
            details={"to": f"The part up to {utc_text(times[-2])} is short enough."},
        )
    if overlap == Overlap.ALLOW:
        started = start(schedule, times, is_backfill=True)
        queued = 0
    else:
        queued = _enqueue_backfill(schedule, times)
        started = release(schedule)
        queued -= started
    schedule.save()
    data = {"from": utc_text(begin_at), "to": utc_text(end_at), "overlap": overlap}
    _tell(events.WORKFLOW_SCHEDULE_BACKFILLED, workflow, backfill=[None, data])
    return {"due": len(times), "started": started, "queued": queued}


def _enqueue_backfill(schedule: Schedule, times: list[datetime]) -> int:
    waiting = set(schedule.firings.values_list("due_at", flat=True))
    if len(waiting) + len(times) > MOST_WAITING:
        raise ConflictError(
            f"{len(waiting)} firings wait already, of at most {MOST_WAITING:,}. Wait until some have run, or take a smaller range."
        )
    rows = [
        Firing(schedule=schedule, due_at=due, is_backfill=True)
        for due in unfired(schedule, times)
        if due not in waiting
    ]
    Firing.objects.bulk_create(rows)
    return len(rows)


def _tell(kind: str, workflow: Workflow, **changes: Any) -> None:
    data = {"workflow_id": workflow.pk, "changes": changes}
    publish(Event(kind, workflow.company_id, data))


# --- What is shown ---

NEXT_SHOWN = 5


def overview_of(workflow: Workflow) -> dict[str, Any]:
    """What the API and the console tell of a schedule, a draft's too. Raises NotFoundError where the trigger says no times."""
    settings = schedule_settings(workflow.trigger)
    if settings is None:
        raise NotFoundError(NO_TIMES)
    schedule = Schedule.objects.filter(workflow=workflow).first()
    now = timezone.now()
    zone = ZoneInfo(settings.timing.timezone)
    times = _next_times(settings.timing, schedule, now)
    return {
        "workflow_id": workflow.pk,
        "status": _status_of(schedule, times),
        **vars(settings.timing),
        "misfire": settings.misfire,
        "catch_up_seconds": settings.catch_up_seconds,
        "overlap": settings.overlap,
        "next_times": [
            {"at": due, "local": due.astimezone(zone).isoformat()} for due in times
        ],
        "paused_at": schedule.paused_at if schedule else None,
        "paused_by": schedule.paused_by_id if schedule else None,
        "waiting_count": schedule.firings.count() if schedule else 0,
        "skipped_count": schedule.skipped_count if schedule else 0,
        "last_execution_id": schedule.last_execution_id if schedule else None,
    }


def _next_times(
    timing: Timing, schedule: Schedule | None, now: datetime
) -> list[datetime]:
    begin = now
    if schedule is not None and schedule.next_at is not None:
        begin = max(schedule.next_at - SECOND, now)
    return list(islice(timing.after(begin), NEXT_SHOWN))


def _status_of(schedule: Schedule | None, times: list[datetime]) -> str:
    if schedule is None:
        return "draft"
    if schedule.paused_at is not None:
        return "paused"
    return "active" if times else "ended"
