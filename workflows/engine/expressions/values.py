"""JSON values: what kind they are, when two are equal, how they read as text.

Types are compared exactly: what is not one of the seven is not JSON, and never gets out.
"""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, Final

from workflows.engine.expressions.bounds import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_OUTPUT,
    Budget,
    ExpressionError,
    MissingError,
    too_large,
)

MISSING: Final = object()
NUMBERS: Final = frozenset({int, float})
VALUES_PER_STEP = 10
SCALARS: Final = frozenset({str, int, float, bool, type(None)})

_KINDS: Final[dict[type, str]] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}

Path = tuple[str | int, ...]


def kind(value: Any) -> str:
    return _KINDS.get(type(value), "no JSON value")


def is_number(value: Any) -> bool:
    """`true` is not a number."""
    return type(value) in NUMBERS


def sized_number(value: Any) -> Any:
    """The number, unless it has grown out of what JSON's readers can hold."""
    if type(value) is int:
        if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            raise ExpressionError("A number grows out of 64 bits.")
    elif type(value) is not float or not isfinite(value):
        raise ExpressionError("A number grows out of bounds.")
    return value


def equal(left: Any, right: Any, budget: Budget) -> bool:
    """As JSON has it: 1 is 1.0, but neither `true` nor "1"."""
    kinds = type(left), type(right)
    if kinds[0] in SCALARS or kinds[0] is not kinds[1]:
        return _equal_scalars(left, right)
    pending = [(left, right)]
    while pending:
        left, right = pending.pop()
        if type(left) is list and type(right) is list:
            if len(left) != len(right):
                return False
            budget.spend(len(left))
            pending.extend(zip(left, right, strict=True))
        elif type(left) is dict and type(right) is dict:
            if left.keys() != right.keys():
                return False
            budget.spend(len(left))
            pending.extend((left[key], right[key]) for key in left)
        elif not _equal_scalars(left, right):
            return False
    return True


def _equal_scalars(left: Any, right: Any) -> bool:
    if type(left) is type(right) or (is_number(left) and is_number(right)):
        return bool(left == right)
    return False


def contains(container: Any, item: Any, budget: Budget) -> bool:
    """An item in a list, a key in an object, a part of a string; anything else holds nothing."""
    if type(container) is list:
        budget.spend(len(container))
        return any(equal(member, item, budget) for member in container)
    if type(item) is not str:
        return False
    if type(container) is str:
        budget.spend_text(len(container))
        return item in container
    return type(container) is dict and item in container


def parse_path(path: str) -> Path:
    """`items.0.price`: a whole number is a place in a list, or the key of that name in an object."""
    return tuple(path.split("."))


def dig(value: Any, path: Path) -> Any:
    """What stands at a path, or MISSING."""
    for part in path:
        value = step(value, part)
        if value is MISSING:
            return MISSING
    return value


def step(value: Any, key: Any) -> Any:
    """One step into a value. This is all that `.` and `[ ]` can do: no attribute of an object is ever read."""
    container = type(value)
    if container is dict:
        return value.get(key if type(key) is str else _as_key(key), MISSING)
    if container is list or (container is str and type(key) is int):
        place = key if type(key) is int else _as_place(key)
        if place is not None and -len(value) <= place < len(value):
            return value[place]
    return MISSING


def _as_key(key: Any) -> Any:
    return str(key) if type(key) is int and abs(key) <= MAX_INTEGER else MISSING


def _as_place(key: Any) -> int | None:
    if type(key) is str and len(key) < 10 and key.isascii() and key.isdigit():
        return int(key)
    return None


def missing(path: str, value: Any) -> MissingError:
    """`path` was not found in `value`, which is what its last part was looked up in."""
    whole, _, _ = path.rpartition(".")
    whole = whole or "the value"
    if type(value) is dict:
        return MissingError(f"{path} is missing: {whole} has {_listed(value)}.")
    if type(value) is list:
        return MissingError(f"{path} is missing: {whole} has {len(value)} items.")
    return MissingError(f"{path} is missing: {whole} is {kind(value)}.")


def _listed(value: dict[str, Any]) -> str:
    if not value:
        return "no keys"
    keys = [f"'{key[:40]}'" for key in list(value)[:10]]
    more = f" and {len(value) - 10} more" if len(value) > 10 else ""
    return ", ".join(keys) + more


def measure(value: Any, budget: Budget, room: int = MAX_OUTPUT) -> int:
    """About how long the value is as JSON. Raises where it is longer than `room`, too deep, or not JSON."""
    size = 0
    depth = 0
    level = [value]
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ExpressionError(f"It nests deeper than {MAX_DEPTH} levels.")
        budget.spend(len(level) // VALUES_PER_STEP)
        below: list[Any] = []
        for item in level:
            size += _MEASURES.get(type(item), _refuse)(item, below)
            if size > room:
                raise too_large()
        level = below
    return size


def _measure_text(value: str, _: list[Any]) -> int:
    check_text(value)
    return len(value) + 2


def check_text(text: str) -> None:
    """Half a surrogate pair can be written in JSON, but not in UTF-8."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ExpressionError("A string holds a broken character.") from error


def _measure_list(value: list[Any], below: list[Any]) -> int:
    if len(value) <= MAX_OUTPUT:
        below.extend(value)
    return 2 + len(value)


def _measure_dict(value: dict[str, Any], below: list[Any]) -> int:
    if len(value) <= MAX_OUTPUT:
        below.extend(value.values())
    for key in value:
        if type(key) is not str:
            _refuse(key, below)
    return 2 + sum(len(key) + 4 for key in value)


def _measure_float(value: float, _: list[Any]) -> int:
    if not isfinite(value):
        raise ExpressionError("A number grows out of bounds.")
    return 18


def _refuse(value: Any, _: list[Any]) -> int:
    raise ExpressionError(f"A {type(value).__name__} is no JSON value.")


_MEASURES: Final[dict[type, Callable[[Any, list[Any]], int]]] = {
    str: _measure_text,
    int: lambda value, _: value.bit_length() // 3 + 1,
    bool: lambda value, _: 5,
    type(None): lambda value, _: 4,
    float: _measure_float,
    list: _measure_list,
    dict: _measure_dict,
}


def to_text(value: Any, budget: Budget) -> str:
    """A string as it is, all else as JSON."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    return to_json(value, budget)


def to_json(value: Any, budget: Budget, indent: int | None = None) -> str:
    size = measure(value, budget)
    budget.spend_text(size * (1 if indent is None else 2))
    text = json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        indent=indent,
        separators=(",", ":") if indent is None else None,
    )
    if len(text) > MAX_OUTPUT:
        raise too_large()
    return text


def from_json(text: str, budget: Budget) -> Any:
    budget.spend_text(len(text) * 2)
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ExpressionError("This is no valid JSON.") from error
    measure(value, budget)
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def join_texts(parts: list[str], separator: str = "") -> str:
    size = sum(map(len, parts)) + len(separator) * max(len(parts) - 1, 0)
    if size > MAX_OUTPUT:
        raise too_large()
    return separator.join(parts)


def copy(value: Any) -> Any:
    """Containers anew, so that whoever is given them may change them."""
    if type(value) is dict:
        return {key: copy(item) for key, item in value.items()}
    if type(value) is list:
        return [copy(item) for item in value]
    return value
