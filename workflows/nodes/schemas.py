"""JSON Schemas that tenants write.

Nothing is fetched, patterns run in RE2, and what multiplies work without bound is refused (references, which can double at each step, and unevaluated…,
which validates again what was validated) or counted. A nested `$schema` would bring the library's own keywords back in.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import re2
import referencing
from jsonschema import Draft202012Validator, exceptions, validators

from workflows.nodes.base import NodeError

MAX_SCHEMA_CHARACTERS = 50_000
MAX_STEPS = 100_000  # under a second
MAX_FAULTS = 5
REFUSED = frozenset(
    {
        "$ref",
        "$dynamicRef",
        "$schema",
        "patternProperties",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)

Fault = tuple[str, str]
Faults = Iterable[exceptions.ValidationError]
Keyword = Callable[[Any, Any, Any, Any], Faults | None]

_steps_left: ContextVar[int] = ContextVar("steps_left")
_is_shared: ContextVar[bool] = ContextVar("is_shared", default=False)


def _counted(keyword: Keyword) -> Keyword:
    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Faults | None:
        left = _steps_left.get()
        if not left:
            raise NodeError(
                "Checking this against its schema takes too long.", code="invalid_input"
            )
        _steps_left.set(left - 1)
        return keyword(validator, value, instance, schema)

    return check


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Faults:
    if isinstance(instance, str) and not re2.search(pattern, instance):
        yield exceptions.ValidationError(
            f"{instance[:50]!r} does not match {pattern[:50]!r}"
        )


def _unique_items(validator: Any, wanted: bool, instance: Any, schema: Any) -> Faults:
    if wanted and isinstance(instance, list):
        distinct = {json.dumps(item, sort_keys=True) for item in instance}
        if len(distinct) < len(instance):
            yield exceptions.ValidationError("holds the same item twice")


_KEYWORDS = Draft202012Validator.VALIDATORS | {
    "pattern": _pattern,
    "uniqueItems": _unique_items,
}
_Validator = validators.extend(
    Draft202012Validator,
    {name: _counted(keyword) for name, keyword in _KEYWORDS.items()},
)


def fault_of(schema: Any) -> str:
    """Why this can't be used as a schema, or nothing."""
    try:
        if len(json.dumps(schema)) > MAX_SCHEMA_CHARACTERS:
            return f"A schema may have at most {MAX_SCHEMA_CHARACTERS:,} characters."
        Draft202012Validator.check_schema(schema)
        return _fault_of_keywords(_without_dialect(schema))
    except exceptions.SchemaError as error:
        return f"This is no valid JSON Schema: {error.message[:200]}"
    except RecursionError:
        return "The schema is nested too deeply."


def _fault_of_keywords(schema: Any) -> str:
    for keyword, value in _keywords(schema):
        if keyword in REFUSED:
            return f"{keyword} is not supported in a schema here."
        if keyword == "pattern" and isinstance(value, str) and not _is_pattern(value):
            return f"{value[:100]!r} is not a regular expression that RE2 knows."
    return ""


def _is_pattern(text: str) -> bool:
    try:
        re2.compile(text)
    except re2.error:
        return False
    return True


def _without_dialect(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    return {name: schema[name] for name in schema if name != "$schema"}


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        yield from schema.items()
    if isinstance(schema, dict | list):
        for child in schema.values() if isinstance(schema, dict) else schema:
            yield from _keywords(child)


@contextmanager
def one_budget() -> Iterator[None]:
    """All that is checked within it shares the steps that one value may take."""
    _steps_left.set(MAX_STEPS)
    _is_shared.set(True)
    try:
        yield
    finally:
        _is_shared.set(False)


def faults(schema: Any, value: Any) -> list[str]:
    """One sentence for each of the first faults, with its path."""
    return [sentence(fault) for fault in found(schema, value, most=MAX_FAULTS)]


def sentence(fault: Fault) -> str:
    path, message = fault
    return f"{path}: {message}"[:200] if path else message[:200]


def found(schema: Any, value: Any, *, most: int) -> list[Fault]:
    """The first faults: where, and what."""
    if not _is_shared.get():
        _steps_left.set(MAX_STEPS)
    found: list[Fault] = []
    try:
        for error in _validator(json.dumps(schema)).iter_errors(value):
            path = ".".join(str(part) for part in error.absolute_path)
            found.append((path, error.message[:200]))
            if len(found) == most:
                break
    except RecursionError:
        raise NodeError(
            "The value is nested too deeply.", code="invalid_input"
        ) from None
    return found


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    return _Validator(
        _without_dialect(json.loads(schema)), registry=referencing.Registry()
    )
