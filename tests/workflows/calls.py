"""Runs one node as the engine would, without an engine: config resolved, conditions compiled, everything else as given."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from integrations.models import TYPES, Opened
from workflows.engine.conditions import compile_conditions
from workflows.engine.expressions import compile_value, render
from workflows.engine.graph import GraphError, compile_graph
from workflows.nodes import NODES
from workflows.nodes.base import NodeError, Outcome, Output, Signal

EXECUTION_ID = "exec_example"
CATALOGUE = {kind: node() for kind, node in NODES.items()}


@dataclass
class NodeCall:
    config: dict[str, Any]
    input: Any = None
    inputs: dict[str, Any] = field(default_factory=dict)
    leaving: frozenset[str] = frozenset({"main"})
    idempotency_key: str = f"{EXECUTION_ID}:node:"
    attempt: int = 1
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    company_id: int = 1
    is_dry: bool = False
    workflow_id: str = "wf_example"
    node_id: str = "node"
    depth: int = 0
    answer: dict[str, Any] | None = None
    signals: dict[str, Any] = field(default_factory=dict)
    execution_id: str = EXECUTION_ID
    scope: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    credentials: dict[str, Opened] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)

    def signal(self, name: str) -> Signal | None:
        if name not in self.signals:
            return None
        return Signal("sig_1", name, self.signals[name], datetime.now(UTC))

    def evaluate(self, value: Any, **names: Any) -> Any:
        return compile_value(value).resolve({**self.scope, **names})

    def render(self, text: str, escape: Callable[[str], str], **names: Any) -> str:
        return render(text, {**self.scope, **names}, escape)

    def matches(
        self, conditions: list[dict[str, Any]], combine: str = "all", *, data: Any = ...
    ) -> bool:
        subject = self.input if data is ... else data
        return compile_conditions(conditions, combine)(subject, self.scope)

    def matcher(
        self, conditions: list[dict[str, Any]], combine: str = "all"
    ) -> Callable[..., bool]:
        check = compile_conditions(conditions, combine)
        return lambda value, **names: check(value, {**self.scope, **names})

    def log(self, message: str, **data: Any) -> None:
        self.lines.append(message)

    def credential(self, field: str = "credential") -> Opened | None:
        word = self.config.get(field)
        return self.credentials[word] if word else None

    def hide(self, text: str) -> None:
        self.hidden.append(text)

    def redact(self, text: str) -> str:
        return text


def run(
    type: str, config: dict[str, Any] | None = None, input: Any = None, **given: Any
) -> Outcome:
    node = NODES[type]()
    scope = {"input": input, **given.pop("scope", {})}
    resolved = {
        name: value if name in node.raw_fields else compile_value(value).resolve(scope)
        for name, value in (config or {}).items()
    }
    given.setdefault("inputs", {"before": input})
    return asyncio.run(
        node.run(NodeCall(resolved, input, scope=scope, **given))  # type: ignore[arg-type]
    )


def output_of(
    type: str, config: dict[str, Any] | None = None, input: Any = None, **given: Any
) -> Any:
    outcome = run(type, config, input, **given)
    assert isinstance(outcome, Output), outcome
    return outcome.value


def handles_of(
    type: str, config: dict[str, Any] | None = None, input: Any = None, **given: Any
) -> tuple[str, ...]:
    outcome = run(type, config, input, **given)
    assert isinstance(outcome, Output), outcome
    return outcome.handles


def faults_of(type: str, config: dict) -> dict[str, str]:
    """All faults of a graph of this one node, by their paths within its config."""
    try:
        compile_graph(
            {"nodes": [{"id": "n", "type": type, "config": config}], "edges": []},
            CATALOGUE,
        )
    except GraphError as error:
        return {
            path.removeprefix("nodes.0.config.").removeprefix("nodes.0."): sentence
            for path, sentence in error.faults.items()
        }
    return {}


def error_of(
    type: str, config: dict | None = None, input: Any = None, **given: Any
) -> NodeError:
    with pytest.raises(NodeError) as caught:
        run(type, config, input, **given)
    return caught.value


def opened(type: str, **fields: Any) -> dict[str, Opened]:
    """A credential named `account`, as `run(…, credentials=…)` takes it."""
    known = {**TYPES[type].defaults, **fields}
    return {"account": Opened("cred_1", "account", type, known, f"{type}:{fields}")}
