"""What is no fault, and yet most likely not meant. Plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from workflows.engine.expressions import compile_value
from workflows.engine.graph import Graph, GraphNode

Advice = tuple[str, str]
"""A path, and a sentence."""
QUIET = frozenset({"error", "else", "timeout", "done"})
"""Handles that are often left without an edge."""


def advise(graph: Graph, definition: Mapping[str, Any]) -> Iterator[Advice]:
    """For a graph without faults, in the order of its nodes."""
    variables = definition["variables"]
    read: set[str] = set()
    reads_unseen = False
    for node in sorted(graph.nodes.values(), key=lambda node: node.index):
        found = compile_value(dict(node.config)).references
        names = {path[1] for path in found if path[0] == "variables" and len(path) > 1}
        reads_unseen |= node.type == "code" or ("variables",) in found
        read |= names
        yield from _about(node, names - variables.keys())
    if not reads_unseen:
        for name in variables:
            if name not in read:
                yield f"variables.{name}", "Nothing reads it."


def _about(node: GraphNode, undeclared: set[str]) -> Iterator[Advice]:
    path = f"nodes.{node.index}"
    for name in sorted(undeclared):
        yield (
            f"{path}.config",
            f"'{node.id}' reads variables.{name}, to which the workflow gives no value.",
        )
    if node.disabled:
        yield f"{path}.disabled", f"'{node.id}' is passed over."
    elif node.node.effect != "pure" and node.on_error == "fail" and not node.retry:
        yield (
            path,
            f"If '{node.id}' fails, the execution ends: it has no retry, and no way on for errors.",
        )
    taken = {edge.handle for edge in node.outgoing}
    if taken:
        for handle in node.node.handles_for(dict(node.config)):
            if handle not in taken | QUIET:
                yield (
                    path,
                    f"Nothing follows '{node.id}' by its handle '{handle}': what leaves there ends.",
                )
