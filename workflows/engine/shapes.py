"""A quick yes for what a JSON Schema allows.

`jsonschema` finds every fault and words it, at some 50 microseconds for a small config: too much for a graph of thousands of nodes, nearly all of which are
right. So a schema is compiled to closures that say yes, or that they don't know; only then is it asked. A keyword that is not known here is a "don't know".
"""

import re
from collections.abc import Callable, Mapping, Sized
from types import NoneType
from typing import Any, Final

Accepts = Callable[[Any], bool]

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (NoneType,),
}
_ANNOTATIONS: Final = frozenset(
    {"title", "description", "default", "examples", "deprecated", "$comment"}
)


def accepts(schema: Any) -> Accepts:
    """Whether a value is valid for certain. A string that holds an expression always is."""
    if schema is True:
        return lambda value: True
    tests = _tests(schema) if isinstance(schema, Mapping) else None
    if tests is None:
        return lambda value: type(value) is str and "{{" in value

    def check(value: Any) -> bool:
        if type(value) is str and "{{" in value:
            return True
        for test in tests:  # noqa: SIM110  # a generator would take as long as the tests
            if not test(value):
                return False
        return True

    return check


def _tests(schema: Mapping[str, Any]) -> list[Accepts] | None:
    tests: list[Accepts] = []
    for keyword, limit in schema.items():
        if keyword in _ANNOTATIONS or keyword.startswith("x-"):
            continue
        if keyword == "additionalProperties":
            if "properties" not in schema:
                tests.append(_members({}, limit))
        elif keyword == "properties":
            tests.append(_members(limit, schema.get("additionalProperties", True)))
        elif keyword in _MAKERS:
            tests.append(_MAKERS[keyword](limit))
        else:
            return None
    return tests


def _of_type(names: str | list[str]) -> Accepts:
    listed = [names] if isinstance(names, str) else names
    types = frozenset(kind for name in listed for kind in _TYPES[name])
    return lambda value: type(value) in types


def _among(values: list[Any]) -> Accepts:
    strings = frozenset(value for value in values if type(value) is str)
    return lambda value: type(value) is str and value in strings


def _members(properties: Mapping[str, Any], others: Any) -> Accepts:
    known = {name: accepts(schema) for name, schema in properties.items()}
    other = accepts(others) if others is not False else None

    def check(value: Any) -> bool:
        if type(value) is not dict:
            return True
        for name, member in value.items():
            test = known.get(name, other)
            if test is None or not test(member):
                return False
        return True

    return check


def _required(names: list[str]) -> Accepts:
    return lambda value: type(value) is not dict or all(name in value for name in names)


def _items(schema: Any) -> Accepts:
    test = accepts(schema)
    return lambda value: type(value) is not list or all(map(test, value))


def _any_of(schemas: list[Any]) -> Accepts:
    tests = [accepts(schema) for schema in schemas]
    return lambda value: any(test(value) for test in tests)


def _pattern(pattern: str) -> Accepts:
    search = re.compile(pattern).search
    return lambda value: type(value) is not str or search(value) is not None


def _number(holds: Callable[[Any, Any], bool]) -> Callable[[Any], Accepts]:
    return lambda limit: (
        lambda value: type(value) not in {int, float} or holds(value, limit)
    )


def _size(
    kind: type[Sized], holds: Callable[[int, int], bool]
) -> Callable[[int], Accepts]:
    return lambda limit: (
        lambda value: type(value) is not kind or holds(len(value), limit)
    )


def _at_least(value: Any, limit: Any) -> bool:
    return bool(value >= limit)


def _at_most(value: Any, limit: Any) -> bool:
    return bool(value <= limit)


_MAKERS: Final[dict[str, Callable[[Any], Accepts]]] = {
    "type": _of_type,
    "enum": _among,
    "const": lambda value: _among([value]),
    "required": _required,
    "items": _items,
    "anyOf": _any_of,
    "pattern": _pattern,
    "minimum": _number(_at_least),
    "maximum": _number(_at_most),
    "exclusiveMinimum": _number(lambda value, limit: bool(value > limit)),
    "exclusiveMaximum": _number(lambda value, limit: bool(value < limit)),
    "minLength": _size(str, _at_least),
    "maxLength": _size(str, _at_most),
    "minItems": _size(list, _at_least),
    "maxItems": _size(list, _at_most),
    "minProperties": _size(dict, _at_least),
    "maxProperties": _size(dict, _at_most),
}
