"""From draft to live and back: which version of a workflow runs."""

from __future__ import annotations

from typing import Any, Literal

from django.db import transaction

from accounts.models import User
from craft.events import Event, changes_between, publish
from craft.exceptions import ConflictError, NotFoundError
from workflows import events
from workflows.engine.differences import compare
from workflows.models import Workflow, WorkflowStatus, WorkflowVersion
from workflows.services import tests
from workflows.services.executions import NotPublishedError
from workflows.services.workflows import (
    change_graph,
    check_definition,
    current_version,
    go_live,
    lock,
    save_and_tell,
    state_of,
    told,
)

Asked = int | Literal["draft", "published"]
EMPTY: dict[str, Any] = {"nodes": [], "edges": [], "variables": {}}


def find_version(workflow: Workflow, asked: Asked) -> WorkflowVersion:
    """By its number; `draft` is the newest. Raises NotFoundError, or NotPublishedError where `published` is asked for and nothing is."""
    if asked == "draft":
        return current_version(workflow)
    if asked == "published":
        if not workflow.is_live or workflow.live_version is None:
            raise NotPublishedError("This workflow is a draft: nothing is published.")
        return workflow.live_version
    found = WorkflowVersion.objects.filter(workflow=workflow, number=asked).first()
    if found is None:
        raise NotFoundError(f"There is no version {asked}.")
    return found


def publish_workflow(
    workflow: Workflow,
    *,
    user: User | None,
    version: Asked = "draft",
    force: bool = False,
    **said: str,
) -> Workflow:
    """Make a version live, by default the newest; what is said of it (`name`, `note`) is kept with it. Raises TestsFailedError unless it passes the workflow's
    tests, or it is forced."""
    refuse_pipeline(workflow)
    chosen = find_version(workflow, version)
    if not force:
        tests.require_passing(workflow, chosen.definition)
    with transaction.atomic():
        workflow = lock(workflow)
        was, before = state_of(workflow), told(workflow)
        if said:
            chosen.assign(said)
            chosen.save(update_fields=[*said, "updated_at"])
        workflow.status = WorkflowStatus.PUBLISHED
        go_live(workflow, chosen, user)
        if chosen.pk == workflow.version_id:
            workflow.version = chosen
        save_and_tell(workflow, was, before, changed=["status"])
    return workflow


@transaction.atomic
def unpublish_workflow(workflow: Workflow) -> Workflow:
    """It is a draft again: triggers are refused, and its schedule is gone. Executions under way go on."""
    refuse_pipeline(workflow)
    workflow = lock(workflow)
    was, before = state_of(workflow), told(workflow)
    workflow.status = WorkflowStatus.DRAFT
    save_and_tell(workflow, was, before, changed=["status"])
    return workflow


def refuse_pipeline(workflow: Workflow) -> None:
    if workflow.is_pipeline:
        raise ConflictError(
            "A pipeline is live from the moment it is saved: there is nothing to publish. To go back, restore an older version."
        )


@transaction.atomic
def restore_version(workflow: Workflow, *, user: User | None, number: int) -> Workflow:
    """What it did then, as its newest version. A graph's is not live before it is published."""
    workflow = lock(workflow)
    was, before = state_of(workflow), told(workflow)
    old = find_version(workflow, number)
    graph = {**old.definition, "steps": old.steps, "output": old.output}
    definition = check_definition(
        graph, is_pipeline=workflow.is_pipeline, company_id=workflow.company_id
    )
    change_graph(workflow, definition, user, note=f"Restored from version {number}.")
    if workflow.is_pipeline:
        go_live(workflow, current_version(workflow), user)
    save_and_tell(workflow, was, before, changed=["version"])
    return workflow


@transaction.atomic
def describe_version(version: WorkflowVersion, **said: str) -> WorkflowVersion:
    """Its name and note; what it does never changes."""
    before = {name: getattr(version, name) for name in said}
    version.assign(said)
    version.save(update_fields=[*said, "updated_at"])
    publish(
        Event(
            events.WORKFLOW_VERSION_DESCRIBED,
            version.workflow.company_id,
            {
                "workflow_version_id": version.number,
                "workflow_id": version.workflow_id,
                "version": version.number,
                "changes": changes_between(before, said),
            },
        )
    )
    return version


def differences(
    workflow: Workflow, number: int, *, base: int | None = None
) -> dict[str, Any]:
    """What became of version `base` by version `number`; by default, of the one before it."""
    version = find_version(workflow, number)
    base = version.number - 1 if base is None else base
    before = find_version(workflow, base).definition if base else EMPTY
    return {"from": base, "to": number, **compare(before, version.definition)}
