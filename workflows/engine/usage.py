"""Tokens and money, added up."""

from __future__ import annotations

from collections.abc import Iterable

from workflows.nodes.base import Usage


def added(total: Usage | None, more: Usage) -> Usage:
    """Both together. A call whose price nobody knows is counted among `unpriced_calls`, and adds no money."""
    total = total or {}
    cost = more.get("cost_micros")
    unpriced = more.get("unpriced_calls", int(cost is None))
    both = {
        name: total.get(name, 0) + (more.get(name) or 0)
        for name in ("input_tokens", "output_tokens", "cost_micros")
    }
    both["unpriced_calls"] = total.get("unpriced_calls", 0) + unpriced
    return both


def sum_of(usages: Iterable[Usage | None]) -> Usage:
    total: Usage = {}
    for usage in usages:
        if usage:
            total = added(total, usage)
    return total
