"""Filters of lists. Where one takes an `attribute`, it is a path into each item: 'price', 'user.emails.0'."""

from collections.abc import Callable
from typing import Any

from workflows.engine.expressions import values
from workflows.engine.expressions.bounds import (
    MAX_INTEGER,
    MAX_STEPS,
    Budget,
    ExpressionError,
    MissingError,
)
from workflows.engine.expressions.functions import call_named
from workflows.engine.expressions.predicates import PREDICATES
from workflows.engine.expressions.values import MISSING, dig, is_number, parse_path


def length(budget: Budget, value: str | list[Any] | dict[str, Any]) -> int:
    """How many characters, items or keys."""
    return len(value)


def first(budget: Budget, value: str | list[Any]) -> Any:
    """The first item, or null."""
    return value[0] if value else None


def last(budget: Budget, value: str | list[Any]) -> Any:
    """The last item, or null."""
    return value[-1] if value else None


def to_list(budget: Budget, value: str | list[Any] | dict[str, Any]) -> list[Any]:
    """A list as it is; the characters of a string, the keys of an object."""
    return list(value)


def reverse(budget: Budget, value: str | list[Any]) -> Any:
    """Back to front."""
    return value[::-1]


def join(
    budget: Budget, value: list[Any], separator: str = "", attribute: str | None = None
) -> str:
    """One string out of all items, each as text."""
    items = attributes(budget, value, attribute)
    return values.join_texts(
        [values.to_text(item, budget) for item in budget.each(items)], separator
    )


def sort(
    budget: Budget,
    value: list[Any],
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: str | None = None,
) -> list[Any]:
    """In order: numbers, or strings. Null and what lacks the attribute come last."""
    budget.spend(len(value) * 2)
    known: list[tuple[Any, Any]] = []
    unknown: list[Any] = []
    for item in budget.each(value):
        key = item if attribute is None else dig(item, parse_path(attribute))
        if key is MISSING or key is None:
            unknown.append(item)
        else:
            known.append((key, item))
    _check_order("sort", [key for key, _ in known])
    if known and type(known[0][0]) is str and not case_sensitive:
        budget.spend_text(sum(len(key) for key, _ in known))
        known = [(key.lower(), item) for key, item in known]
    known.sort(key=lambda pair: pair[0], reverse=reverse)
    return [item for _, item in known] + unknown


def _check_order(name: str, keys: list[Any]) -> None:
    kinds = {float if is_number(key) else type(key) for key in keys}
    if len(kinds) > 1 or not kinds <= {float, str}:
        found = sorted({values.kind(key) for key in keys})
        raise ExpressionError(
            f"{name} takes numbers or strings, not {' and '.join(found)}."
        )


def smallest(budget: Budget, value: list[Any], attribute: str | None = None) -> Any:
    """The smallest number, or the first string; null of an empty list."""
    items = attributes(budget, value, attribute)
    _check_order("min", items)
    return min(items, default=None)


def largest(budget: Budget, value: list[Any], attribute: str | None = None) -> Any:
    """The largest number, or the last string; null of an empty list."""
    items = attributes(budget, value, attribute)
    _check_order("max", items)
    return max(items, default=None)


def total(
    budget: Budget, value: list[Any], attribute: str | None = None, start: float = 0
) -> Any:
    """The numbers added up."""
    return sum(_numbers("sum", budget, value, attribute), start)


def average(budget: Budget, value: list[Any], attribute: str | None = None) -> Any:
    """The mean of the numbers; null of an empty list."""
    numbers = _numbers("average", budget, value, attribute)
    return sum(numbers) / len(numbers) if numbers else None


def _numbers(
    name: str, budget: Budget, value: list[Any], attribute: str | None
) -> list[Any]:
    items = attributes(budget, value, attribute)
    for item in items:
        if not is_number(item):
            raise ExpressionError(f"{name} takes numbers, not {values.kind(item)}.")
    return items


def unique(budget: Budget, value: list[Any], attribute: str | None = None) -> list[Any]:
    """Each item once, or the first with each value of the attribute."""
    seen: set[Any] = set()
    kept: list[Any] = []
    for item in budget.each(value):
        key = item if attribute is None else dig(item, parse_path(attribute))
        identity = _identity(budget, None if key is MISSING else key)
        if identity not in seen:
            seen.add(identity)
            kept.append(item)
    return kept


def _identity(budget: Budget, value: Any) -> Any:
    """Something hashable that is the same for equal values."""
    if is_number(value):
        # Large integers of one hash are easily made, and would fill one place of the set.
        return (float, value if abs(value) <= MAX_INTEGER else repr(value))
    if type(value) in values.SCALARS:
        return (type(value), value)
    if type(value) is list:
        budget.spend(len(value))
        return (list, tuple([_identity(budget, item) for item in value]))
    budget.spend(len(value))
    return (dict, frozenset((key, _identity(budget, value[key])) for key in value))


def pluck(
    budget: Budget, value: list[Any], attribute: str, default: Any = None
) -> list[Any]:
    """Each item's attribute; the `default` where it is missing."""
    return attributes(budget, value, attribute, default)


def attributes(
    budget: Budget, value: list[Any], attribute: str | None, default: Any = MISSING
) -> list[Any]:
    if attribute is None:
        return value
    path = parse_path(attribute)
    budget.spend(len(value) * len(path))
    found = [dig(item, path) for item in budget.each(value)]
    for place, item in enumerate(found):
        if item is MISSING:
            if default is MISSING:
                raise MissingError(f"{attribute} is missing in item {place}.")
            found[place] = default
    return found


def select(budget: Budget, value: list[Any], *test: Any) -> list[Any]:
    """The items that pass the test, `select('gt', 3)`; without one, those that are not empty, zero, false or null."""
    return [item for item in budget.each(value) if _passes(budget, item, test)]


def reject(budget: Budget, value: list[Any], *test: Any) -> list[Any]:
    """The items that `select` leaves out."""
    return [item for item in budget.each(value) if not _passes(budget, item, test)]


def selectattr(
    budget: Budget, value: list[Any], attribute: str, *test: Any
) -> list[Any]:
    """The items whose attribute passes the test, `selectattr('age', 'gte', 18)`. A missing attribute passes only `undefined`."""
    path = parse_path(attribute)
    return [
        item for item in budget.each(value) if _passes(budget, dig(item, path), test)
    ]


def rejectattr(
    budget: Budget, value: list[Any], attribute: str, *test: Any
) -> list[Any]:
    """The items that `selectattr` leaves out."""
    path = parse_path(attribute)
    return [
        item
        for item in budget.each(value)
        if not _passes(budget, dig(item, path), test)
    ]


def _passes(budget: Budget, item: Any, test: tuple[Any, ...]) -> bool:
    if item is MISSING:
        return bool(test) and test[0] == "undefined"
    if not test:
        return bool(item)
    name, *arguments = test
    if type(name) is not str:
        raise ExpressionError("A test is named by a string.")
    return bool(call_named(PREDICATES, "test", name, budget, [item, *arguments], {}))


def flatten(budget: Budget, value: list[Any], levels: int = 1) -> list[Any]:
    """Lists within the list are laid open, so many levels deep."""
    flat = value
    for _ in range(max(0, min(levels, 20))):
        if not any(type(item) is list for item in flat):
            break
        opened: list[Any] = []
        for item in budget.each(flat):
            inner = item if type(item) is list else [item]
            budget.spend(len(inner))
            opened.extend(inner)
        flat = opened
    return flat


def group_by(budget: Budget, value: list[Any], attribute: str) -> dict[str, list[Any]]:
    """An object of lists: under each value of the attribute, as text, the items that have it."""
    groups: dict[str, list[Any]] = {}
    for item, key in zip(
        value, attributes(budget, value, attribute, None), strict=True
    ):
        groups.setdefault(values.to_text(key, budget), []).append(item)
    return groups


def batch(budget: Budget, value: list[Any], size: int) -> list[list[Any]]:
    """Lists of so many items; the last may be shorter."""
    if size < 1:
        raise ExpressionError("batch takes a size of 1 or more.")
    return [value[place : place + size] for place in range(0, len(value), size)]


def compact(budget: Budget, value: list[Any]) -> list[Any]:
    """Without null, and without empty strings, lists and objects."""
    return [
        item
        for item in value
        if item is not None and (type(item) not in {str, list, dict} or item)
    ]


def index_of(budget: Budget, value: list[Any], item: Any) -> int:
    """Where the item stands first, counted from 0; -1 where it is not."""
    for place, member in enumerate(budget.each(value)):
        if values.equal(member, item, budget):
            return place
    return -1


def zip_with(budget: Budget, value: list[Any], other: list[Any]) -> list[list[Any]]:
    """Pairs of the two lists' items, as far as the shorter one goes."""
    return [[left, right] for left, right in zip(value, other, strict=False)]


def make_range(
    budget: Budget, start: int, stop: int | None = None, step: int = 1
) -> list[int]:
    first, end = (0, start) if stop is None else (start, stop)
    if step == 0:
        raise ExpressionError("range takes a step that is not 0.")
    numbers = range(first, end, step)
    if (end - first) // step > MAX_STEPS:
        raise ExpressionError(f"range makes at most {MAX_STEPS:,} numbers.")
    budget.spend(len(numbers))
    return list(numbers)


FILTERS: dict[str, Callable[..., Any]] = {
    "length": length,
    "count": length,
    "first": first,
    "last": last,
    "reverse": reverse,
    "list": to_list,
    "join": join,
    "sort": sort,
    "min": smallest,
    "max": largest,
    "sum": total,
    "average": average,
    "unique": unique,
    "pluck": pluck,
    "select": select,
    "reject": reject,
    "selectattr": selectattr,
    "rejectattr": rejectattr,
    "flatten": flatten,
    "group_by": group_by,
    "batch": batch,
    "compact": compact,
    "index_of": index_of,
    "zip": zip_with,
}
