"""Executions that take less than handing them to a worker would. They are run where they are started, and one commit keeps their start and their end.

Nothing outside is touched, so nobody misses one whose process dies before that commit: the caller had no answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from workflows.engine import journal
from workflows.engine.graph import Graph, GraphError
from workflows.models import Execution

MOST_NODES = 20
MOST_SECONDS = 0.005
"""Of processor. What took longer is left to workers for a while: it would hold up others who only want to hand something in."""
WHILE_SECONDS = 60.0
MOST_REMEMBERED = 1_000

_left_to_workers: dict[int, float] = {}
"""Until when, by the version."""


def is_quick(execution: Execution) -> bool:
    """Whether it may be run at once. One that goes on from another's steps never is."""
    return (
        settings.CRAFT_EAGER_STARTS
        and execution.concurrency_key is None
        and execution.rerun_of_id is None
        and _left_to_workers.get(execution.version_id, 0.0) < time.monotonic()
        and _is_small(execution)
    )


def _is_small(execution: Execution) -> bool:
    version = execution.version
    if len(version.nodes) > MOST_NODES:
        return False
    try:
        graph = journal.graph_of(version)
    except GraphError:  # told where it is run
        return False
    return graph.is_instant and not _repeats(graph)


def _repeats(graph: Graph) -> bool:
    return any(node.body for node in graph.nodes.values())


@contextmanager
def watched(version_id: int) -> Iterator[None]:
    """Around a run: what takes too long is remembered."""
    began = time.thread_time()
    yield
    if time.thread_time() - began > MOST_SECONDS:
        if len(_left_to_workers) >= MOST_REMEMBERED:
            _left_to_workers.clear()
        _left_to_workers[version_id] = time.monotonic() + WHILE_SECONDS
