"""What the person who builds a workflow does with its runs: one node by itself, pinned outputs, dry runs."""

from __future__ import annotations

from typing import Any

from accounts.models import Company, User
from craft.exceptions import InvalidError, NotFoundError
from workflows.engine import journal, pins
from workflows.engine.graph import Graph
from workflows.models import Execution, Workflow
from workflows.services import executions
from workflows.services.workflows import current_version


def check_pins(workflow: Workflow, pinned: dict[str, Any]) -> None:
    """Raises InvalidError that names every pin that its node can't have."""
    if pinned:
        check_pins_of(graph_of(workflow), pinned)


def check_pins_of(graph: Graph, pinned: dict[str, Any]) -> None:
    faults = pins.faults_of(graph, pinned)
    if faults:
        details = {f"pins.{node_id}": fault for node_id, fault in faults.items()}
        raise InvalidError("Some pins fit no node.", details=details)


def graph_of(workflow: Workflow) -> Graph:
    return journal.graph_of(current_version(workflow))


def run_node(
    *,
    workflow: Workflow,
    company: Company,
    user: User | None,
    node_id: str,
    input: Any,
    nodes: dict[str, Any],
    pinned: dict[str, Any],
    is_dry: bool,
    timeout_seconds: float,
    idempotency_key: str | None = None,
) -> Execution:
    """Run this node alone, as an execution of its own: with this input, and `nodes` as what the others put out."""
    graph = graph_of(workflow)
    node = graph.nodes.get(node_id)
    if node is None:
        raise NotFoundError("This workflow has no such node.")
    check_pins(workflow, pinned)
    unknown = nodes.keys() - graph.nodes.keys()
    if unknown:
        details = {f"nodes.{name}": "There is no such node." for name in unknown}
        raise InvalidError("Some outputs are of no node.", details=details)
    earlier = {
        name: pins.pinned_output(graph.nodes[name], pin).value
        for name, pin in pinned.items()
    }
    return executions.run_execution(
        workflow=workflow,
        company=company,
        user=user,
        input=input,
        trigger={"type": "node", "node_id": node_id},
        idempotency_key=idempotency_key,
        pins={**earlier, **nodes},
        is_dry=is_dry,
        timeout_seconds=timeout_seconds,
    )
