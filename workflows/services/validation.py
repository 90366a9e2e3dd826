"""Whether a workflow could be saved, without saving it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from craft.exceptions import InvalidError
from workflows.engine.advice import Advice, advise
from workflows.services.workflows import (
    GRAPH_FIELDS,
    check_kind,
    check_status,
    compile_definition,
)

T = TypeVar("T")

MOST_FAULTS = 1_000


@dataclass
class Verdict:
    faults: dict[str, str] = field(default_factory=dict)
    warnings: list[Advice] = field(default_factory=list)


def judge(body: dict[str, Any], faults: dict[str, str], *, company_id: int) -> Verdict:
    """Of what `create_workflow` would be given. `faults`: those that were found in its form; the graph is looked into nevertheless."""
    verdict = Verdict(dict(faults))
    graph = {name: body[name] for name in GRAPH_FIELDS if name in body}
    if not isinstance(graph.get("variables"), dict):
        graph.pop("variables", None)
    is_pipeline = graph.get("steps") is not None
    _try(verdict, check_kind, graph)
    _try(verdict, check_status, body.get("status"), is_pipeline=is_pipeline)
    found = _try(
        verdict,
        compile_definition,
        graph,
        is_pipeline=is_pipeline,
        company_id=company_id,
    )
    if found and not is_pipeline:
        definition, compiled = found
        verdict.warnings = list(islice(advise(compiled, definition), MOST_FAULTS))
    verdict.faults = dict(islice(verdict.faults.items(), MOST_FAULTS))
    return verdict


def _try(
    verdict: Verdict, check: Callable[..., T], *given: Any, **named: Any
) -> T | None:
    """What is said of a place already goes before."""
    try:
        return check(*given, **named)
    except InvalidError as error:
        for path, sentence in error.details.items():
            verdict.faults.setdefault(path, str(sentence))
        return None
