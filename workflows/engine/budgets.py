"""What a run may take before it is stopped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from workflows.nodes.base import NodeError


def overrun(
    budget: Mapping[str, Any],
    usage: Mapping[str, Any],
    started_at: datetime | None,
    now: datetime,
) -> NodeError | None:
    """Tokens count both ways, money is in US dollars, time goes on while the execution waits."""
    taken = {
        "tokens": usage.get("input_tokens", 0) + usage.get("output_tokens", 0),
        "cost": usage.get("cost_micros", 0) / 1_000_000 + usage.get("cost", 0),
        "seconds": (now - started_at).total_seconds() if started_at else 0,
    }
    for name, most in budget.items():
        if taken[name] >= most:
            return NodeError(
                f"The execution has taken {taken[name]:.6g} {WORDS[name]}, and may take {most:g}.",
                code="budget_exceeded",
            )
    return None


WORDS = {"tokens": "tokens", "cost": "USD", "seconds": "seconds"}
