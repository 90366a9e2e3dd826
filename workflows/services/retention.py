"""Executions that are old enough go, with all that belongs to them; how many went is kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from craft.fields import lowest_id
from craft.leases import TERMINAL
from workflows.models import Execution, Workflow

CHUNK = 200
SECONDS = 50.0
"""So long one round deletes; the next one goes on."""


def forget_old_executions() -> int:
    """How many went. Only those that are over, and ended so long ago; a chunk at a time, so that nobody waits for its locks."""
    until = time.monotonic() + SECONDS
    gone = 0
    for workflow_id, days in kept_for_days():
        while time.monotonic() < until:
            found = _forget_some(workflow_id, timedelta(days=days))
            gone += found
            if found < CHUNK:
                break
    return gone


def kept_for_days() -> Iterator[tuple[str, int]]:
    """Each workflow that says so itself, or all the others where the installation says so."""
    default = settings.EXECUTION_RETENTION_DAYS
    workflows = Workflow.unscoped.filter(usage_count__gt=F("removed_count"))
    if not default:
        workflows = workflows.filter(settings__retention__isnull=False)
    rows = workflows.order_by("pk").values_list("pk", "settings")
    for workflow_id, said in list(rows):
        days = (said.get("retention") or {}).get("days", default)
        if days:
            yield workflow_id, days


@transaction.atomic
def _forget_some(workflow_id: str, age: timedelta) -> int:
    moment = timezone.now() - age
    # Ids begin with the time, so the index ends where what is too young begins.
    old = Execution.unscoped.filter(
        workflow=workflow_id,
        pk__lt=lowest_id("exec", moment),
        status__in=TERMINAL,
        completed_at__lt=moment,
    )
    chosen = old.order_by("pk").select_for_update(skip_locked=True)
    ids = list(chosen.values_list("pk", flat=True)[:CHUNK])
    if ids:
        Execution.unscoped.filter(pk__in=ids).delete()
        Workflow.unscoped.filter(pk=workflow_id).update(
            removed_count=F("removed_count") + len(ids)
        )
    return len(ids)
