"""Conditions as data: `{"field": "customer.tier", "op": "in", "value": ["gold", "silver"]}`.

`field` is a dotted path into the data, with list places as numbers (`items.0.price`); `.` is the data itself; an expression (`{{ nodes.fetch.total }}`)
stands for its value. `value` may hold expressions anywhere. Values are compared as JSON has them and never coerced: numbers with numbers, strings with
strings. Unlike types are unequal and in no order, so that a comparison of "8" with 8 is false, and not an error. A field that is missing, or whose
expression finds nothing, makes every condition false but `not_exists`, `ne`, `not_in`, `not_contains` and `empty`.
"""

import operator
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from json import dumps, loads
from typing import Any, Final

from workflows.engine.expressions import (
    ExpressionError,
    MissingError,
    Value,
    compile_value,
)
from workflows.engine.expressions.bounds import Budget
from workflows.engine.expressions.patterns import check_pattern, search
from workflows.engine.expressions.values import (
    MISSING,
    contains,
    dig,
    equal,
    is_number,
    parse_path,
)

Conditions = list[dict[str, Any]]
Check = Callable[[Any, Mapping[str, Any]], bool]
Holds = Callable[[Any, Any, Budget], bool]

CONDITION_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "field": {"type": "string", "minLength": 1},
        "op": {"type": "string"},
        "value": {},
    },
    "required": ["field", "op"],
    "additionalProperties": False,
}


def _ordered(compare: Callable[[Any, Any], bool]) -> Holds:
    def holds(found: Any, value: Any, budget: Budget) -> bool:
        return _comparable(found, value) and compare(found, value)

    return holds


def _comparable(left: Any, right: Any) -> bool:
    return (is_number(left) and is_number(right)) or type(left) is type(right) is str


def _between(found: Any, value: Any, budget: Budget) -> bool:
    if type(value) is not list or len(value) != 2:
        return False
    low, high = value
    return _comparable(found, low) and _comparable(found, high) and low <= found <= high


def _starts_with(found: Any, value: Any, budget: Budget) -> bool:
    return type(found) is type(value) is str and found.startswith(value)


def _ends_with(found: Any, value: Any, budget: Budget) -> bool:
    return type(found) is type(value) is str and found.endswith(value)


def _matches(found: Any, value: Any, budget: Budget) -> bool:
    return type(found) is type(value) is str and search(value, found, budget)


def _is_in(found: Any, value: Any, budget: Budget) -> bool:
    return contains(value, found, budget)


def _empty(found: Any, value: Any, budget: Budget) -> bool:
    return found is None or (type(found) in {str, list, dict} and not found)


def _not(holds: Holds) -> Holds:
    return lambda found, value, budget: not holds(found, value, budget)


def _always(found: Any, value: Any, budget: Budget) -> bool:
    return True


OPS: Final[dict[str, Holds]] = {
    "eq": equal,
    "ne": _not(equal),
    "gt": _ordered(operator.gt),
    "gte": _ordered(operator.ge),
    "lt": _ordered(operator.lt),
    "lte": _ordered(operator.le),
    "in": _is_in,
    "not_in": _not(_is_in),
    "contains": contains,
    "not_contains": _not(contains),
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "matches": _matches,
    "exists": _always,
    "not_exists": _not(_always),
    "empty": _empty,
    "between": _between,
}
_WITHOUT_VALUE: Final = frozenset({"exists", "not_exists", "empty"})
_TRUE_WHEN_MISSING: Final = frozenset(
    {"not_exists", "ne", "not_in", "not_contains", "empty"}
)
_STRING_VALUES: Final = frozenset({"starts_with", "ends_with", "matches"})
_ORDERED_VALUES: Final = frozenset({"gt", "gte", "lt", "lte"})


def check_conditions(conditions: Any, path: str) -> dict[str, str]:
    """Every fault, by its path: `conditions.0.op`."""
    if type(conditions) is not list:
        return {path: "Must be a list of conditions."}
    faults: dict[str, str] = {}
    for place, condition in enumerate(conditions):
        faults.update(_check_condition(condition, f"{path}.{place}"))
    return faults


def _check_condition(condition: Any, path: str) -> dict[str, str]:
    if type(condition) is not dict:
        return {path: "Must be an object with field, op and value."}
    faults = {
        f"{path}.{key}": "Unknown field. Known are: field, op, value."
        for key in condition
        if key not in {"field", "op", "value"}
    }
    faults.update(_check_field(condition, f"{path}.field"))
    faults.update(_check_op(condition, path))
    return faults


def _check_field(condition: dict[str, Any], path: str) -> dict[str, str]:
    if "field" not in condition:
        return {path: "This field is required."}
    field = condition["field"]
    if type(field) is not str or not field:
        return {path: "Must be a path such as 'customer.tier'."}
    return _check_expressions(field, path)


def _check_op(condition: dict[str, Any], path: str) -> dict[str, str]:
    if "op" not in condition:
        return {f"{path}.op": f"This field is required: one of {', '.join(OPS)}."}
    op = condition["op"]
    if type(op) is not str or op not in OPS:
        close = get_close_matches(str(op)[:40], OPS, 1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        return {
            f"{path}.op": f"Unknown op '{str(op)[:40]}'.{hint} Known are: {', '.join(OPS)}."
        }
    if op in _WITHOUT_VALUE:
        if condition.get("value") is not None:
            return {f"{path}.value": f"{op} takes no value."}
        return {}
    if "value" not in condition:
        return {f"{path}.value": f"{op} needs a value."}
    value = condition["value"]
    return _check_expressions(value, f"{path}.value") or _check_value(
        op, value, f"{path}.value"
    )


def _check_expressions(value: Any, path: str) -> dict[str, str]:
    try:
        compile_value(value)
    except ExpressionError as error:
        where = ".".join([path, *(str(part) for part in error.path)])
        return {where: error.reason}
    return {}


def _check_value(op: str, value: Any, path: str) -> dict[str, str]:
    if type(value) is str and "{{" in value:
        return {}
    if op in {"in", "not_in"} and type(value) is not list:
        return {path: f"{op} takes a list."}
    if op == "between" and (type(value) is not list or len(value) != 2):
        return {path: "between takes a list of two: the least and the most."}
    if op in _STRING_VALUES and type(value) is not str:
        return {path: f"{op} takes a string."}
    if op in _ORDERED_VALUES and type(value) is not str and not is_number(value):
        return {path: f"{op} takes a number or a string."}
    if op == "matches":
        try:
            check_pattern(value)
        except ExpressionError as error:
            return {path: error.reason}
    return {}


def compile_conditions(conditions: Conditions, combine: str = "all") -> Check:
    """Conditions that `check_conditions` has passed. None at all hold for `all`, and don't for `any`."""
    return _compile_cached(dumps(conditions), combine)


@lru_cache(maxsize=2_048)
def _compile_cached(conditions: str, combine: str) -> Check:
    return _compile(loads(conditions), combine)


def _compile(conditions: Conditions, combine: str) -> Check:
    checks = [_compile_condition(condition) for condition in conditions]
    joined = all if combine == "all" else any

    def check(data: Any, scope: Mapping[str, Any]) -> bool:
        budget = Budget()
        try:
            return joined(holds(data, scope, budget) for holds in checks)
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise ExpressionError("The conditions can't be computed.") from error

    return check


def _compile_condition(
    condition: dict[str, Any],
) -> Callable[[Any, Mapping[str, Any], Budget], bool]:
    op = condition["op"]
    holds = OPS[op]
    when_missing = op in _TRUE_WHEN_MISSING
    find = _compile_field(condition["field"])
    value = compile_value(condition.get("value"))
    constant = value.constant

    def check(data: Any, scope: Mapping[str, Any], budget: Budget) -> bool:
        found = find(data, scope, budget)
        if found is MISSING:
            return when_missing
        wanted = constant if value.is_constant else value.evaluate(scope, budget)
        return holds(found, wanted, budget)

    return check


def _compile_field(field: str) -> Callable[[Any, Mapping[str, Any], Budget], Any]:
    if "{{" in field:
        return _expression_field(compile_value(field))
    if field == ".":
        return lambda data, scope, budget: data
    path = parse_path(field)
    return lambda data, scope, budget: dig(data, path)


def _expression_field(
    value: Value,
) -> Callable[[Any, Mapping[str, Any], Budget], Any]:
    def find(data: Any, scope: Mapping[str, Any], budget: Budget) -> Any:
        try:
            return value.evaluate(scope, budget)
        except MissingError:
            return MISSING

    return find
