"""The tests: what may stand after `is`, and be named in select, reject, selectattr and rejectattr."""

import operator
from collections.abc import Callable
from typing import Any

from workflows.engine.expressions import patterns, values
from workflows.engine.expressions.bounds import Budget, ExpressionError
from workflows.engine.expressions.functions import Function
from workflows.engine.expressions.values import is_number, kind


def compare(
    compared: Callable[[Any, Any], bool], left: Any, right: Any, budget: Budget
) -> bool:
    """Numbers with numbers and strings with strings: nothing else has an order."""
    if (is_number(left) and is_number(right)) or type(left) is type(right) is str:
        return compared(left, right)
    raise ExpressionError(
        f"{kind(left).capitalize()} can't be compared with {kind(right)}."
    )


def eq(budget: Budget, value: Any, other: Any) -> bool:
    return values.equal(value, other, budget)


def ne(budget: Budget, value: Any, other: Any) -> bool:
    return not values.equal(value, other, budget)


def lt(budget: Budget, value: Any, other: Any) -> bool:
    return compare(operator.lt, value, other, budget)


def le(budget: Budget, value: Any, other: Any) -> bool:
    return compare(operator.le, value, other, budget)


def gt(budget: Budget, value: Any, other: Any) -> bool:
    return compare(operator.gt, value, other, budget)


def ge(budget: Budget, value: Any, other: Any) -> bool:
    return compare(operator.ge, value, other, budget)


def defined(budget: Budget, value: Any) -> bool:
    """Whether it is there at all. (A missing value never gets here.)"""
    return True


def undefined(budget: Budget, value: Any) -> bool:
    """Whether it is missing."""
    return False


def none(budget: Budget, value: Any) -> bool:
    return value is None


def boolean(budget: Budget, value: Any) -> bool:
    return type(value) is bool


def true(budget: Budget, value: Any) -> bool:
    return value is True


def false(budget: Budget, value: Any) -> bool:
    return value is False


def number(budget: Budget, value: Any) -> bool:
    return is_number(value)


def integer(budget: Budget, value: Any) -> bool:
    return type(value) is int


def fraction(budget: Budget, value: Any) -> bool:
    return type(value) is float


def string(budget: Budget, value: Any) -> bool:
    return type(value) is str


def mapping(budget: Budget, value: Any) -> bool:
    return type(value) is dict


def sequence(budget: Budget, value: Any) -> bool:
    return type(value) is list


def empty(budget: Budget, value: Any) -> bool:
    return value is None or (type(value) in {str, list, dict} and not value)


def even(budget: Budget, value: int) -> bool:
    return value % 2 == 0


def odd(budget: Budget, value: int) -> bool:
    return value % 2 == 1


def divisibleby(budget: Budget, value: int, number: int) -> bool:
    if number == 0:
        raise ExpressionError("Nothing can be divided by zero.")
    return value % number == 0


def in_(budget: Budget, value: Any, container: Any) -> bool:
    return values.contains(container, value, budget)


def contains(budget: Budget, value: Any, item: Any) -> bool:
    return values.contains(value, item, budget)


def startswith(budget: Budget, value: str, prefix: str) -> bool:
    return value.startswith(prefix)


def endswith(budget: Budget, value: str, suffix: str) -> bool:
    return value.endswith(suffix)


def matches(budget: Budget, value: str, pattern: str) -> bool:
    return patterns.search(pattern, value, budget)


_PREDICATES: dict[str, Callable[..., bool]] = {
    "defined": defined,
    "undefined": undefined,
    "none": none,
    "null": none,
    "boolean": boolean,
    "true": true,
    "false": false,
    "number": number,
    "integer": integer,
    "float": fraction,
    "string": string,
    "mapping": mapping,
    "object": mapping,
    "sequence": sequence,
    "list": sequence,
    "empty": empty,
    "even": even,
    "odd": odd,
    "divisibleby": divisibleby,
    "in": in_,
    "contains": contains,
    "startswith": startswith,
    "endswith": endswith,
    "matches": matches,
    "eq": eq,
    "equalto": eq,
    "ne": ne,
    "lt": lt,
    "le": le,
    "lte": le,
    "gt": gt,
    "ge": ge,
    "gte": ge,
}

PREDICATES: dict[str, Function] = {
    name: Function(name, call, pays=False) for name, call in _PREDICATES.items()
}
