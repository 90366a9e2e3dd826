"""Telling an execution something that it waits for, or will."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.models import User
from craft.events import Event, publish
from craft.exceptions import ConflictError
from workflows.engine import arrivals
from workflows.events import EXECUTION_SIGNALLED
from workflows.models import Execution, Signal
from workflows.services.executions import doorbell

MAX_UNCONSUMED = 1_000


@transaction.atomic
def send_signal(
    execution: Execution, *, name: str, data: Any, user: User | None
) -> Signal:
    """It is kept until a `wait` node of this name consumes it. Raises ConflictError when the execution is over."""
    execution = lock(execution)
    if execution.is_over:
        raise ConflictError(f"This execution is {execution.status} already.")
    if execution.signals.filter(consumed_at=None).count() >= MAX_UNCONSUMED:
        raise ConflictError(
            f"{MAX_UNCONSUMED:,} signals lie here that nothing has waited for."
        )
    signal = Signal(
        company_id=execution.company_id,
        execution=execution,
        name=name,
        data=data,
        sent_by=user,
    )
    signal.save(force_insert=True)
    arrivals.wake([execution.pk])
    told = {
        "execution_id": execution.pk,
        "workflow_id": execution.workflow_id,
        "signal_id": signal.pk,
        "name": name,
    }
    publish(Event(EXECUTION_SIGNALLED, execution.company_id, told))
    doorbell.ring_on_commit()
    return signal


def lock(execution: Execution) -> Execution:
    return Execution.unscoped.select_for_update().get(pk=execution.pk)
