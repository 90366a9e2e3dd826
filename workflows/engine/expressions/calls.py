"""The functions: what may be called by name. `coalesce` is the compiler's own, as it catches what is missing."""

from collections.abc import Callable
from typing import Any

from workflows.engine.expressions.bounds import Budget, ExpressionError
from workflows.engine.expressions.filters import lists, numbers, objects
from workflows.engine.expressions.functions import Function


def smallest(budget: Budget, *numbers: Any) -> Any:
    """The smallest of its arguments, or of one list."""
    return lists.smallest(budget, _listed("min", numbers))


def largest(budget: Budget, *numbers: Any) -> Any:
    """The largest of its arguments, or of one list."""
    return lists.largest(budget, _listed("max", numbers))


def _listed(name: str, values: tuple[Any, ...]) -> list[Any]:
    if len(values) != 1:
        return list(values)
    if type(values[0]) is not list:
        raise ExpressionError(f"{name} takes one list, or several values.")
    return values[0]


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": lists.length,
    "min": smallest,
    "max": largest,
    "sum": lists.total,
    "abs": numbers.absolute,
    "round": numbers.round_number,
    "range": lists.make_range,
    "int": numbers.to_int,
    "float": numbers.to_float,
    "str": objects.to_string,
    "bool": numbers.to_bool,
    "keys": objects.keys,
    "values": objects.members,
    "items": objects.items,
    "json": objects.tojson,
}

FUNCTIONS: dict[str, Function] = {
    name: Function(name, call, pays=name != "len") for name, call in _FUNCTIONS.items()
}
