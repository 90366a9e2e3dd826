"""What an owner says of how a workflow's executions are treated: how many run at once, how urgent they are, what they may take, how long they are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from craft.exceptions import InvalidError
from workflows.engine.expressions import ExpressionError, compile_value
from workflows.engine.lines import QUEUE, RULES

MAX_AT_ONCE = 1_000
MAX_PRIORITY = 10
MAX_DAYS = 3_650
MAX_KEY = 1_000

Fault = str


def merged(before: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Key by key; None takes one away. Raises InvalidError that names each fault."""
    settings = {
        name: value
        for name, value in {**before, **changes}.items()
        if value is not None
    }
    faults: dict[str, Fault] = {}
    for name, value in settings.items():
        check = CHECKS.get(name)
        found = (
            {"": f"Unknown. Known are: {', '.join(CHECKS)}."}
            if check is None
            else check(value)
        )
        for path, fault in found.items():
            faults[".".join(filter(None, ("settings", name, path)))] = fault
    if faults:
        path, fault = next(iter(faults.items()))
        raise InvalidError(f"{path}: {fault}", details=faults)
    return settings


def _of_concurrency(value: Any) -> dict[str, Fault]:
    faults = _fields(value, {"limit", "key", "rule"})
    if faults:
        return faults
    if not _is_whole(value.get("limit"), 1, MAX_AT_ONCE):
        faults["limit"] = f"Must be a whole number from 1 to {MAX_AT_ONCE}."
    if value.get("rule", QUEUE) not in RULES:
        faults["rule"] = f"Must be one of: {', '.join(RULES)}."
    key = value.get("key", "")
    if not isinstance(key, str) or len(key) > MAX_KEY:
        faults["key"] = f"Must be a text of up to {MAX_KEY} characters."
    else:
        try:
            compile_value(key)
        except ExpressionError as error:
            faults["key"] = str(error)
    return faults


def _of_priority(value: Any) -> dict[str, Fault]:
    is_fine = _is_whole(value, 0, MAX_PRIORITY)
    return {} if is_fine else {"": f"Must be a whole number from 0 to {MAX_PRIORITY}."}


def _of_budget(value: Any) -> dict[str, Fault]:
    faults = _fields(value, {"tokens", "cost", "seconds"})
    return faults or {
        name: "Must be a number above 0."
        for name, most in value.items()
        if isinstance(most, bool)
        or not isinstance(most, int | float)
        or not 0 < most < 1e15
    }


def _of_retention(value: Any) -> dict[str, Fault]:
    faults = _fields(value, {"days"})
    if not faults and not _is_whole(value.get("days"), 1, MAX_DAYS):
        faults["days"] = f"Must be a whole number from 1 to {MAX_DAYS}."
    return faults


def _fields(value: Any, known: set[str]) -> dict[str, Fault]:
    if not isinstance(value, dict):
        return {"": "Must be an object."}
    sentence = f"Unknown field. Known are: {', '.join(sorted(known))}."
    return dict.fromkeys(sorted(value.keys() - known), sentence)


def _is_whole(value: Any, lowest: int, highest: int) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and lowest <= value <= highest


CHECKS: dict[str, Callable[[Any], dict[str, Fault]]] = {
    "concurrency": _of_concurrency,
    "priority": _of_priority,
    "budget": _of_budget,
    "retention": _of_retention,
}
