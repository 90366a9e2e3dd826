"""Executions that go on from another: what was settled there is taken over, with its effects, and the rest runs anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from craft.exceptions import ConflictError, InvalidError, NotFoundError
from craft.leases import Status
from workflows.engine import journal, payloads
from workflows.engine.graph import Graph
from workflows.models import Execution, Step, StepOrigin, StepStatus, WorkflowVersion
from workflows.services import executions
from workflows.services.debugging import check_pins_of
from workflows.services.workflows import current_version

START, FAILED = "start", "failed"
COSMETIC = frozenset({"name", "notes", "position"})
"""What may differ between two versions of a node that do the same."""
COPIED_AT_ONCE = 500
BROKEN = (StepStatus.FAILED, StepStatus.UNKNOWN, StepStatus.CANCELLED)


class ChangedNodesError(ConflictError):
    """Nodes whose steps would be taken over are others in the version that is asked for."""

    code = "nodes_changed"


@transaction.atomic
def rerun_execution(
    execution: Execution,
    *,
    user: User | None,
    start: str = START,
    version: Literal["same", "latest"] = "latest",
) -> Execution:
    """Run it again with the same input: from its start, from what failed, or from a node; what does not stand behind that is taken over, which raises
    ConflictError while it is under way, and ChangedNodesError."""
    check_whole(execution)
    chosen = (
        current_version(execution.workflow)
        if version == "latest"
        else execution.version
    )
    trigger = {"type": "rerun", "of": execution.pk}
    if start == START:
        return begin(execution, user, chosen, trigger, [])
    check_over(execution)
    graph = journal.graph_of(execution.version)
    if start == FAILED:
        anew = failed_nodes(execution, graph)
    else:
        check_node(graph, start)
        anew = {start}
    turns_of = frozenset(anew) if start == FAILED else frozenset()
    taken = steps_to_take(
        execution, [graph, journal.graph_of(chosen)], anew, turns_of=turns_of
    )
    check_unchanged(execution.version, chosen, {step.node_id for step in taken})
    if start != FAILED:
        check_node(journal.graph_of(chosen), start)
    return begin(execution, user, chosen, {**trigger, "from": start}, taken)


@transaction.atomic
def fork_execution(
    execution: Execution, *, user: User | None, node_id: str, edited: dict[str, Any]
) -> Execution:
    """Go on from a node with other data: `edited` holds its `input`, and it runs, or its `output`, and it does not. Raises ConflictError while it is under
    way."""
    check_whole(execution)
    check_over(execution)
    graph = journal.graph_of(execution.version)
    check_node(graph, node_id)
    taken = steps_to_take(execution, [graph], {node_id})
    trigger = {"type": "fork", "of": execution.pk, "node_id": node_id}
    if "output" in edited:
        pin = {node_id: edited["output"]}
        check_pins_of(graph, pin)
        return begin(execution, user, execution.version, trigger, taken, pins=pin)
    if len(graph.nodes[node_id].incoming) > 1:
        sentence = "This node gets what several others put out. Fork at one of those, or give this one's output."
        raise InvalidError(sentence, details={"input": sentence})
    pins = {
        name: pin for name, pin in (execution.pins or {}).items() if name != node_id
    }
    fork = begin(
        execution, user, execution.version, trigger, taken, pins=pins, keeps_pins=False
    )
    journal.save_steps([opened_step(fork, graph, node_id, edited["input"])])
    return fork


def check_over(execution: Execution) -> None:
    if not execution.is_over:
        raise ConflictError(
            f"This execution is {execution.status}: wait for its end, or cancel it."
        )


def check_whole(execution: Execution) -> None:
    if execution.only_node_id:
        raise ConflictError("This execution was of one node: run that node again.")


def check_node(graph: Graph, node_id: str) -> None:
    if node_id not in graph.nodes:
        raise NotFoundError(f"The workflow has no node {node_id!r} in this version.")
    for node in graph.nodes.values():
        if node_id in node.body:
            raise InvalidError(
                f"{node_id} runs by turns of {node.id}: name that.",
                details={"node_id": f"Is within {node.id}."},
            )


def failed_nodes(execution: Execution, graph: Graph) -> set[str]:
    """Those that ended it, and those that its end broke off. A failure that went on along an error branch is none."""
    if execution.status == Status.COMPLETED:
        raise ConflictError("This execution did not fail.")
    broken = execution.steps.filter(iteration="", status__in=BROKEN)
    return {
        node_id
        for node_id, status in broken.values_list("node_id", "status")
        if status == StepStatus.CANCELLED or graph.nodes[node_id].on_error == "fail"
    }


def steps_to_take(
    execution: Execution,
    graphs: Sequence[Graph],
    anew: set[str],
    *,
    turns_of: frozenset[str] = frozenset(),
) -> list[Step]:
    """What is settled and stands behind none of the nodes that run anew. Of `turns_of` also what went well in their turns."""
    behind = all_behind(graphs, anew)
    settled = execution.steps.filter(completed_at__isnull=False)
    steps = list(settled.exclude(status=StepStatus.CANCELLED).order_by("id"))
    taken = [step for step in steps if step.node_id not in behind]
    bodies = {
        node_id
        for graph in graphs
        for name in turns_of & graph.nodes.keys()
        for node_id in graph.nodes[name].body
    }
    if not bodies:
        return taken
    broken: dict[str, set[str]] = {}
    for step in execution.steps.filter(status__in=BROKEN).exclude(iteration=""):
        broken.setdefault(step.iteration, set()).add(step.node_id)
    return taken + [
        step
        for step in steps
        if step.iteration
        and step.node_id in bodies
        and step.node_id not in all_behind(graphs, broken.get(step.iteration, set()))
    ]


def all_behind(graphs: Iterable[Graph], begin: set[str]) -> set[str]:
    return set().union(*(nodes_behind(graph, begin) for graph in graphs))


def nodes_behind(graph: Graph, begin: set[str]) -> set[str]:
    """These nodes and all that an edge leads to from them."""
    found, left = set(begin), [node_id for node_id in begin if node_id in graph.nodes]
    while left:
        for edge in graph.nodes[left.pop()].outgoing:
            if edge.target not in found:
                found.add(edge.target)
                left.append(edge.target)
    return found


def check_unchanged(
    before: WorkflowVersion, after: WorkflowVersion, node_ids: set[str]
) -> None:
    if before.pk == after.pk:
        return
    was, now = meanings_of(before), meanings_of(after)
    changed = {
        f"nodes.{node_id}": "Has changed since, so that what it did can't be taken over."
        if node_id in now
        else "Is gone, so that what it did can't be taken over."
        for node_id in sorted(node_ids)
        if was.get(node_id) != now.get(node_id)
    }
    if changed:
        names = ", ".join(name.removeprefix("nodes.") for name in changed)
        raise ChangedNodesError(
            f"These nodes are others in version {after.number}: {names}. Run it on the same version, or from a node before them.",
            details=changed,
        )


def meanings_of(version: WorkflowVersion) -> dict[str, Any]:
    """By node: what it does, and on what it is begun."""
    graph = journal.graph_of(version)
    said = {node["id"]: node for node in version.nodes}
    return {
        node.id: (
            {
                name: value
                for name, value in said[node.id].items()
                if name not in COSMETIC
            },
            sorted((edge.source, edge.handle) for edge in node.incoming),
        )
        for node in graph.nodes.values()
    }


def begin(
    execution: Execution,
    user: User | None,
    version: WorkflowVersion,
    trigger: dict[str, Any],
    taken: list[Step],
    *,
    pins: dict[str, Any] | None = None,
    keeps_pins: bool = True,
) -> Execution:
    """Queue what goes on from it. Called within a transaction: no worker sees the one without the other."""
    kept = (execution.pins or {}) if keeps_pins else {}
    payloads.load([execution, *taken])
    made = executions.start_execution(
        workflow=execution.workflow,
        company=execution.company,
        user=user,
        input=execution.input,
        labels=execution.labels,
        trigger=trigger,
        version=version,
        rerun_of=execution,
        pins={**kept, **(pins or {})},
        is_dry=execution.is_dry,
    )
    renumber(taken)
    for first in range(0, len(taken), COPIED_AT_ONCE):
        some = taken[first : first + COPIED_AT_ONCE]
        journal.save_steps(list(copies_for(made, some)))
    return made


def renumber(steps: list[Step]) -> None:
    """As if they had been written one after the other, behind the execution's own beginning."""
    for place, step in enumerate(steps, start=1):
        step.begun, step.ended = 2 * place, 2 * place + 1


def copies_for(execution: Execution, steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        kept = {
            field.attname: getattr(step, field.attname)
            for field in Step._meta.concrete_fields
            if field.name not in {"id", "execution"}
        }
        own = {"execution": execution, "origin": StepOrigin.TAKEN_OVER, "usage": None}
        yield Step(**{**kept, **own})


def opened_step(execution: Execution, graph: Graph, node_id: str, input: Any) -> Step:
    """One that was begun and not finished: the engine goes on with its input."""
    node = graph.nodes[node_id]
    return Step(
        execution=execution,
        node_id=node_id,
        position=node.index,
        type=node.type,
        name=node.name,
        status=StepStatus.PENDING,
        input=journal.storable(input),
        started_at=timezone.now(),
    )
