"""Checks a node's config against its JSON Schema, and says what is wrong in sentences.

A string that holds an expression stands for a value that is not known yet: it passes wherever a value of any kind is expected.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend

from workflows.engine.shapes import accepts

if TYPE_CHECKING:
    from workflows.nodes.base import Node

Keyword = Callable[[Any, Any, Any, Any], Iterable[ValidationError] | None]


def _lenient(keyword: Keyword) -> Keyword:
    def check(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterable[ValidationError] | None:
        if type(instance) is str and "{{" in instance:
            return None
        return keyword(validator, value, instance, schema)

    return check


def _one_of(
    validator: Any, value: Any, instance: Any, schema: Any
) -> Iterable[ValidationError] | None:
    """An expression may fit several branches at once, until it is known."""
    name = "anyOf" if _holds_expression(instance) else "oneOf"
    check: Keyword = Draft202012Validator.VALIDATORS[name]
    return check(validator, value, instance, schema)


def _holds_expression(value: Any) -> bool:
    return "{{" in json.dumps(value, ensure_ascii=False)


_Validator: Any = extend(
    Draft202012Validator,
    {
        **{
            name: _lenient(keyword)
            for name, keyword in Draft202012Validator.VALIDATORS.items()
        },
        "oneOf": _lenient(_one_of),
    },
)


class Checker:
    """The faults of values, by one schema."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._accepts = accepts(schema)
        self._validator = _Validator(
            schema, format_checker=Draft202012Validator.FORMAT_CHECKER
        )

    def faults(self, value: Any) -> dict[str, str]:
        if self._accepts(value):
            return {}
        faults: dict[str, str] = {}
        for error in self._validator.iter_errors(value):
            for path, sentence in _faults_of_error(error):
                faults.setdefault(".".join(map(str, path)), sentence)
        return faults


_CHECKERS: dict[type[Node], Checker] = {}


def _checker_of(kind: type[Node]) -> Checker:
    checker = _CHECKERS.get(kind)
    if checker is None:
        checker = _CHECKERS[kind] = Checker(kind.config_schema)
    return checker


def check_config(node: Node, config: Mapping[str, Any]) -> dict[str, str]:
    """Every fault, by its path within the config; the node's own check comes last, once the schema has passed."""
    return _checker_of(type(node)).faults(config) or node.check(dict(config))


Fault = tuple[list[Any], str]


def _faults_of_error(error: ValidationError) -> Iterator[Fault]:
    if error.context:
        error = best_match([error])
    path = list(error.absolute_path)
    if error.validator == "required":
        yield from _required(error, path)
    elif error.validator in {"additionalProperties", "unevaluatedProperties"}:
        yield from _unknown(error, path)
    else:
        yield path, sentence_of(error)


def _required(error: ValidationError, path: list[Any]) -> Iterator[Fault]:
    # jsonschema reports each missing key by itself, and names it in the message only.
    for name in error.validator_value:
        if name not in error.instance and error.message.startswith(repr(name)):
            yield [*path, name], "This field is required."


def _unknown(error: ValidationError, path: list[Any]) -> Iterator[Fault]:
    known = list(error.schema.get("properties", {}))
    for name in error.instance:
        if name not in known:
            yield [*path, name], unknown_field(name, known)


def unknown_field(name: Any, known: Iterable[str]) -> str:
    names = list(known)
    return f"Unknown field.{suggestion(name, names)} Known are: {', '.join(names) or 'none'}."


def suggestion(name: Any, known: Iterable[str]) -> str:
    close = get_close_matches(str(name)[:100], list(known), 1)
    return f" Did you mean '{close[0]}'?" if close else ""


_TYPES = {
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LIMITS = {
    "minimum": "Must be at least {}.",
    "maximum": "Must be at most {}.",
    "exclusiveMinimum": "Must be more than {}.",
    "exclusiveMaximum": "Must be less than {}.",
    "multipleOf": "Must be a multiple of {}.",
    "minLength": "Must have at least {} characters.",
    "maxLength": "Must have at most {} characters.",
    "minItems": "Must have at least {} items.",
    "maxItems": "Must have at most {} items.",
    "minProperties": "Must have at least {} keys.",
    "maxProperties": "Must have at most {} keys.",
    "pattern": "Must match {}.",
    "format": "Must be a valid {}.",
}


def sentence_of(error: ValidationError) -> str:
    keyword, limit = str(error.validator), error.validator_value
    if keyword == "type":
        names = [limit] if isinstance(limit, str) else limit
        return f"Must be {' or '.join(_TYPES[name] for name in names)}."
    if keyword in {"enum", "const"}:
        allowed = limit if keyword == "enum" else [limit]
        return f"Must be {' or '.join(_shown(item) for item in allowed)}."
    if keyword in {"minLength", "minItems", "minProperties"} and limit == 1:
        return "Must not be empty."
    if keyword == "uniqueItems":
        return "Must not hold the same item twice."
    if keyword in _LIMITS:
        return _LIMITS[keyword].format(limit)
    if keyword in {"anyOf", "oneOf"}:
        return "Must have one of the forms that the schema allows."
    message: str = error.message
    return message[:1].upper() + message[1:300] + "."


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else json.dumps(value)
