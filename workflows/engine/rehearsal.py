"""A run without rows and without effects: for the tests that are kept with a workflow."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from craft import egress
from workflows.engine import flights
from workflows.engine.executor import Ending, Job, Run, StepRecord, drive
from workflows.engine.graph import Graph
from workflows.engine.slices import engine_loop

REHEARSAL_ID = "exec_rehearsal"


@dataclass(frozen=True)
class Rehearsal:
    ending: Ending
    mocked: list[str]
    """The nodes that gave their type's example as output: effects, and what asks people or other workflows."""
    duration_ms: float


class _Memory:
    """A journal that keeps nothing beyond the run."""

    async def progress(
        self, run: Run, steps: list[StepRecord], *, advanced: bool
    ) -> None:
        pass

    async def recall(self, key: str) -> flights.Result | None:
        return None

    async def remember(self, key: str, result: flights.Result, seconds: int) -> None:
        pass

    async def mark(self, key: str, seconds: int) -> bool:
        return True

    async def renew(self, key: str, seconds: int) -> None:
        pass

    async def unmark(self, key: str) -> None:
        pass


def rehearse(
    graph: Graph,
    *,
    input: Any,
    variables: dict[str, Any],
    pins: Mapping[str, Any],
    workflow: dict[str, Any],
    company_id: int,
    seconds: float,
) -> Rehearsal:
    """Run a graph here and now. An effect without a pin gives its type's example, and nobody waits: not for a delay, not for a person."""
    job = Job(
        execution_id=REHEARSAL_ID,
        company_id=company_id,
        epoch=0,
        input=input,
        trigger={"input": input, "type": "test"},
        variables=variables,
        workflow=workflow,
        is_test=True,
        pins=pins,
        is_dry=True,
    )
    began = time.perf_counter()
    run = Run(job, graph, [], _Memory(), can_sleep=not graph.is_instant)
    if graph.is_instant:
        ending = drive(run.execute())
    else:
        ending = _carry(run, seconds)
    spent = (time.perf_counter() - began) * 1000
    return Rehearsal(ending, _mocked(run, graph, pins), spent)


def _carry(run: Run, seconds: float) -> Ending:
    async def execute() -> Ending:
        with egress.test_mode(True):
            return await run.execute()

    carried = asyncio.run_coroutine_threadsafe(
        asyncio.wait_for(execute(), seconds), engine_loop()
    )
    try:
        return carried.result()
    except (TimeoutError, concurrent.futures.TimeoutError):
        message = f"The test took longer than {seconds:g} seconds."
        error = {"code": "timeout", "message": message, "node_id": None}
        return Ending("failed", error=error)


def _mocked(run: Run, graph: Graph, pins: Mapping[str, Any]) -> list[str]:
    types = {node_id: graph.nodes[node_id].node for node_id in graph.nodes}
    return sorted(
        {
            step.node_id
            for step in run.take_unsaved()
            if step.status == "completed" and step.node_id not in pins
            if types[step.node_id].effect != "pure" or types[step.node_id].opens
        }
    )
