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
    per_second: float | None


def measure(
    name: str,
    shape: str,
    finding: Callable[[list[Any]], str],
    executions: list[Any],
    since: float,
) -> Figures:
    """Latency is from the moment the trigger was accepted until the end; the rate, from the first trigger after `since` until the last end."""
    ended = [execution for execution in executions if execution["completed_at"]]
    spans = [
        (_time(execution["created_at"]), _time(execution["completed_at"]))
        for execution in ended
    ]
    completed = [execution for execution in ended if execution["status"] == "completed"]
    p50, p95 = _percentiles([max(0.0, end - start) * 1000 for start, end in spans])
    return Figures(
        name=name,
        shape=shape,
        finding=finding(completed),
        executions=len(executions),
        completed=len(completed),
        p50_ms=p50,
        p95_ms=p95,
        per_second=_rate([span for span in spans if span[0] >= since]),
    )


def _percentiles(latencies: list[float]) -> tuple[float, float]:
    if len(latencies) < 2:
        return 0.0, 0.0
    steps = quantiles(latencies, n=20, method="inclusive")
    return steps[9], steps[18]


def _rate(spans: list[tuple[float, float]]) -> float | None:
    """None where an interrupted demo had done it all before."""
    if not spans:
        return None
    whole = max(end for _, end in spans) - min(start for start, _ in spans)
    return len(spans) / max(whole, 0.001)


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
