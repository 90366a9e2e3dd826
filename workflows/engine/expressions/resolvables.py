"""From a JSON value whose strings may hold `{{ … }}` to something that can be resolved, again and again, by any thread."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from workflows.engine.expressions.bounds import (
    MAX_DEPTH,
    Budget,
    ExpressionError,
    ExpressionSyntaxError,
)
from workflows.engine.expressions.compiler import MAX_SOURCE, Compiled, compile_source
from workflows.engine.expressions.values import (
    SCALARS,
    check_text,
    copy,
    join_texts,
    measure,
    sized_number,
    to_text,
)

MAX_EXPRESSIONS = 1_000
CACHED_STRINGS = 4_096
LONGEST_CACHED_STRING = 2_000
CACHED_TEMPLATES = 64

Escape = Callable[[str], str]

_NO_REFERENCES: Final[frozenset[tuple[str, ...]]] = frozenset()
_PASSED_ON: Final = frozenset({dict, list, str})
_STATEMENT = re.compile(
    r"\{%[-+]?\s*(?:autoescape|block|break|call|continue|do|elif|else|end\w+|extends|filter|for|from|if|import|include|macro|print|raw|set|trans|with)\b"
)
_TOKEN = re.compile(
    r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|(?P<quote>['"])|[(\[{]|(?P<end>-?\}\})|[)\]}]""",
    re.DOTALL,
)


class Value:
    """A compiled value. It is immutable; what `resolve` gives is the caller's, but for what it passes on from the scope."""

    __slots__ = ()

    is_constant = False
    constant: Any = None
    """Its value, where it is constant: not to be changed."""
    references: frozenset[tuple[str, ...]] = _NO_REFERENCES

    def resolve(self, scope: Mapping[str, Any]) -> Any:
        try:
            return self.evaluate(scope, Budget())
        except (ArithmeticError, ValueError, RecursionError) as error:
            raise ExpressionError("The value can't be computed.") from error

    def evaluate(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        raise NotImplementedError


class _Constant(Value):
    __slots__ = ("_is_scalar", "constant")

    is_constant = True

    def __init__(self, value: Any) -> None:
        self.constant = value
        self._is_scalar = type(value) in SCALARS

    def evaluate(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        return self.constant if self._is_scalar else copy(self.constant)


class _Expression(Value):
    """A string that is one expression, whose value keeps its type."""

    __slots__ = ("_is_path", "_run", "references")

    def __init__(self, compiled: Compiled) -> None:
        self._run = compiled.run
        self._is_path = compiled.is_path
        self.references = compiled.references

    def evaluate(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        result = self._run(scope, budget)
        if type(result) is bool:
            return result
        # What is passed on as it is need not be measured: it was there before.
        if self._is_path and type(result) in _PASSED_ON:
            return result
        return _released(result, budget)


def _released(result: Any, budget: Budget) -> Any:
    """Nothing but JSON leaves."""
    if type(result) is int or type(result) is float:
        return sized_number(result)
    budget.produce(measure(result, budget, max(budget.output, 0)))
    return result


class _Text(Value):
    """A string with expressions in it, which renders text."""

    __slots__ = ("_escape", "_parts", "references")

    def __init__(self, parts: list[str | Compiled], escape: Escape = str) -> None:
        self._parts = parts
        self._escape = escape
        self.references = frozenset().union(
            *(part.references for part in parts if type(part) is Compiled)
        )

    def evaluate(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        text = join_texts(
            [
                part if type(part) is str else self._write(part, scope, budget)  # type: ignore[arg-type]
                for part in self._parts
            ]
        )
        budget.produce(len(text))
        check_text(text)
        return text

    def _write(self, part: Compiled, scope: Mapping[str, Any], budget: Budget) -> str:
        text = to_text(part.run(scope, budget), budget)
        return text if self._escape is str else self._escape(text)


class _List(Value):
    __slots__ = ("_items", "references")

    def __init__(self, items: list[Value]) -> None:
        self._items = items
        self.references = _joined(items)

    def evaluate(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        resolved = []
        for place, item in enumerate(self._items):
            try:
                resolved.append(item.evaluate(scope, budget))
            except ExpressionError as error:
                error.within(place)
                raise
        return resolved


class _Object(Value):
    __slots__ = ("_items", "references")

    def __init__(self, items: dict[str, Value]) -> None:
        self._items = items
        self.references = _joined(items.values())

    def evaluate(self, scope: Mapping[str, Any], budget: Budget) -> Any:
        resolved = {}
        for key, item in self._items.items():
            try:
                resolved[key] = item.evaluate(scope, budget)
            except ExpressionError as error:
                error.within(key)
                raise
        return resolved


def _joined(items: Iterable[Value]) -> frozenset[tuple[str, ...]]:
    found = [item.references for item in items if item.references]
    return found[0] if len(found) == 1 else _NO_REFERENCES.union(*found)


def compile_value(value: Any) -> Value:
    """Raises an ExpressionSyntaxError, whose `path` says where in the value."""
    return _compile(value, MAX_DEPTH)


def _compile(value: Any, depth: int) -> Value:
    if type(value) is str:
        return compile_text(value)
    if type(value) is dict:
        return _compile_object(value, depth)
    if type(value) is list:
        return _compile_list(value, depth)
    return _Constant(value)


def _compile_object(value: dict[str, Any], depth: int) -> Value:
    members: dict[str, Value] = {}
    is_constant = True
    for key, item in value.items():
        if "{{" in key:
            raise ExpressionSyntaxError(
                f"An expression can't stand in a key: '{key[:40]}'."
            )
        members[key] = member = _compile_part_of(key, item, depth)
        is_constant = is_constant and member.is_constant
    if is_constant:
        return _Constant({key: member.constant for key, member in members.items()})
    return _Object(members)


def _compile_list(value: list[Any], depth: int) -> Value:
    items = [_compile_part_of(place, item, depth) for place, item in enumerate(value)]
    if all(item.is_constant for item in items):
        return _Constant([item.constant for item in items])
    return _List(items)


def _compile_part_of(part: str | int, value: Any, depth: int) -> Value:
    if depth == 0:
        raise ExpressionSyntaxError(f"It nests deeper than {MAX_DEPTH} levels.")
    try:
        return _compile(value, depth - 1)
    except ExpressionError as error:
        error.within(part)
        raise


def compile_text(text: str) -> Value:
    if "{{" not in text and "{%" not in text:
        return _Constant(text)
    if len(text) > LONGEST_CACHED_STRING:
        return _compile_text(text)
    return _compile_cached(text)


def render(text: str, scope: Mapping[str, Any], escape: Escape) -> str:
    """The text, with each expression's value as text, escaped. It has been compiled before: it holds no fault."""
    rendered: str = _Text(_parts_to_render(text), escape).resolve(scope)
    return rendered


def _compile_text(text: str) -> Value:
    parts = _parts_of(text)
    if len(parts) == 1:
        only = parts[0]
        return _Constant(only) if type(only) is str else _Expression(only)  # type: ignore[arg-type]
    return _Text(parts)


_compile_cached = lru_cache(maxsize=CACHED_STRINGS)(_compile_text)


def _parts_of(text: str) -> list[str | Compiled]:
    if _STATEMENT.search(text):
        raise ExpressionSyntaxError(
            "Statements in {% … %} are not part of the language; only expressions in {{ … }} are."
        )
    return _split(text)


_parts_to_render = lru_cache(maxsize=CACHED_TEMPLATES)(_parts_of)


def _split(text: str) -> list[str | Compiled]:
    """The text between the expressions, and the expressions. `{{-` and `-}}` take the white space beside them away."""
    parts: list[str | Compiled] = []
    at = 0
    trim = False
    while (begin := text.find("{{", at)) >= 0:
        if len(parts) > 2 * MAX_EXPRESSIONS:
            raise ExpressionSyntaxError(
                f"A text may hold {MAX_EXPRESSIONS:,} expressions."
            )
        end, after = _find_end(text, begin)
        before = text[at:begin].lstrip() if trim else text[at:begin]
        begin += 2
        if text[begin] == "-":
            before = before.rstrip()
            begin += 1
        parts += [before, _compile_part(text[begin:end])]
        trim = after - end == 3
        at = after
    parts.append(text[at:].lstrip() if trim else text[at:])
    return [part for part in parts if part != ""]


def _find_end(text: str, begin: int) -> tuple[int, int]:
    """Where the expression ends that begins here, and where the text goes on."""
    depth = 0
    at = begin + 2
    last = begin + 2 + MAX_SOURCE
    while token := _TOKEN.search(text, at, last):
        at = token.end()
        if token["end"]:
            if depth <= 0:
                return token.start(), at
            # Within brackets it is an object's own end, or two of them.
            at = token.end() - 1
            depth -= 1
        elif token["quote"]:
            break
        elif token[0] in {"(", "[", "{"}:
            depth += 1
        elif token[0] in {")", "]", "}"}:
            depth -= 1
    raise ExpressionSyntaxError(
        f"The expression that begins at character {begin + 1} does not end within {MAX_SOURCE:,} characters: a quote or }}}} is missing."
        if len(text) > last
        else f"The expression that begins at character {begin + 1} does not end: a quote or }}}} is missing."
    )


def _compile_part(source: str) -> Compiled:
    try:
        return compile_source(source)
    except ExpressionSyntaxError as error:
        shown = source.strip()
        shown = shown if len(shown) <= 80 else shown[:79] + "…"
        raise ExpressionSyntaxError(f"{{{{ {shown} }}}}: {error.reason}") from error
