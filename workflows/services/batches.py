"""Many inputs for one workflow, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from django.utils import timezone

from accounts.models import Company, User
from craft import rows
from craft.fields import new_id
from workflows.engine import journal, lines, slices
from workflows.engine.graph import Graph
from workflows.models import Execution, Workflow
from workflows.services.executions import build_execution, doorbell, insert

MAX_INPUTS = 1_000
COMMITTED_TOGETHER = 250
"""So that nobody who writes waits long for a large batch."""


def start_batch(
    *,
    workflow: Workflow,
    company: Company,
    user: User | None,
    inputs: Sequence[Any],
    idempotency_key: str | None = None,
) -> list[Execution]:
    """An execution for each input, in their order. Where nothing in the workflow waits or reaches outside, they are over when this returns, and otherwise
    they are queued: stored either way, and each will reach an end.

    The same `idempotency_key` again gives the executions that it made the first time, and makes what was not made then.
    """
    build = partial(
        build_execution,
        workflow=workflow,
        company=company,
        user=user,
        trigger={"type": "batch"},
    )
    stands_in_line = bool(lines.concurrency_of(workflow))
    if stands_in_line:  # each in its own
        made = [build(input=input) for input in inputs]
    else:
        first = build(input=None)
        made = [_like(first, input) for input in inputs]
    if idempotency_key:
        for place, each in enumerate(made):
            each.idempotency_key = f"{idempotency_key}:{place}"
    found = _made_before(company, made) if idempotency_key else {}
    new = [each for each in made if each.idempotency_key not in found]
    graph = journal.graph_of(made[0].version) if made else None
    if graph is not None and graph.is_instant and not stands_in_line:
        _run_all(new, graph)
    else:
        insert(new)
        doorbell.ring_on_commit()
    return [found.get(str(each.idempotency_key), each) for each in made]


def _like(first: Execution, input: Any) -> Execution:
    """Another one."""
    fresh = {"id": new_id("exec"), "input": input, "logs": [], "usage": {}}
    made = rows.bare(Execution, {**first.__dict__, **fresh})
    made._state.fields_cache = {**first._state.fields_cache}
    return made


def _made_before(company: Company, made: Sequence[Execution]) -> dict[str, Execution]:
    keys = [each.idempotency_key for each in made]
    own = Execution.objects.for_company(company).filter(idempotency_key__in=keys)
    return {str(each.idempotency_key): each for each in own}


def _run_all(executions: Sequence[Execution], graph: Graph) -> None:
    """Nothing outside is touched, so nobody misses one whose process dies before its commit: the caller had no answer."""
    for first in range(0, len(executions), COMMITTED_TOGETHER):
        now = timezone.now()
        writes = []
        for execution in executions[first : first + COMMITTED_TOGETHER]:
            execution.begin_here(now)
            writes.append(slices.run_instantly(execution, graph, [], is_new=True))
        journal.commit(writes)
