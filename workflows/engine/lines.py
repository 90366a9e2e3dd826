"""Which executions may run, of a workflow that lets only so many run at once.

A *line* is a workflow's executions with one concurrency key. One that joins it is pending without a time, so that no claim finds it, until it is given a
place; whatever is under way has one. Places are counted from these rows and not kept anywhere, so none can leak when a process dies. The row of the
workflow is locked meanwhile: two that look at a line at once look one after the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from craft.leases import Status
from workflows.engine.expressions import compile_value
from workflows.models import Execution, Workflow

QUEUE, SKIP, CANCEL_OLDEST = "queue", "skip", "cancel_oldest"
RULES = (QUEUE, SKIP, CANCEL_OLDEST)
UNDER_WAY = (Status.PENDING, Status.RUNNING, Status.WAITING)
HEAD_START = timedelta(minutes=1)
"""What a step of priority is worth in the queue. So whoever waits grows older than what is more urgent and comes later: nobody starves."""
MAX_KEY = 200

Line = tuple[str, str]
"""A workflow's id and a key."""


def concurrency_of(workflow: Workflow) -> dict[str, Any]:
    found: dict[str, Any] = workflow.settings.get("concurrency") or {}
    return found


def head_start(settings: dict[str, Any]) -> timedelta:
    priority: int = settings.get("priority", 0)
    return HEAD_START * priority


def key_for(workflow: Workflow, input: Any, trigger: dict[str, Any]) -> str | None:
    """None where any number may run. Raises ExpressionError."""
    concurrency = concurrency_of(workflow)
    if not concurrency:
        return None
    names = {"input": input, "trigger": {"input": input, **trigger}}
    value = compile_value(concurrency.get("key", "")).resolve(names)
    key = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    key = key.replace("\0", "\ufffd")
    if len(key) <= MAX_KEY:
        return key
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def settings_of(line: Line) -> dict[str, Any]:
    found = Workflow.unscoped.filter(pk=line[0]).values_list("settings", flat=True)
    settings: dict[str, Any] = found.first() or {}
    return settings.get("concurrency") or {}


def limit_of(line: Line) -> int | None:
    return settings_of(line).get("limit")


def rule_of(line: Line) -> str:
    return str(settings_of(line).get("rule", QUEUE))


def lines_of(executions: Iterable[Execution]) -> set[Line]:
    return {
        (execution.workflow_id, execution.concurrency_key)
        for execution in executions
        if execution.concurrency_key is not None
    }


def members(line: Line) -> QuerySet[Execution]:
    """Those that are under way, or wait for it."""
    workflow_id, key = line
    rows: QuerySet[Execution] = Execution.unscoped.filter(
        workflow=workflow_id, concurrency_key=key, status__in=UNDER_WAY
    )
    return rows


def waiting(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    """Those that have no place yet."""
    return rows.filter(status=Status.PENDING, next_attempt_at=None)


def give_places(lines: Iterable[Line]) -> None:
    """To the first in each line, as many as there are. In the transaction that added to it, or ended one that had a place."""
    for line in sorted(lines):
        workflow_id, _ = line
        settings = (
            Workflow.unscoped.select_for_update()
            .values_list("settings", flat=True)
            .get(pk=workflow_id)
        )
        next_ones = waiting(members(line)).order_by("pk")
        # One that is locked is just being cancelled.
        next_ones = next_ones.select_for_update(skip_locked=True)
        limit = (settings.get("concurrency") or {}).get("limit")
        if limit is not None:
            taken = members(line).exclude(status=Status.PENDING, next_attempt_at=None)
            room = limit - taken.count()
            next_ones = next_ones[: max(0, room)]
        ids = list(next_ones.values_list("pk", flat=True))
        if ids:
            Execution.unscoped.filter(pk__in=ids).update(
                next_attempt_at=Now() - head_start(settings)
            )


def lines_with_waiting() -> list[Line]:
    rows = waiting(
        Execution.unscoped.filter(status__in=UNDER_WAY, concurrency_key__isnull=False)
    )
    found = rows.order_by().values_list("workflow_id", "concurrency_key").distinct()
    return [(workflow_id, key) for workflow_id, key in found if key is not None]


def give_free_places() -> None:
    """What a process that died in between has left undone, and what a changed limit allows."""
    for line in lines_with_waiting():
        with transaction.atomic():
            give_places([line])


def without_place(executions: Sequence[Execution]) -> list[Execution]:
    ids = [execution.pk for execution in executions]
    left = set(
        waiting(Execution.unscoped.filter(pk__in=ids)).values_list("pk", flat=True)
    )
    return [execution for execution in executions if execution.pk in left]
