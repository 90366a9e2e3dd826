"""Starting executions, and what people do to them afterwards."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from django.db import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    transaction,
)
from django.db.models import F, Sum
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Company, User
from craft import rows
from craft.events import Event, publish
from craft.exceptions import ConflictError
from craft.leases import Doorbell, Status, due, recover
from workflows import tasks
from workflows.engine import journal, lines, quick, slices
from workflows.engine.executor import utcnow
from workflows.engine.expressions import ExpressionError
from workflows.engine.graph import Graph
from workflows.engine.journal import Write
from workflows.events import EXECUTION_CANCEL_REQUESTED
from workflows.models import Execution, GuestUse, Workflow, WorkflowVersion

logger = logging.getLogger("craft.engine")

T = TypeVar("T")
doorbell = Doorbell(tasks.run_due_executions.delay)

WORKER_LOST = {
    "code": "worker_lost",
    "message": "The process that ran this execution was lost three times without getting any further.",
    "node_id": None,
}


class NotPublishedError(ConflictError):
    """A trigger or schedule asked for a workflow that is still a draft."""

    code = "not_published"


def build_execution(
    *,
    workflow: Workflow,
    company: Company,
    user: User | None,
    input: Any,
    trigger: dict[str, Any],
    idempotency_key: str | None = None,
    pins: dict[str, Any] | None = None,
    is_dry: bool = False,
    version: WorkflowVersion | None = None,
    rerun_of: Execution | None = None,
    labels: dict[str, str] | None = None,
) -> Execution:
    """Of what is live, unless a version is given."""
    version = version or workflow.live_version
    is_draft = not workflow.is_live or version != workflow.live_version
    now = utcnow()
    error = None
    try:
        key = lines.key_for(workflow, input, trigger)
    except ExpressionError as fault:
        key = ""
        message = f"The key of its concurrency can't be told: {fault}"
        error = {"code": fault.code, "message": message, "node_id": None}
    start = None if key is not None else now - lines.head_start(workflow.settings)
    return rows.new(
        Execution,
        company=company,
        workflow=workflow,
        version=version,
        rerun_of=rerun_of,
        created_by=user,
        trigger={**trigger, "draft": True} if is_draft else trigger,
        input=input,
        idempotency_key=idempotency_key,
        next_attempt_at=start,
        concurrency_key=key,
        error=error,
        labels=labels or {},
        pins=pins or None,
        is_dry=is_dry,
    )


def start_execution(**fields: Any) -> Execution:
    """Start an execution. It is committed when this returns (or with the caller's own transaction) and will reach an end whatever happens: a quick one has
    reached it, any other is queued.

    The same `idempotency_key` again gives the execution that it made the first time.
    """
    execution = build_execution(**fields)
    return _once(execution, _run_here if quick.is_quick(execution) else _enqueue)


def _queue(execution: Execution) -> Execution:
    return _once(execution, _enqueue)


def _once(execution: Execution, start: Callable[[Execution], object]) -> Execution:
    """What started it, or the one that the same key made."""
    if execution.idempotency_key is None:
        start(execution)
        return execution
    try:
        with transaction.atomic():
            start(execution)
    except IntegrityError:
        return Execution.objects.for_company(execution.company_id).get(
            idempotency_key=execution.idempotency_key
        )
    return execution


def _enqueue(execution: Execution) -> None:
    insert([execution])
    doorbell.ring_on_commit()


def _run_here(execution: Execution) -> None:
    journal.commit([_run_instantly(execution, journal.graph_of(execution.version))])
    if _has_sequel(execution):
        doorbell.ring_on_commit()


def start_together(executions: Sequence[Execution]) -> list[Execution]:
    """Queue executions that have no `idempotency_key`, in one commit; what was kept. One that can't be kept, since its workflow has just gone, takes no other
    with it."""
    kept = _keep_together(executions, insert)
    doorbell.ring_on_commit()
    return kept


def run_together(executions: Sequence[Execution]) -> list[Write]:
    """Run executions of instant graphs to their ends, and keep all in one commit. What was kept, as with `start_together`."""
    writes = [
        _run_instantly(execution, journal.graph_of(execution.version))
        for execution in executions
    ]
    kept = _keep_together(writes, journal.commit)
    if any(map(_has_sequel, (write.execution for write in kept))):
        doorbell.ring()
    return kept


def _keep_together(
    items: Sequence[T], keep: Callable[[Sequence[T]], object]
) -> list[T]:
    try:
        keep(items)
    except (OperationalError, InterfaceError):  # the database's fault
        raise
    except Exception:
        if len(items) == 1:
            logger.warning("an execution could not be kept", exc_info=True)
            return []
        return [kept for item in items for kept in _keep_together([item], keep)]
    return list(items)


def _run_instantly(execution: Execution, graph: Graph) -> Write:
    execution.begin_here(utcnow())
    began = time.thread_time()
    write = slices.run_instantly(execution, graph, [], is_new=True)
    quick.note(execution.version_id, time.thread_time() - began)
    return write


def _has_sequel(execution: Execution) -> bool:
    return execution.status == Status.FAILED and bool(
        execution.workflow.error_workflow_id
    )


def trigger_workflow(
    *, workflow: Workflow, wait_seconds: float = 0, **fields: Any
) -> Execution:
    """Start it, and wait for its end as long as is said. Raises NotPublishedError for a draft."""
    if not workflow.is_live:
        raise NotPublishedError(
            "This workflow is a draft. Publish it, or run it by execute."
        )
    if wait_seconds:
        return run_execution(timeout_seconds=wait_seconds, workflow=workflow, **fields)
    return start_execution(workflow=workflow, **fields)


def insert(executions: Sequence[Execution]) -> None:
    if not any(map(_concerns_others, executions)):
        with rows.gathered(alone=True):
            journal.insert(executions)
        return
    with transaction.atomic():
        journal.insert(executions)
        pushing = [
            execution
            for execution in executions
            if lines.concurrency_of(execution.workflow).get("rule")
            == lines.CANCEL_OLDEST
        ]
        for line in lines.lines_of(pushing):
            transaction.on_commit(partial(make_room, line))


def _concerns_others(execution: Execution) -> bool:
    """Whether it takes more than to write it down and to count it."""
    is_guests = execution.company_id != execution.workflow.company_id
    return is_guests or bool(execution.labels) or execution.concurrency_key is not None


def make_room(line: lines.Line) -> None:
    """Ask the oldest in the line to end, until the newest have their places. Who was asked gives up its place within a second."""
    limit = lines.limit_of(line)
    if limit is None:
        return
    oldest = lines.members(line).filter(cancel_requested_at=None).order_by("-pk")
    for execution in oldest.select_related("workflow")[limit:]:
        with suppress(ConflictError):
            request_cancel(execution)
    doorbell.ring()


def run_execution(*, timeout_seconds: float, **fields: Any) -> Execution:
    """Run inline until the end or the deadline. At the deadline the execution goes back to the queue, and a worker goes on with it.

    The same `idempotency_key` again waits as long for the execution that it made the first time.
    """
    execution = build_execution(**fields)
    if execution.idempotency_key is not None and (found := started_before(execution)):
        return wait_for_end(found, timeout_seconds)
    if execution.concurrency_key is not None:
        return wait_for_end(_queue(execution), timeout_seconds)
    try:
        return _run_inline(execution, timeout_seconds)
    except IntegrityError:
        if execution.idempotency_key is None:
            raise
        found = started_before(execution)
        if found is None:
            raise
        return wait_for_end(found, timeout_seconds)


def started_before(execution: Execution) -> Execution | None:
    """The one that the same key made."""
    own = Execution.objects.for_company(execution.company_id)
    return own.filter(idempotency_key=execution.idempotency_key).first()


def wait_for_end(execution: Execution, seconds: float) -> Execution:
    until = time.monotonic() + seconds
    while not execution.is_over and time.monotonic() < until:
        time.sleep(0.05)
        execution.refresh_from_db()
    return execution


def _run_inline(execution: Execution, timeout_seconds: float) -> Execution:
    graph = journal.graph_of(execution.version)
    if graph.is_instant:
        _run_here(execution)
        return execution
    execution.begin_here(timezone.now())
    insert([execution])
    until = time.monotonic() + timeout_seconds
    slices.run_until(execution, graph, seconds=timeout_seconds, then=doorbell.ring)
    execution.refresh_from_db()
    if graph.may_open and not execution.is_over:
        doorbell.ring()  # what it has started may run
    if _will_go_on(execution, graph, until):
        return wait_for_end(execution, until - time.monotonic())
    return execution


def _will_go_on(execution: Execution, graph: Graph, until: float) -> bool:
    """Whether it rests only until some time that the caller is still there for, or for others of our executions."""
    if execution.is_over:
        return False
    if execution.next_attempt_at is not None:
        left = (execution.next_attempt_at - timezone.now()).total_seconds()
        return left < until - time.monotonic()
    return execution.children.filter(is_awaited=True).exists()


def cancel_execution(execution: Execution) -> Execution:
    """End it as cancelled: at once where no process runs it, otherwise within a second. Raises ConflictError when it is over."""
    request_cancel(execution)
    wait_for_ends([execution])
    return execution


def request_cancel(execution: Execution) -> None:
    """End it where no process runs it; otherwise tell the process, and don't wait. Raises ConflictError when it is over."""
    if execution.is_over:
        raise ConflictError(f"This execution is {execution.status} already.")
    with transaction.atomic():
        unasked = Execution.unscoped.filter(pk=execution.pk, cancel_requested_at=None)
        if unasked.update(cancel_requested_at=Now()):
            data = {
                "execution_id": execution.pk,
                "workflow_id": execution.workflow_id,
                "status": execution.status,
            }
            kind = EXECUTION_CANCEL_REQUESTED
            publish(Event(kind, execution.company_id, data))
    execution.refresh_from_db()
    if not journal.end_unclaimed(execution, status=Status.CANCELLED):
        slices.held_here.cancel(execution.pk)
    elif execution.concurrency_key is not None:
        doorbell.ring_on_commit()  # the next in its line has a place


def wait_for_ends(executions: Sequence[Execution], *, seconds: float = 1.0) -> None:
    """Processes have the executions: give them the second in which they see the flag."""
    until = time.monotonic() + seconds
    left = list(executions)
    while left and time.monotonic() < until:
        left = [execution for execution in left if not _has_ended(execution)]
        if left:
            time.sleep(0.05)


def _has_ended(execution: Execution) -> bool:
    if not execution.is_over:
        execution.refresh_from_db()
    return execution.is_over or (
        execution.status in {Status.PENDING, Status.WAITING}
        and journal.end_unclaimed(execution, status=Status.CANCELLED)
    )


def count_executions(company: Company) -> int:
    """How many a company has, by the counts that are kept: of its own workflows, without those that others run of them, and with those that it runs of others'."""
    own = Workflow.objects.for_company(company).aggregate(
        sum=Sum(F("usage_count") - F("removed_count"))
    )
    lent = GuestUse.unscoped.filter(workflow__company=company).aggregate(
        sum=Sum("count")
    )
    borrowed = GuestUse.objects.for_company(company).aggregate(sum=Sum("count"))
    return int(
        (own["sum"] or 0) - (lent["sum"] or 0) + (borrowed["sum"] or 0),
    )


def run_due() -> int:
    return slices.run_due()


def sweep() -> None:
    """Put lost executions back in the queue, fail those that were lost too often, and ring when something is due."""
    for execution in recover(Execution):
        journal.end_unclaimed(execution, status=Status.FAILED, error=WORKER_LOST)
    lines.give_free_places()
    for line in lines.lines_with_waiting():
        if lines.rule_of(line) == lines.CANCEL_OLDEST:
            make_room(line)
    if due(Execution).exists():
        doorbell.ring()
