"""What an execution's failure starts: one execution of the error workflow that its workflow names."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone

from craft.encoding import utc_text
from craft.leases import Status
from workflows.models import Execution, Workflow

ERROR = "error"
"""The type of the trigger. What it started starts no other when it fails itself."""


def after_error(execution: Execution) -> dict[str, bool]:
    """What the trigger of all says that an error workflow, or what it started, starts."""
    trigger = execution.trigger
    is_after = trigger.get("type") == ERROR or trigger.get("after_error")
    return {"after_error": True} if is_after else {}


def after_failures(ended: Sequence[Execution]) -> list[Execution]:
    """What is to be inserted in the transaction of the endings. Not for a dry run, which was to do nothing; and not for
    who ran another company's workflow: its owner learns nothing of that."""
    failed = [
        execution
        for execution in ended
        if execution.status == Status.FAILED
        and not execution.is_dry
        and not after_error(execution)
    ]
    if not failed:
        return []
    naming = _naming({execution.workflow_id for execution in failed})
    return [
        sequel
        for execution in failed
        if (workflow := naming.get(execution.workflow_id))
        and workflow.company_id == execution.company_id
        and (sequel := _sequel(execution, workflow))
    ]


def _naming(ids: set[str]) -> dict[str, Workflow]:
    """Those that name an error workflow, as they are now: the run may have been long."""
    rows = Workflow.unscoped.filter(pk__in=ids, error_workflow__isnull=False)
    found = rows.select_related(
        "error_workflow__version", "error_workflow__published_version"
    )
    return {workflow.pk: workflow for workflow in found}


def _sequel(failed: Execution, workflow: Workflow) -> Execution | None:
    target = workflow.error_workflow
    if target is None or not target.is_live:
        _note(failed, "The error workflow is a draft, so that it was not started.")
        return None
    return Execution(
        company_id=failed.company_id,
        workflow=target,
        version=target.live_version,
        trigger={"type": ERROR, "execution_id": failed.pk},
        input=_told(failed, workflow),
        idempotency_key=f"error:{failed.pk}",
        next_attempt_at=timezone.now(),
    )


def _told(failed: Execution, workflow: Workflow) -> dict[str, Any]:
    return {
        "execution": {
            "id": failed.pk,
            "status": str(failed.status),
            "version": failed.version.number,
            "trigger": failed.trigger,
            "started_at": _time(failed.started_at),
            "completed_at": _time(failed.completed_at),
        },
        "workflow": {"id": workflow.pk, "name": workflow.name},
        "error": failed.error,
        "url": f"{settings.PUBLIC_URL}/v1/executions/{failed.pk}",
    }


def _time(moment: datetime | None) -> str | None:
    return utc_text(moment) if moment else None


def _note(failed: Execution, message: str) -> None:
    line = {
        "time": _time(timezone.now()),
        "level": "warning",
        "node_id": None,
        "message": message,
    }
    failed.logs = [*failed.logs, line]
