"""Executions that take less than handing them to a worker would. They are run where they are started, and one commit keeps their start and their end.

Nothing outside is touched, so nobody misses one whose process dies before that commit: the caller had no answer.
"""

from __future__ import annotations

import time

from django.conf import settings

from workflows.engine import journal
from workflows.engine.graph import Graph, GraphError
from workflows.models import Execution, WorkflowVersion

MOST_NODES = 20
MOST_SECONDS = 0.005
"""Of processor. What takes longer twice in a row is left to workers for a while: it would hold up others who only want to hand something in. Once is nothing:
it may have been the collection of others' garbage."""
WHILE_SECONDS = 60.0
MOST_REMEMBERED = 1_000
TWICE = 2

_slow: dict[int, tuple[int, float]] = {}
"""How often in a row, and until when that counts, by the version."""


def is_quick(execution: Execution) -> bool:
    """Whether it may be run at once. One that goes on from another's steps never is."""
    return (
        settings.CRAFT_EAGER_STARTS
        and execution.concurrency_key is None
        and execution.rerun_of_id is None
        and not _is_slow(execution.version_id)
        and _is_small(execution)
    )


def _is_slow(version_id: int) -> bool:
    times, until = _slow.get(version_id, (0, 0.0))
    return times >= TWICE and time.monotonic() < until


def _is_small(execution: Execution) -> bool:
    graph = instant_graph(execution.version, most_nodes=MOST_NODES)
    return graph is not None and not _repeats(graph)


def instant_graph(version: WorkflowVersion, *, most_nodes: int) -> Graph | None:
    """Where it has no more nodes, and can be run to its end at once."""
    if len(version.nodes) > most_nodes:
        return None
    try:
        graph = journal.graph_of(version)
    except GraphError:  # told where it is run
        return None
    return graph if graph.is_instant else None


def _repeats(graph: Graph) -> bool:
    return any(node.body for node in graph.nodes.values())


def note(version_id: int, seconds: float) -> None:
    """How much of the processor a run took: too much is remembered."""
    if seconds <= MOST_SECONDS:
        _slow.pop(version_id, None)
        return
    if len(_slow) >= MOST_REMEMBERED:
        _slow.clear()
    times, until = _slow.get(version_id, (0, 0.0))
    now = time.monotonic()
    _slow[version_id] = (times + 1 if now < until else 1), now + WHILE_SECONDS
