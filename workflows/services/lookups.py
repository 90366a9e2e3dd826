"""Workflows as those find them who start one after the other: remembered by each process for a few seconds, and never beyond a change."""

from __future__ import annotations

from functools import partial

from craft import stamps
from workflows.models import Workflow, workflow_subject

KEEP_SECONDS = 5.0
MOST_KEPT = 2_000

_memory: stamps.Memory[Workflow] = stamps.Memory(seconds=KEEP_SECONDS, most=MOST_KEPT)


def find_workflow(company_id: int, workflow_id: str) -> Workflow | None:
    """With its versions, the newest and the live one. For reading only: all threads are given the same object."""
    return _memory.recall(
        (company_id, workflow_id),
        workflow_subject(workflow_id),
        partial(_read, company_id, workflow_id),
    )


def _read(company_id: int, workflow_id: str) -> Workflow | None:
    own = Workflow.objects.for_company(company_id).select_related(
        "version", "published_version", "company"
    )
    return own.filter(pk=workflow_id).first()


def find_for_stranger(workflow_id: str) -> Workflow | None:
    """For a caller without a key, who is of no company: whoever asks looks at what the workflow wants of them before anything else. With its secret."""
    found = Workflow.unscoped.select_related(
        "company", "version", "published_version", "trigger_secret"
    )
    return found.filter(pk=workflow_id).first()
