"""Making and changing workflows. A faulty graph is never saved: all its faults come back at once, each by its path."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Company, User
from craft.events import Event, changes_between, publish
from craft.exceptions import ConflictError, InvalidError
from workflows import events
from workflows.engine.graph import Graph, GraphError, compile_graph, compile_steps
from workflows.engine.journal import CATALOGUE
from workflows.engine.steps import in_steps_words
from workflows.models import Workflow, WorkflowStatus, WorkflowVersion
from workflows.services import tests
from workflows.services.credentials import credential_faults
from workflows.services.references import reference_faults
from workflows.services.schedules import sync_schedule
from workflows.services.settings import merged

GRAPH_FIELDS = ("nodes", "edges", "variables", "steps", "output")


@transaction.atomic
def create_workflow(*, company: Company, user: User | None, **fields: Any) -> Workflow:
    """A body with `steps` makes a pipeline, which is active at once; one with `nodes` a graph, a draft until it is published."""
    graph = {name: fields.pop(name) for name in GRAPH_FIELDS if name in fields}
    is_pipeline = check_kind(graph)
    definition = check_definition(graph, is_pipeline=is_pipeline, company_id=company.pk)
    if "settings" in fields:
        fields["settings"] = merged({}, fields["settings"])
    fields["status"] = check_status(fields.get("status"), is_pipeline=is_pipeline)
    workflow = Workflow(company=company, created_by=user, **fields)
    workflow.save(force_insert=True)
    add_version(workflow, definition, user, number=1)
    if workflow.is_live:
        go_live(workflow, current_version(workflow), user)
    workflow.save(update_fields=["version", "published_version", "updated_at"])
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
    live = workflow.published_version
    return {
        **{name: getattr(workflow, name) for name in fields},
        "error_workflow": workflow.error_workflow_id,
        "version": current_version(workflow).number,
        "published_version": live.number if live else None,
    }


def update_workflow(
    workflow: Workflow, *, user: User | None, **changes: Any
) -> Workflow:
    """Changes what is named. A change of the graph is a new version; executions under way keep theirs. It goes live with `status: published`, or later, when
    somebody publishes it; a pipeline's at once. Raises TestsFailedError where what was to go live fails its tests."""
    tested = None
    if changes.get("status") == WorkflowStatus.PUBLISHED and tests.exist_for(workflow):
        graph = {name: changes[name] for name in GRAPH_FIELDS if name in changes}
        tests.require_passing(workflow, changed_definition(workflow, graph))
        tested = workflow.version_id
    return _update(workflow, user=user, tested=tested, **changes)


@transaction.atomic
def _update(
    workflow: Workflow, *, user: User | None, tested: int | None, **changes: Any
) -> Workflow:
    workflow = lock(workflow)
    if tested not in (None, workflow.version_id):
        raise ConflictError(
            "Somebody else changed this workflow while its tests ran. Look at what they did, and publish again."
        )
    was, before = state_of(workflow), told(workflow)
    graph = {name: changes.pop(name) for name in GRAPH_FIELDS if name in changes}
    if "status" in changes:
        changes["status"] = check_status(
            changes["status"], is_pipeline=workflow.is_pipeline
        )
    if graph:
        change_graph(workflow, changed_definition(workflow, graph), user)
    if "settings" in changes:
        changes["settings"] = merged(workflow.settings, changes["settings"])
    for name, value in changes.items():
        setattr(workflow, name, value)
    if workflow.is_pipeline or changes.get("status") == WorkflowStatus.PUBLISHED:
        go_live(workflow, current_version(workflow), user)
    save_and_tell(workflow, was, before, changed=[*changes, *graph])
    return workflow


def state_of(workflow: Workflow) -> tuple[bool, int | None]:
    return workflow.is_live, workflow.published_version_id


def save_and_tell(
    workflow: Workflow,
    was: tuple[bool, int | None],
    before: dict[str, Any],
    *,
    changed: list[str],
) -> None:
    """Save a locked workflow, and say which of three things happened to it."""
    if not workflow.is_live:
        workflow.published_version = None
    workflow.save()
    sync_schedule(workflow)
    news = events.WORKFLOW_UPDATED
    if was[0] and not workflow.is_live:
        news = events.WORKFLOW_UNPUBLISHED
    elif state_of(workflow) != was and not workflow.is_pipeline:
        news = events.WORKFLOW_PUBLISHED
    publish(
        Event(
            news,
            workflow.company_id,
            {
                "workflow_id": workflow.pk,
                "changed": sorted(changed),
                "changes": changes_between(before, told(workflow)),
            },
        )
    )


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
        .select_related("version", "published_version")
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
    return check_definition(
        {**before, **graph},
        is_pipeline=workflow.is_pipeline,
        company_id=workflow.company_id,
    )


def check_definition(
    graph: dict[str, Any], *, is_pipeline: bool, company_id: int
) -> dict[str, Any]:
    """What a version keeps, compiled once to find its faults, the company's rows that it names among them."""
    return compile_definition(graph, is_pipeline=is_pipeline, company_id=company_id)[0]


def compile_definition(
    graph: dict[str, Any], *, is_pipeline: bool, company_id: int
) -> tuple[dict[str, Any], Graph]:
    """Raises InvalidError with all faults."""
    output = graph.get("output") or ""
    variables = graph.get("variables") or {}
    try:
        if is_pipeline:
            steps = graph["steps"]
            definition, compiled = compile_steps(
                steps, output or None, variables, CATALOGUE
            )
            faults = rows_faults(company_id, compiled, definition["nodes"])
            if faults:
                raise GraphError(in_steps_words(faults, definition, steps))
            return {**definition, "steps": steps, "output": output}, compiled
        if output:
            raise InvalidError(
                "A graph's results go where its nodes send them.",
                details={"output": "Add a store node instead."},
            )
        nodes, edges = graph.get("nodes") or [], graph.get("edges") or []
        definition = {"nodes": nodes, "edges": edges, "variables": variables}
        compiled = _compile_referring(definition, company_id)
        return {**definition, "steps": None, "output": ""}, compiled
    except GraphError as error:
        raise InvalidError(describe(error.faults), details=error.faults) from None


def _compile_referring(definition: dict[str, Any], company_id: int) -> Graph:
    """Raises GraphError with the faults of all kinds at once."""
    try:
        compiled = compile_graph(definition, CATALOGUE)
    except GraphError as error:
        lost = reference_faults(company_id, definition["nodes"])
        raise GraphError({**lost, **error.faults}) from None
    if faults := rows_faults(company_id, compiled, definition["nodes"]):
        raise GraphError(faults)
    return compiled


def rows_faults(company_id: int, graph: Graph, nodes: list[Any]) -> dict[str, str]:
    """What the graph names of the company's own, and is not there."""
    return {
        **reference_faults(company_id, nodes),
        **credential_faults(company_id, graph),
    }


def describe(faults: dict[str, str]) -> str:
    path, sentence = next(iter(faults.items()))
    more = len(faults) - 1
    return f"{path}: {sentence}" + (f" ({more} more in details)" if more else "")


def check_kind(graph: dict[str, Any]) -> bool:
    """Whether it is a pipeline."""
    is_pipeline = graph.get("steps") is not None
    if is_pipeline and ("nodes" in graph or "edges" in graph):
        raise InvalidError(
            "Give steps, or nodes and edges, not both.",
            details={"steps": "A workflow is either a pipeline or a graph."},
        )
    return is_pipeline


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


def change_graph(
    workflow: Workflow, definition: dict[str, Any], user: User | None, *, note: str = ""
) -> None:
    """What is the same as before is no new version. What was live stays so."""
    newest = current_version(workflow)
    if all(getattr(newest, name) == value for name, value in definition.items()):
        return
    if workflow.is_live and workflow.published_version is None:
        workflow.published_version = newest
    add_version(workflow, definition, user, number=newest.number + 1, note=note)


def add_version(
    workflow: Workflow,
    definition: dict[str, Any],
    user: User | None,
    *,
    number: int,
    note: str = "",
) -> None:
    """The caller saves the workflow."""
    workflow.version = WorkflowVersion.objects.create(
        workflow=workflow, number=number, created_by=user, note=note, **definition
    )


def go_live(workflow: Workflow, version: WorkflowVersion, user: User | None) -> None:
    """From the commit on, this is what triggers and schedules start. The caller saves the workflow."""
    if workflow.published_version_id == version.pk:
        return
    workflow.published_version = version
    version.published_at, version.published_by = timezone.now(), user
    version.save(update_fields=["published_at", "published_by", "updated_at"])
