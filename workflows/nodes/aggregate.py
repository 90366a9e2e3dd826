"""Sums a list up."""

from collections.abc import Callable
from math import fsum
from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import as_text
from workflows.nodes.items import (
    FIELD,
    ITEMS,
    MISSING,
    bounded,
    dig,
    identity,
    is_number,
    items_of,
    names_of_fields,
    order_kind,
    path_of,
)
from workflows.nodes.resolved import is_expression, kind_of, listing, mapping

MAX_FIELDS = 20
MAX_VALUES = 50
MAX_TEXT = 1_000_000
OPERATIONS = {
    "count": "how many items, or, with a field, how many have it",
    "count_distinct": "how many different values",
    "sum": "the numbers added up",
    "avg": "their mean",
    "min": "the smallest number, or the first text",
    "max": "the largest number, or the last text",
    "first": "the first value",
    "last": "the last value",
    "collect": "a list of all values",
    "join": "one text of all values",
}
VALUE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "op": {
            "enum": list(OPERATIONS),
            "description": "; ".join(f"{op}: {what}" for op, what in OPERATIONS.items())
            + ". What is missing or null is left out.",
        },
        "field": FIELD
        | {"description": "A dotted path into each item; without it, the item itself."},
        "separator": {
            "type": "string",
            "maxLength": 100,
            "default": ", ",
            "description": "For join: what stands between the values.",
        },
    },
    "required": ["op"],
    "additionalProperties": False,
}


class Aggregate(Node):
    type = "aggregate"
    family = "processing"
    summary = "Sums a list up: counts, sums, means and more, for all items or for each group of them."
    config_schema = {
        "type": "object",
        "properties": {
            "items": ITEMS,
            "group_by": {
                "type": "array",
                "items": FIELD,
                "minItems": 1,
                "maxItems": MAX_FIELDS,
                "description": "The fields whose values make the groups, as dotted paths. Without it there is one group, and the output is one object.",
            },
            "values": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": MAX_VALUES,
                "additionalProperties": VALUE,
                "description": "What to compute, by its name in the output.",
            },
        },
        "required": ["values"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "group_by": ["customer.country"],
            "values": {
                "orders": {"op": "count"},
                "total": {"op": "sum", "field": "total"},
            },
        },
        "input": [
            {"customer": {"country": "DE"}, "total": 20},
            {"customer": {"country": "FR"}, "total": 5},
            {"customer": {"country": "DE"}, "total": 10},
        ],
        "output": [
            {"country": "DE", "orders": 2, "total": 30},
            {"country": "FR", "orders": 1, "total": 5},
        ],
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        values, fields = config["values"], config.get("group_by", [])
        if not isinstance(values, dict):
            return {}
        names = names_of_fields(fields).values() if isinstance(fields, list) else ()
        faults = {
            f"values.{name}": "This is the name of a field of group_by."
            for name in values
            if name in names
        }
        for name, value in values.items():
            if (
                isinstance(value, dict)
                and "separator" in value
                and value["op"] != "join"
                and not is_expression(value["op"])
            ):
                faults[f"values.{name}.separator"] = "`separator` goes with join."
        return faults

    async def run(self, call: Call) -> Output:
        items = items_of(call)
        wanted = {
            name: _wanted(name, value)
            for name, value in mapping(call, "values").items()
        }
        if "group_by" not in call.config:
            return Output(_summed_up(items, wanted))
        fields = listing(call, "group_by")
        if not all(isinstance(field, str) for field in fields):
            raise NodeError("group_by takes paths.", code="invalid_config")
        names = names_of_fields(fields)
        paths = {names[field]: path_of(field) for field in fields}
        groups: dict[Any, tuple[dict[str, Any], list[Any]]] = {}
        for item in bounded(items):
            values = {name: _found(item, path) for name, path in paths.items()}
            key = tuple(identity(value) for value in values.values())
            groups.setdefault(key, (values, []))[1].append(item)
        return Output(
            [
                {**values, **_summed_up(members, wanted)}
                for values, members in bounded(groups.values())
            ]
        )


def _found(item: Any, path: list[str]) -> Any:
    value = dig(item, path)
    return None if value is MISSING else value


Wanted = tuple[Callable[[list[Any], str], Any], list[str] | None, str]


def _wanted(name: str, value: Any) -> Wanted:
    """The operation, the path (None for the item itself), the separator."""
    if not isinstance(value, dict) or value.get("op") not in OPERATIONS:
        raise NodeError(f"values.{name} needs an op.", code="invalid_config")
    field, separator = value.get("field"), value.get("separator", ", ")
    if not isinstance(field, str | None) or not isinstance(separator, str):
        raise NodeError(
            f"field and separator of values.{name} must be texts.",
            code="invalid_config",
        )
    return _COMPUTE[value["op"]], None if field is None else path_of(field), separator


def _summed_up(items: list[Any], wanted: dict[str, Wanted]) -> dict[str, Any]:
    summed = {}
    for name, (compute, path, separator) in wanted.items():
        values = (
            items if path is None else [_found(item, path) for item in bounded(items)]
        )
        try:
            summed[name] = compute(
                [value for value in values if value is not None], separator
            )
        except OverflowError:
            raise NodeError(f"{name} grows out of bounds.", code="over_limit") from None
        except NodeError as error:
            raise NodeError(f"{name}: {error.message}", code=error.code) from None
    return summed


def _numbers(values: list[Any]) -> list[Any]:
    for value in values:
        if not is_number(value):
            raise NodeError(
                f"only numbers can be added up; there is {kind_of(value)}.",
                code="invalid_input",
            )
    return values


def _sum(values: list[Any], separator: str) -> int | float:
    numbers = _numbers(values)
    total: int | float = (
        sum(numbers)
        if all(isinstance(number, int) for number in numbers)
        else fsum(numbers)
    )
    return total


def _mean(values: list[Any], separator: str) -> float | None:
    return _sum(values, separator) / len(values) if values else None


def _smallest(values: list[Any], separator: str) -> Any:
    order_kind(values, "The values")
    return min(values, default=None)


def _largest(values: list[Any], separator: str) -> Any:
    order_kind(values, "The values")
    return max(values, default=None)


def _join(values: list[Any], separator: str) -> str:
    texts = [as_text(value) for value in bounded(values)]
    if sum(map(len, texts)) + len(separator) * len(texts) > MAX_TEXT:
        raise NodeError(
            f"the text would be longer than {MAX_TEXT:,} characters.", code="over_limit"
        )
    return separator.join(texts)


_COMPUTE: dict[str, Callable[[list[Any], str], Any]] = {
    "count": lambda values, separator: len(values),
    "count_distinct": lambda values, separator: len(
        {identity(value) for value in bounded(values)}
    ),
    "sum": _sum,
    "avg": _mean,
    "min": _smallest,
    "max": _largest,
    "first": lambda values, separator: values[0] if values else None,
    "last": lambda values, separator: values[-1] if values else None,
    "collect": lambda values, separator: values,
    "join": _join,
}
