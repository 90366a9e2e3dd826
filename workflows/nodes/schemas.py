"""JSON Schemas that tenants write. Nothing is fetched, patterns run in RE2, and references are refused: a chain of them multiplies work without bound."""

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import re2
import referencing
from jsonschema import Draft202012Validator, exceptions, validators

MAX_SCHEMA_CHARACTERS = 50_000
MAX_FAULTS = 5
REFUSED = frozenset({"$ref", "$dynamicRef", "patternProperties"})


def _pattern(
    validator: Any, pattern: str, instance: Any, schema: Any
) -> Iterator[exceptions.ValidationError]:
    if isinstance(instance, str) and not re2.search(pattern, instance):
        yield exceptions.ValidationError("does not match the pattern")


Validator = validators.extend(Draft202012Validator, {"pattern": _pattern})


def fault_of(schema: Any) -> str:
    """Why this can't be used as a schema, or nothing."""
    if len(json.dumps(schema)) > MAX_SCHEMA_CHARACTERS:
        return f"A schema may have at most {MAX_SCHEMA_CHARACTERS:,} characters."
    try:
        Draft202012Validator.check_schema(schema)
        for keyword, value in _keywords(schema):
            if keyword in REFUSED:
                return f"{keyword} is not supported in a schema here."
            if keyword == "pattern" and isinstance(value, str):
                re2.compile(value)
    except exceptions.SchemaError as error:
        return f"This is no valid JSON Schema: {error.message[:200]}"
    except re2.error:
        return f"{value!r} is not a regular expression that RE2 knows."
    except RecursionError:
        return "The schema is nested too deeply."
    return ""


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(schema, dict):
        yield from schema.items()
    children = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, dict | list):
        for child in children:
            yield from _keywords(child)


def faults(schema: Any, value: Any) -> list[str]:
    """One sentence for each of the first faults, with its path."""
    validator = _validator(json.dumps(schema))
    found: list[str] = []
    for error in validator.iter_errors(value):
        path = ".".join(str(part) for part in error.absolute_path)
        found.append(f"{path}: {error.message[:200]}" if path else error.message[:200])
        if len(found) == MAX_FAULTS:
            break
    return found


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    return Validator(json.loads(schema), registry=referencing.Registry())
