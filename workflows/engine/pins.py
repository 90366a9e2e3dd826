"""Outputs that no node made: what a person says that one put out, and what an effect gives in a dry run.

A node that leaves by `main` (or, once its turns are over, by `done`) is pinned with its output. One that leaves by other handles (a condition, a route, an approval) is pinned with
`{"handle": "false", "output": …}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workflows.engine.graph import Graph, GraphNode
from workflows.nodes.base import Output

PINNED, MOCKED, TAKEN_OVER = "pinned", "mocked", "taken_over"
"""A step's origin, where its node did not run; it is empty where it did."""


def handles_of(node: GraphNode) -> tuple[str, ...]:
    return node.node.handles_for(dict(node.config))


def pinned_output(node: GraphNode, pin: Any) -> Output:
    handles = handles_of(node)
    if node.onward in handles or not handles:
        return Output(pin, (node.onward,))
    if isinstance(pin, dict) and pin.get("handle") in handles:
        return Output(pin.get("output"), (pin["handle"],))
    return Output(pin, handles[:1])


def mocked_output(node: GraphNode) -> Output:
    """Its type's example, by the handle that the example leaves by."""
    example = node.node.example
    own = handles_of(node)
    handles = example.get("handles") or [node.onward if node.onward in own else own[0]]
    return Output(example.get("output"), tuple(handles))


def faults_of(graph: Graph, pins: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with the pins, by node."""
    return {
        node_id: fault
        for node_id, pin in pins.items()
        if (fault := _fault_of(graph.nodes.get(node_id), pin))
    }


def _fault_of(node: GraphNode | None, pin: Any) -> str:
    if node is None:
        return "There is no such node."
    handles = handles_of(node)
    if node.onward in handles or not handles:
        return ""
    is_told = isinstance(pin, dict) and set(pin) <= {"handle", "output"}
    if is_told and pin.get("handle") in handles:
        return ""
    return f'Must be {{"handle": …, "output": …}}, with one of its handles: {", ".join(handles)}.'
