"""The list that a node works on: found in its config or its input, bounded in length and in time, its items read by paths."""

from collections.abc import Iterable, Iterator
from time import monotonic, thread_time
from typing import Any, Final, TypeVar

from workflows.nodes.base import Call, NodeError
from workflows.nodes.resolved import kind_of

MAX_ITEMS = 100_000
MAX_SECONDS = 1.0
MAX_DEPTH = 64
EXACT_INTEGERS = 2**53
MISSING: Final = object()
Item = TypeVar("Item")

ITEMS: dict[str, Any] = {
    "type": "array",
    "description": "The list to work on, such as `{{ input.orders }}`; without it, the node's input.",
}
FIELD: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 500,
    "description": "A dotted path into an item, such as `customer.city`.",
}


def items_of(call: Call) -> list[Any]:
    items = call.config.get("items", call.input)
    if not isinstance(items, list):
        raise NodeError(
            f"This node works on a list; {'`items`' if 'items' in call.config else 'its input'} is {kind_of(items)}.",
            code="invalid_input",
        )
    if len(items) > MAX_ITEMS:
        raise NodeError(
            f"The list has {len(items):,} items; at most {MAX_ITEMS:,} can be worked on at once.",
            code="over_limit",
        )
    return items


def bounded(items: Iterable[Item]) -> Iterator[Item]:
    """The items, as long as the processor time for all of them lasts: everything else on the loop waits meanwhile."""
    until, cpu_began = monotonic() + MAX_SECONDS, thread_time()
    for item in items:
        # The processor's clock is the slower one to read, and only a thread that had to wait differs.
        if monotonic() > until and thread_time() - cpu_began > MAX_SECONDS:
            raise NodeError(
                f"Working on the list takes more than {MAX_SECONDS:g} s. Split it first.",
                code="over_limit",
            )
        yield item


def path_of(field: str) -> list[str]:
    return [] if field == "." else field.split(".")


def dig(value: Any, path: list[str]) -> Any:
    """What stands at the path, places in lists being numbers; or MISSING."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key, MISSING)
        elif isinstance(value, list) and key.isdecimal() and len(key) < 10:
            value = value[int(key)] if int(key) < len(value) else MISSING
        else:
            return MISSING
    return value


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def identity(value: Any, depth: int = 0) -> Any:
    """Something hashable that is the same for values that are equal as JSON: 1 is 1.0, but not true."""
    if depth > MAX_DEPTH:
        raise NodeError("An item is nested too deeply.", code="invalid_input")
    match value:
        case bool() | str() | None:
            return type(value), value
        case int() | float():
            # Python's hashes of large whole numbers are easily made to collide.
            return float, value if abs(value) <= EXACT_INTEGERS else str(value)
        case list():
            return list, tuple(identity(item, depth + 1) for item in value)
        case dict():
            return dict, frozenset(
                (key, identity(item, depth + 1)) for key, item in value.items()
            )
    return MISSING


def order_kind(values: Iterable[Any], what: str) -> type | None:
    """The one kind that all values are of, so that they have an order: numbers, texts, or true and false."""
    kinds = {float if is_number(value) else type(value) for value in values}
    if not kinds:
        return None
    if len(kinds) > 1 or not kinds <= {float, str, bool}:
        found = sorted({kind_of(value) for value in values})
        raise NodeError(
            f"{what} must all be numbers, or all texts; there is {' and '.join(found)}.",
            code="invalid_input",
        )
    return kinds.pop()


def names_of_fields(fields: list[Any]) -> dict[str, str]:
    """A name in the output for each field: the end of its path, or the whole path where two would end alike."""
    ends = [field.rpartition(".")[2] for field in fields]
    return {
        field: end if ends.count(end) == 1 else field
        for field, end in zip(fields, ends, strict=True)
    }
