"""How often workflows were run, and for how long: kept with them, so that nobody has to count executions."""

from collections.abc import Sequence

from django.db.models import F

from workflows.models import Execution, Workflow


def count_usage(executions: Sequence[Execution]) -> None:
    for workflow_id, own in _by_workflow(executions):
        Workflow.unscoped.filter(pk=workflow_id).update(
            usage_count=F("usage_count") + len(own)
        )


def count_endings(executions: Sequence[Execution]) -> None:
    for workflow_id, own in _by_workflow(executions):
        spent = sum(execution.duration_ms or 0.0 for execution in own)
        Workflow.unscoped.filter(pk=workflow_id).update(
            ended_count=F("ended_count") + len(own),
            ended_ms_total=F("ended_ms_total") + spent,
        )


def _by_workflow(executions: Sequence[Execution]) -> list[tuple[str, list[Execution]]]:
    """In one order everywhere, so that two batches never wait for each other's rows."""
    groups: dict[str, list[Execution]] = {}
    for execution in executions:
        groups.setdefault(execution.workflow_id, []).append(execution)
    return sorted(groups.items())
