"""What comes for an execution from outside while it waits: signals, the decisions of people, and the ends of executions that it has started.

Whatever comes is a row, and raises the execution's `wakes` in the same transaction: one that waits is due at once, and one that is at work, or on its way
to rest, finds when it comes to rest that something came which it has not read. What a step has opened is opened in the transaction that writes the step
down, and what it consumed is consumed in that which writes down that it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from craft.encoding import utc_text
from craft.events import Event, publish
from craft.leases import QUEUED, TERMINAL, Status
from workflows.engine import lines, payloads
from workflows.engine.counts import count_usage
from workflows.engine.executor import StepRecord
from workflows.engine.expressions import ExpressionError
from workflows.engine.sequels import after_error
from workflows.events import APPROVAL_REQUESTED
from workflows.models import Approval, ApprovalStatus, Decision, Execution, Signal
from workflows.nodes import base

ANSWERED = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)


@dataclass
class Come:
    """For one execution: the signals that nobody has consumed, and by slot what came for a step's opening."""

    signals: list[base.Signal] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)


def wake(ids: Iterable[str]) -> None:
    """Something has come for these. In the transaction that wrote it, with their rows locked."""
    ids = sorted(set(ids))
    Execution.unscoped.filter(pk__in=ids).update(wakes=F("wakes") + 1)
    asleep = Execution.unscoped.filter(pk__in=ids, status=Status.WAITING)
    asleep.update(next_attempt_at=Now())


# --- Reading ---


def collect(ids: Sequence[str], found: Mapping[str, Come]) -> None:
    signals = Signal.unscoped.filter(execution__in=ids, consumed_at=None)
    for each in signals.order_by("id"):
        signal = base.Signal(each.pk, each.name, each.data, each.created_at)
        found[each.execution_id].signals.append(signal)
    approvals = Approval.unscoped.filter(execution__in=ids, status__in=ANSWERED)
    for approval in approvals.prefetch_related("decisions__user"):
        found[approval.execution_id].answers[approval.slot] = _decided(approval)
    children = Execution.unscoped.filter(
        parent__in=ids, is_awaited=True, status__in=TERMINAL
    )
    ended = list(
        children.only("parent_id", "parent_slot", "status", "output", "apart", "error")
    )
    payloads.load(ended)
    for child in ended:
        found[str(child.parent_id)].answers[child.parent_slot] = {
            "execution_id": child.pk,
            "status": child.status,
            "output": child.output,
            "error": child.error,
        }


def _decided(approval: Approval) -> dict[str, Any]:
    decisions = list(approval.decisions.all())
    data: dict[str, Any] = {}
    for decision in decisions:
        data |= decision.data
    return {
        "approval_id": approval.pk,
        "status": approval.status,
        "data": data,
        "decisions": [_told(decision) for decision in decisions],
    }


def _told(decision: Decision) -> dict[str, Any]:
    return {
        "user_id": decision.user_id,
        "name": str(decision.user) if decision.user else None,
        "approved": decision.approves,
        "comment": decision.comment,
        "at": utc_text(decision.created_at),
    }


# --- Writing, in the transaction that writes the steps ---


def exchange(written: Iterable[tuple[Execution, Sequence[StepRecord]]]) -> None:
    """Open what the steps have opened, and take what they consumed."""
    approvals: list[Asked] = []
    children: list[Asked] = []
    taken, late = [], []
    for execution, steps in written:
        for step in steps:
            if step.took:
                taken.append(step.took)
            if step.opening is not None:
                openings = approvals if step.opening.kind == "approval" else children
                openings.append((execution, step, step.opening.details))
            elif step.type == "approval" and step.completed_at is not None:
                late.append((execution.pk, step.slot))
    if taken:
        Signal.unscoped.filter(pk__in=taken).update(consumed_at=timezone.now())
    for execution_id, slot in late:
        Approval.unscoped.filter(
            execution=execution_id, slot=slot, status=ApprovalStatus.PENDING
        ).update(status=ApprovalStatus.EXPIRED, decided_at=timezone.now())
    _ask_people(approvals)
    _start_children(children)


Asked = tuple[Execution, StepRecord, dict[str, Any]]


def _ask_people(asked: Sequence[Asked]) -> None:
    for execution, step, details in asked:
        approval, is_new = Approval.unscoped.get_or_create(
            execution=execution,
            slot=step.slot,
            defaults={
                "company_id": execution.company_id,
                "node_id": step.node_id,
                **details,
            },
        )
        if is_new:
            data = {
                "approval_id": approval.pk,
                "execution_id": execution.pk,
                "workflow_id": execution.workflow_id,
                "title": approval.title,
            }
            publish(
                Event(APPROVAL_REQUESTED, execution.company_id, data, is_change=False)
            )


def _start_children(asked: Sequence[Asked]) -> None:
    for parent, step, details in asked:
        child, is_new = Execution.unscoped.get_or_create(
            parent=parent,
            parent_slot=step.slot,
            defaults={
                "company_id": parent.company_id,
                "created_by_id": parent.created_by_id,
                "depth": parent.depth + 1,
                "trigger": {
                    "type": "subworkflow",
                    "execution_id": parent.pk,
                    "node_id": step.node_id,
                    **after_error(parent),
                },
                "next_attempt_at": timezone.now(),
                **details,
            },
        )
        if is_new:
            with payloads.set_apart([child]):
                if child.apart:
                    child.save(update_fields=["input", "output", "apart"])
            count_usage([child])
            _queue_up(child)


def _queue_up(child: Execution) -> None:
    """Whatever the rule of its line: a step waits for it."""
    try:
        key = lines.key_for(child.workflow, child.input, child.trigger)
    except ExpressionError:
        key = ""
    if key is not None:
        Execution.unscoped.filter(pk=child.pk).update(
            concurrency_key=key, next_attempt_at=None
        )
        lines.give_places([(child.workflow_id, key)])


def close(over: Sequence[Execution], awaited: Sequence[Execution]) -> None:
    """For executions that are over: nobody need decide for them any more, what they wait for is stopped, and who waits for them goes on."""
    if over:
        ids = [execution.pk for execution in over]
        Approval.unscoped.filter(
            execution__in=ids, status=ApprovalStatus.PENDING
        ).update(status=ApprovalStatus.CANCELLED, decided_at=timezone.now())
        left = Execution.unscoped.filter(parent__in=ids, is_awaited=True).exclude(
            status__in=TERMINAL
        )
        left.filter(cancel_requested_at=None).update(cancel_requested_at=Now())
        left.filter(status__in=QUEUED).update(next_attempt_at=Now())
    if awaited:
        wake(str(execution.parent_id) for execution in awaited)
