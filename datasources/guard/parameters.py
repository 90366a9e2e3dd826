"""Values for a query's parameters: they take their places in the parsed tree, so that no value is ever read as SQL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sqlglot import exp

NOT_GIVEN = "This query takes no parameters (?, $1, :name): write the values into it."
MAX_CHARACTERS = 100_000
MAX_LIST = 1_000


class BindingError(Exception):
    """A parameter and its value don't meet."""


def bind(tree: exp.Expr, parameters: Mapping[str, Any]) -> exp.Expr:
    """Each `$name`, or `:name`, becomes its value; in `IN ($names)` a list becomes its items. Raises BindingError."""
    used: set[str] = set()
    size = 0
    for place in list(tree.find_all(exp.Placeholder, exp.Parameter)):
        name = place.name
        if name not in parameters:
            raise BindingError(_unknown(name, parameters))
        if isinstance(place.parent, exp.Table):
            raise BindingError(f"${name} stands for a value, not for a table.")
        used.add(name)
        size += len(str(parameters[name]))
        if size > MAX_CHARACTERS:
            raise BindingError(
                f"The parameters' values have more than {MAX_CHARACTERS:,} characters."
            )
        _put(place, name, parameters[name])
    if unused := sorted(set(parameters) - used):
        raise BindingError(f"The query does not name the parameter ${unused[0]}.")
    return tree


def _unknown(name: str, parameters: Mapping[str, Any]) -> str:
    if name in {"", "?"}:
        return "Name each parameter: $customer, not ?."
    known = ", ".join(f"${each}" for each in parameters) or "none"
    return (
        f"The query names ${name}, and there is no such parameter. Given are: {known}."
    )


def _put(place: exp.Expr, name: str, value: Any) -> None:
    if not isinstance(value, list):
        place.replace(_literal(name, value))
        return
    if len(value) > MAX_LIST:
        raise BindingError(f"${name} may list at most {MAX_LIST:,} values.")
    items = [_literal(name, item) for item in value]
    outer = place.parent
    if isinstance(outer, exp.In) and place.arg_key == "expressions":
        others = [item for item in outer.expressions if item is not place]
        outer.set("expressions", [*others, *(items or [exp.Null()])])
    else:
        place.replace(exp.Array(expressions=items))


def _literal(name: str, value: Any) -> exp.Expr:
    match value:
        case None:
            return exp.Null()
        case bool():
            return exp.Boolean(this=value)
        case int() | float() if math.isfinite(value):
            number = exp.Literal.number(abs(value))
            return exp.Paren(this=exp.Neg(this=number)) if value < 0 else number
        case str() if "\0" not in value:
            return exp.Literal.string(value)
    raise BindingError(
        f"${name} must be a text, a number, true, false, null or a list of these."
    )
