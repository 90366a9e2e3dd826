"""Arithmetic, comparison and slicing of JSON values, each bounded before it is done."""

from collections.abc import Callable
from typing import Any

from workflows.engine.expressions import predicates
from workflows.engine.expressions.bounds import (
    MAX_OUTPUT,
    Budget,
    ExpressionError,
    too_large,
)
from workflows.engine.expressions.values import contains, is_number, kind, sized_number

MAX_EXPONENT = 1_000


def add(left: Any, right: Any, budget: Budget) -> Any:
    """Numbers are added, strings and lists put one after the other."""
    if type(left) is type(right) is str:
        if len(left) + len(right) > MAX_OUTPUT:
            raise too_large()
        budget.spend_text(len(left) + len(right))
        return left + right
    if type(left) is type(right) is list:
        budget.spend(len(left) + len(right))
        return left + right
    _check("+", left, right)
    return sized_number(left + right)


def subtract(left: Any, right: Any, budget: Budget) -> Any:
    _check("-", left, right)
    return sized_number(left - right)


def multiply(left: Any, right: Any, budget: Budget) -> Any:
    _check("*", left, right)
    return sized_number(left * right)


def divide(left: Any, right: Any, budget: Budget) -> Any:
    _check_divisor("/", left, right)
    return sized_number(left / right)


def divide_whole(left: Any, right: Any, budget: Budget) -> Any:
    _check_divisor("//", left, right)
    return sized_number(left // right)


def remainder(left: Any, right: Any, budget: Budget) -> Any:
    _check_divisor("%", left, right)
    return sized_number(left % right)


def power(left: Any, right: Any, budget: Budget) -> Any:
    _check("**", left, right)
    if abs(right) > MAX_EXPONENT or (
        type(left) is type(right) is int and left.bit_length() * abs(right) > 10_000
    ):
        raise ExpressionError("A number grows out of bounds.")
    if left == 0 and right < 0:
        raise ExpressionError("Nothing can be divided by zero.")
    return sized_number(left**right)


def negate(value: Any) -> Any:
    if not is_number(value):
        raise ExpressionError(f"- takes a number, not {kind(value)}.")
    return -value


def confirm(value: Any) -> Any:
    if not is_number(value):
        raise ExpressionError(f"+ takes a number, not {kind(value)}.")
    return value


def _check(sign: str, left: Any, right: Any) -> None:
    if not (is_number(left) and is_number(right)):
        is_text = sign == "+" and str in {type(left), type(right)}
        hint = " Use ~ to join as text." if is_text else ""
        raise ExpressionError(
            f"{sign} can't be used on {kind(left)} and {kind(right)}.{hint}"
        )


def _check_divisor(sign: str, left: Any, right: Any) -> None:
    _check(sign, left, right)
    if right == 0:
        raise ExpressionError("Nothing can be divided by zero.")


def cut(value: Any, places: list[Any], budget: Budget) -> Any:
    """`value[start:stop:step]`."""
    if type(value) is not str and type(value) is not list:
        raise ExpressionError(f"A slice takes a string or a list, not {kind(value)}.")
    for place in places:
        if place is not None and type(place) is not int:
            raise ExpressionError(
                f"A slice is bounded by whole numbers, not {kind(place)}."
            )
    if places[2] == 0:
        raise ExpressionError("The step of a slice can't be 0.")
    piece = value[slice(*places)]
    budget.spend(1 + len(piece) // (100 if type(piece) is str else 1))
    return piece


def is_in(left: Any, right: Any, budget: Budget) -> bool:
    if type(right) not in {str, list, dict}:
        raise ExpressionError(
            f"in takes a string, a list or an object on its right, not {kind(right)}."
        )
    return contains(right, left, budget)


def is_not_in(left: Any, right: Any, budget: Budget) -> bool:
    return not is_in(left, right, budget)


def _operator(predicate: Callable[[Budget, Any, Any], bool]) -> Callable[..., bool]:
    return lambda left, right, budget: predicate(budget, left, right)


ARITHMETIC: dict[str, Callable[[Any, Any, Budget], Any]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "//": divide_whole,
    "%": remainder,
    "**": power,
}

COMPARISONS: dict[str, Callable[[Any, Any, Budget], bool]] = {
    "eq": _operator(predicates.eq),
    "ne": _operator(predicates.ne),
    "lt": _operator(predicates.lt),
    "lteq": _operator(predicates.le),
    "gt": _operator(predicates.gt),
    "gteq": _operator(predicates.ge),
    "in": is_in,
    "notin": is_not_in,
}
