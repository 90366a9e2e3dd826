"""Cron. A firing is an execution whose idempotency key is its due time: two schedulers, or a restart, can't double it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from django.db import transaction
from django.utils import timezone

from craft.exceptions import InvalidError
from workflows.models import Schedule, Workflow
from workflows.services import executions

DAILY = "0 0 * * *"
BATCH = 100


def trigger_type(workflow: Workflow) -> str:
    trigger = workflow.trigger
    return str(
        trigger.get("type", "api") if isinstance(trigger, dict) else trigger or "api"
    )


def check_trigger(trigger: Any) -> None:
    """Raise InvalidError unless the trigger's schedule can be read."""
    if isinstance(trigger, dict) and trigger.get("type") == "cron":
        next_time(
            str(trigger.get("schedule", DAILY)),
            str(trigger.get("timezone", "UTC")),
            timezone.now(),
        )


def next_time(cron: str, zone: str, after: datetime) -> datetime:
    try:
        local = after.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise InvalidError(
            f"There is no time zone {zone!r}.",
            details={"trigger.timezone": "Must be a name such as Europe/Berlin."},
        ) from None
    try:
        return next(CronSim(cron, local)).astimezone(UTC)
    except (CronSimError, StopIteration):
        sentence = (
            "Must be five cron fields, such as */5 * * * *, that come true some day."
        )
        raise InvalidError(
            f"{cron!r} is not a schedule.", details={"trigger.schedule": sentence}
        ) from None


def sync_schedule(workflow: Workflow) -> None:
    """Keep a schedule exactly while the workflow is live and its trigger is cron."""
    if trigger_type(workflow) != "cron" or not workflow.is_live:
        Schedule.objects.filter(workflow=workflow).delete()
        return
    said = workflow.trigger if isinstance(workflow.trigger, dict) else {}
    cron, zone = str(said.get("schedule", DAILY)), str(said.get("timezone", "UTC"))
    current = Schedule.objects.filter(workflow=workflow, cron=cron, timezone=zone)
    if not current.exists():
        due = next_time(cron, zone, timezone.now())
        Schedule.objects.update_or_create(
            workflow=workflow, defaults={"cron": cron, "timezone": zone, "next_at": due}
        )


def fire_due_schedules() -> int:
    """Start an execution for every schedule whose time has come. After a standstill each fires once, for the latest time that it missed."""
    fired = 0
    now = timezone.now()
    if not Schedule.objects.filter(next_at__lte=now).exists():
        return 0
    with transaction.atomic():
        due = Schedule.objects.select_for_update(skip_locked=True, of=("self",)).filter(
            next_at__lte=now
        )
        of_workflow = ("company", "version", "published_version")
        for schedule in due.select_related(
            *(f"workflow__{name}" for name in of_workflow)
        )[:BATCH]:
            fire(schedule, now)
            fired += 1
    return fired


def fire(schedule: Schedule, now: datetime) -> None:
    missed_more = next_time(schedule.cron, schedule.timezone, schedule.next_at) <= now
    due = latest_before(schedule, now) if missed_more else schedule.next_at
    executions.start_execution(
        workflow=schedule.workflow,
        company=schedule.workflow.company,
        user=None,
        input={"scheduled_at": due.isoformat().replace("+00:00", "Z")},
        trigger={"type": "cron"},
        idempotency_key=f"schedule:{schedule.workflow_id}:{due.isoformat()}",
    )
    schedule.next_at = next_time(schedule.cron, schedule.timezone, now)
    schedule.save(update_fields=["next_at", "updated_at"])


def latest_before(schedule: Schedule, now: datetime) -> datetime:
    """The last due time that has passed."""
    try:
        backwards = CronSim(
            schedule.cron, now.astimezone(ZoneInfo(schedule.timezone)), reverse=True
        )
        return next(backwards).astimezone(UTC)
    except StopIteration:
        return schedule.next_at
