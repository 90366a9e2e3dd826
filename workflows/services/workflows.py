"""Making and changing workflows. A faulty graph is never saved: all its faults come back at once, each by its path."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.models import Company, User
from craft.events import Event, changes_between, publish
from craft.exceptions import InvalidError
from workflows import events
from workflows.engine.graph import GraphError, compile_graph, compile_steps
from workflows.engine.journal import CATALOGUE
from workflows.models import Workflow, WorkflowStatus, WorkflowVersion
from workflows.services.schedules import sync_schedule
from workflows.services.settings import merged

GRAPH_FIELDS = ("nodes", "edges", "variables", "steps", "output")


@transaction.atomic
def create_workflow(*, company: Company, user: User | None, **fields: Any) -> Workflow:
    """A body with `steps` makes a pipeline, which is active at once; one with `nodes` a graph, a draft until it is published."""
    graph = {name: fields.pop(name) for name in GRAPH_FIELDS if name in fields}
    is_pipeline = graph.get("steps") is not None
    if is_pipeline and ("nodes" in graph or "edges" in graph):
        raise InvalidError(
            "Give steps, or nodes and edges, not both.",
            details={"steps": "A workflow is either a pipeline or a graph."},
        )
    definition = check_definition(graph, is_pipeline=is_pipeline)
    if "settings" in fields:
        fields["settings"] = merged({}, fields["settings"])
    fields["status"] = check_status(fields.get("status"), is_pipeline=is_pipeline)
    workflow = Workflow(company=company, created_by=user, **fields)
    workflow.save(force_insert=True)
    add_version(workflow, definition, user, number=1)
    sync_schedule(workflow)
    publish(
        Event(
            events.WORKFLOW_CREATED,
            company.pk,
            {
                "workflow_id": workflow.pk,
                "name": workflow.name,
                "changes": changes_between({}, told(workflow)),
            },
        )
    )
    return workflow


def told(workflow: Workflow) -> dict[str, Any]:
    """What the audit log knows of a workflow. What it does is told by the number of its version, which is never changed."""
    fields = (
        "name",
        "description",
        "status",
        "trigger",
        "category",
        "tags",
        "public",
        "settings",
    )
    return {
        **{name: getattr(workflow, name) for name in fields},
        "version": current_version(workflow).number,
    }


@transaction.atomic
def update_workflow(
    workflow: Workflow, *, user: User | None, **changes: Any
) -> Workflow:
    """Changes what is named. A change of the graph is a new version; executions under way keep theirs."""
    workflow = lock(workflow)
    was_live, before = workflow.is_live, told(workflow)
    graph = {name: changes.pop(name) for name in GRAPH_FIELDS if name in changes}
    if "status" in changes:
        changes["status"] = check_status(
            changes["status"], is_pipeline=workflow.is_pipeline
        )
    if graph:
        definition = changed_definition(workflow, graph)
        add_version(
            workflow,
            definition,
            user,
            number=current_version(workflow).number + 1,
            save=False,
        )
    if "settings" in changes:
        changes["settings"] = merged(workflow.settings, changes["settings"])
    for name, value in changes.items():
        setattr(workflow, name, value)
    workflow.save()
    sync_schedule(workflow)
    news = (
        events.WORKFLOW_PUBLISHED
        if workflow.is_live and not was_live
        else events.WORKFLOW_UPDATED
    )
    publish(
        Event(
            news,
            workflow.company_id,
            {
                "workflow_id": workflow.pk,
                "changed": sorted([*changes, *graph]),
                "changes": changes_between(before, told(workflow)),
            },
        )
    )
    return workflow


@transaction.atomic
def delete_workflow(workflow: Workflow) -> None:
    publish(
        Event(
            events.WORKFLOW_DELETED,
            workflow.company_id,
            {
                "workflow_id": workflow.pk,
                "name": workflow.name,
                "changes": changes_between(told(workflow), {}),
            },
        )
    )
    workflow.delete()


def lock(workflow: Workflow) -> Workflow:
    return (
        Workflow.unscoped.select_for_update(of=("self",))
        .select_related("version")
        .get(pk=workflow.pk)
    )


def current_version(workflow: Workflow) -> WorkflowVersion:
    if workflow.version is None:
        raise RuntimeError(
            f"{workflow.pk} has no version"
        )  # create_workflow makes one in its transaction
    return workflow.version


def changed_definition(workflow: Workflow, graph: dict[str, Any]) -> dict[str, Any]:
    version = current_version(workflow)
    if workflow.is_pipeline:
        if "nodes" in graph or "edges" in graph:
            raise InvalidError(
                "This workflow is a pipeline.",
                details={"nodes": "A pipeline is changed by its steps."},
            )
        before: dict[str, Any] = {
            "steps": version.steps,
            "output": version.output,
            "variables": version.variables,
        }
    else:
        if graph.get("steps") is not None or graph.get("output"):
            raise InvalidError(
                "This workflow is a graph.",
                details={"steps": "A graph is changed by its nodes and edges."},
            )
        before = {
            "nodes": version.nodes,
            "edges": version.edges,
            "variables": version.variables,
        }
    return check_definition({**before, **graph}, is_pipeline=workflow.is_pipeline)


def check_definition(graph: dict[str, Any], *, is_pipeline: bool) -> dict[str, Any]:
    """What a version keeps, compiled once to find its faults."""
    output = graph.get("output") or ""
    variables = graph.get("variables") or {}
    try:
        if is_pipeline:
            steps = graph["steps"]
            definition, _ = compile_steps(steps, output or None, variables, CATALOGUE)
            return {**definition, "steps": steps, "output": output}
        if output:
            raise InvalidError(
                "A graph's results go where its nodes send them.",
                details={"output": "Add a store node instead."},
            )
        nodes, edges = graph.get("nodes") or [], graph.get("edges") or []
        definition = {"nodes": nodes, "edges": edges, "variables": variables}
        compile_graph(definition, CATALOGUE)
        return {**definition, "steps": None, "output": ""}
    except GraphError as error:
        raise InvalidError(describe(error.faults), details=error.faults) from None


def describe(faults: dict[str, str]) -> str:
    path, sentence = next(iter(faults.items()))
    more = len(faults) - 1
    return f"{path}: {sentence}" + (f" ({more} more in details)" if more else "")


def check_status(status: str | None, *, is_pipeline: bool) -> str:
    allowed = (
        [WorkflowStatus.ACTIVE]
        if is_pipeline
        else [WorkflowStatus.DRAFT, WorkflowStatus.PUBLISHED]
    )
    if status is None:
        return allowed[0]
    if status not in allowed:
        kind = "A pipeline" if is_pipeline else "A graph"
        raise InvalidError(
            f"{kind} can't be {status!r}.",
            details={"status": f"Must be one of: {', '.join(allowed)}."},
        )
    return status


def add_version(
    workflow: Workflow,
    definition: dict[str, Any],
    user: User | None,
    *,
    number: int,
    save: bool = True,
) -> None:
    workflow.version = WorkflowVersion.objects.create(
        workflow=workflow, number=number, created_by=user, **definition
    )
    if save:
        workflow.save(update_fields=["version", "updated_at"])
