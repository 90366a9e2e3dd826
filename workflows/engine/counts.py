"""How often workflows were run, and for how long: kept with them, so that nobody has to count executions."""

from collections import Counter
from collections.abc import Sequence

from django.db.models import F

from craft import rows
from workflows.models import Execution, GuestUse, Workflow


def count_usage(executions: Sequence[Execution]) -> None:
    for workflow_id, own in _by_workflow(executions):
        rows.add(Workflow, workflow_id, usage_count=len(own))
    _count_guests(executions)


def _count_guests(executions: Sequence[Execution]) -> None:
    """Those that a company runs of another's public workflow. Its own count of executions can't know them."""
    guests = Counter(
        (execution.workflow_id, execution.company_id)
        for execution in executions
        if execution.parent_id is None  # others' workflows are run by people only
        and execution.workflow.company_id != execution.company_id
    )
    for (workflow_id, company_id), number in sorted(guests.items()):
        use, _ = GuestUse.unscoped.get_or_create(
            workflow_id=workflow_id, company_id=company_id
        )
        counted = GuestUse.unscoped.filter(pk=use.pk)
        counted.update(count=F("count") + number)


def count_endings(executions: Sequence[Execution]) -> None:
    for workflow_id, own in _by_workflow(executions):
        rows.add(Workflow, workflow_id, **_of_endings(own))


def count_whole(executions: Sequence[Execution]) -> None:
    """Of a company's own, which are stored with their ends."""
    for workflow_id, own in _by_workflow(executions):
        rows.add(Workflow, workflow_id, usage_count=len(own), **_of_endings(own))


def _of_endings(executions: Sequence[Execution]) -> dict[str, float]:
    spent = sum(execution.duration_ms or 0.0 for execution in executions)
    return {"ended_count": len(executions), "ended_ms_total": spent}


def _by_workflow(executions: Sequence[Execution]) -> list[tuple[str, list[Execution]]]:
    """In one order everywhere, so that two batches never wait for each other's rows."""
    groups: dict[str, list[Execution]] = {}
    for execution in executions:
        groups.setdefault(execution.workflow_id, []).append(execution)
    return sorted(groups.items())
