"""The filters, by name: what may stand after a `|`."""

from typing import Any

from workflows.engine.expressions.bounds import Budget, ExpressionError
from workflows.engine.expressions.filters import dates, lists, numbers, objects, texts
from workflows.engine.expressions.functions import Function, call_named
from workflows.engine.expressions.values import MISSING

_CONSTANT_TIME = frozenset({"length", "count", "first", "last", "get"})

FILTERS: dict[str, Function] = {
    name: Function(name, call, pays=name not in _CONSTANT_TIME)
    for module in (texts, numbers, lists, objects, dates)
    for name, call in module.FILTERS.items()
}


def apply(
    budget: Budget,
    value: list[Any],
    *filter_and_arguments: Any,
    attribute: str | None = None,
    default: Any = MISSING,
) -> list[Any]:
    """Each item's attribute, `map(attribute='price')`, or each item through a filter, `map('upper')`."""
    if attribute is not None:
        if filter_and_arguments:
            raise ExpressionError("map takes a filter or an attribute, not both.")
        return lists.attributes(budget, value, attribute, default)
    if not filter_and_arguments or type(filter_and_arguments[0]) is not str:
        raise ExpressionError("map takes attribute='…' or the name of a filter.")
    name, *arguments = filter_and_arguments
    return [
        call_named(FILTERS, "filter", name, budget, [item, *arguments], {})
        for item in budget.each(value)
    ]


FILTERS["map"] = Function("map", apply)
