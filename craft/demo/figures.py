"""What came of a workflow's executions, computed from what the API says of them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from statistics import quantiles
from typing import Any


@dataclass(frozen=True)
class Figures:
    name: str
    shape: str
    finding: str
    executions: int
    completed: int
    p50_ms: float
    p95_ms: float
    per_second: float


def measure(
    name: str, shape: str, finding: Callable[[list[Any]], str], executions: list[Any]
) -> Figures:
    """Latency is from the moment the trigger was accepted until the end; the rate, from the first trigger until the last end."""
    ended = [execution for execution in executions if execution["completed_at"]]
    spans = [
        (_time(execution["created_at"]), _time(execution["completed_at"]))
        for execution in ended
    ]
    latencies = [max(0.0, end - start) * 1000 for start, end in spans] or [0.0, 0.0]
    whole = max((end for _, end in spans), default=0.0) - min(
        (start for start, _ in spans), default=0.0
    )
    steps = quantiles(latencies, n=20, method="inclusive")
    completed = [execution for execution in ended if execution["status"] == "completed"]
    return Figures(
        name=name,
        shape=shape,
        finding=finding(completed),
        executions=len(executions),
        completed=len(completed),
        p50_ms=steps[9],
        p95_ms=steps[18],
        per_second=len(ended) / whole if whole > 0 else 0.0,
    )


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
