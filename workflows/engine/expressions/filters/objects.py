"""Filters of objects, and of JSON as text."""

from collections.abc import Callable
from typing import Any

from workflows.engine.expressions import values
from workflows.engine.expressions.bounds import Budget, ExpressionError
from workflows.engine.expressions.values import MISSING


def keys(budget: Budget, value: dict[str, Any]) -> list[str]:
    """The keys of an object."""
    return list(value)


def members(budget: Budget, value: dict[str, Any]) -> list[Any]:
    """The values of an object."""
    return list(value.values())


def items(budget: Budget, value: dict[str, Any]) -> list[list[Any]]:
    """The pairs `[key, value]` of an object."""
    return [[key, item] for key, item in value.items()]


def from_items(budget: Budget, value: list[Any]) -> dict[str, Any]:
    """An object out of pairs `[key, value]`."""
    made: dict[str, Any] = {}
    for pair in value:
        if type(pair) is not list or len(pair) != 2 or type(pair[0]) is not str:
            raise ExpressionError("from_items takes a list of pairs [key, value].")
        made[pair[0]] = pair[1]
    return made


def pick(budget: Budget, value: dict[str, Any], *names: str | list[Any]) -> Any:
    """Only these keys."""
    wanted = _names(budget, names)
    return {key: item for key, item in value.items() if key in wanted}


def omit(budget: Budget, value: dict[str, Any], *names: str | list[Any]) -> Any:
    """All but these keys."""
    unwanted = _names(budget, names)
    return {key: item for key, item in value.items() if key not in unwanted}


def _names(budget: Budget, names: tuple[str | list[Any], ...]) -> set[str]:
    listed: set[str] = set()
    for name in names:
        budget.spend(len(name) if type(name) is list else 1)
        listed.update(
            [name]
            if type(name) is str
            else (item for item in name if type(item) is str)
        )
    return listed


def merge(budget: Budget, value: dict[str, Any], *others: dict[str, Any]) -> Any:
    """One object out of several; a later one's keys win."""
    merged = dict(value)
    for other in others:
        budget.spend(len(other))
        merged.update(other)
    return merged


def get(budget: Budget, value: Any, path: str, default: Any = None) -> Any:
    """What stands at a path like 'user.emails.0', or the `default`."""
    budget.spend_text(len(path))
    found = values.dig(value, values.parse_path(path))
    return default if found is MISSING else found


def tojson(budget: Budget, value: Any, indent: int | None = None) -> str:
    """As JSON text."""
    if indent is not None and not 0 <= indent <= 8:
        raise ExpressionError("tojson takes an indent of 0 to 8.")
    return values.to_json(value, budget, indent)


def fromjson(budget: Budget, value: str) -> Any:
    """The value that a JSON text holds."""
    return values.from_json(value, budget)


def to_string(budget: Budget, value: Any) -> str:
    """As text: a string as it is, all else as JSON."""
    return values.to_text(value, budget)


FILTERS: dict[str, Callable[..., Any]] = {
    "keys": keys,
    "values": members,
    "items": items,
    "from_items": from_items,
    "pick": pick,
    "omit": omit,
    "merge": merge,
    "get": get,
    "tojson": tojson,
    "fromjson": fromjson,
    "string": to_string,
}
