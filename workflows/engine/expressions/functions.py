"""What stands behind a name in an expression: a plain function whose annotations say what it takes.

    def upper(budget: Budget, value: str) -> str:
        return value.upper()

Number and names of arguments are checked when the expression is read, their types when it runs. What a call reads and makes is paid for here; a
function whose cost is not in proportion to its first argument spends the rest itself, before it does the work.
"""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, get_args, get_origin

from workflows.engine.expressions.bounds import (
    MAX_OUTPUT,
    Budget,
    ExpressionError,
    ExpressionSyntaxError,
    too_large,
)
from workflows.engine.expressions.values import MISSING, kind, sized_number

_NAMES = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "a boolean",
    list: "a list",
    dict: "an object",
    NoneType: "null",
}


class Function:
    def __init__(
        self, name: str, call: Callable[..., Any], *, pays: bool = True
    ) -> None:
        signature = inspect.signature(call)
        parameters = list(signature.parameters.values())[1:]
        self.name = name
        self.summary = inspect.getdoc(call) or ""
        self._call = call
        self._pays = pays
        self._signature = signature.replace(parameters=parameters)
        self._types = {
            parameter.name: _Type(parameter.annotation) for parameter in parameters
        }
        self._positional = [
            self._types[parameter.name]
            for parameter in parameters
            if parameter.kind is not parameter.VAR_POSITIONAL
        ]
        self._rest = next(
            (
                self._types[parameter.name]
                for parameter in parameters
                if parameter.kind is parameter.VAR_POSITIONAL
            ),
            None,
        )

    @property
    def signature(self) -> str:
        """As it is written after a `|`: without the value itself."""
        parameters = list(self._signature.parameters.values())[1:]
        shown = [
            parameter.name
            if parameter.default is parameter.empty
            else f"{parameter.name}={_shown(parameter.default)}"
            for parameter in parameters
        ]
        return f"{self.name}({', '.join(shown)})" if shown else self.name

    def check(self, positional: int, named: Sequence[str]) -> None:
        """Raises a TypeError where such a call can't be."""
        self._signature.bind(*[None] * positional, **dict.fromkeys(named))

    def __call__(
        self, budget: Budget, arguments: Sequence[Any], named: Mapping[str, Any]
    ) -> Any:
        if self._pays and arguments:
            _pay(arguments[0], budget)
        for place, value in enumerate(arguments):
            wanted = (
                self._positional[place]
                if place < len(self._positional)
                else self._rest or _ANYTHING
            )
            wanted.check(self.name, value)
        for name, value in named.items():
            self._types[name].check(self.name, value)
        result = self._call(budget, *arguments, **named)
        return _checked(result)


def _shown(default: Any) -> str:
    return json.dumps(default, ensure_ascii=False) if default is not MISSING else "…"


class _Type:
    def __init__(self, annotation: Any) -> None:
        parts = (
            get_args(annotation) if isinstance(annotation, UnionType) else [annotation]
        )
        names = [get_origin(part) or part for part in parts]
        self._any = Any in names
        self._types = frozenset({*names, int} if float in names else names)
        self._wanted = " or ".join(_NAMES.get(name, "anything") for name in names)

    def check(self, name: str, value: Any) -> None:
        if not self._any and type(value) not in self._types:
            raise ExpressionError(f"{name} takes {self._wanted}, not {kind(value)}.")


_ANYTHING = _Type(Any)


def _pay(value: Any, budget: Budget) -> None:
    if type(value) is str:
        budget.spend_text(len(value))
    elif type(value) is list or type(value) is dict:
        budget.spend(1 + len(value))
    else:
        budget.spend(1)


def _checked(result: Any) -> Any:
    if type(result) is str:
        if len(result) > MAX_OUTPUT:
            raise too_large()
    elif type(result) is int or type(result) is float:
        return sized_number(result)
    return result


def call_named(
    table: Mapping[str, Function],
    what: str,
    name: str,
    budget: Budget,
    arguments: Sequence[Any],
    named: Mapping[str, Any],
) -> Any:
    """A call whose name is only known at run time, as in `map("upper")`."""
    function = table.get(name)
    if function is None:
        raise ExpressionError(f"There is no {what} '{name[:40]}'.")
    try:
        function.check(len(arguments), list(named))
    except TypeError as error:
        raise ExpressionError(wrong_arguments(function, error)) from error
    return function(budget, arguments, named)


def check_call(function: Function, positional: int, named: Sequence[str]) -> None:
    try:
        function.check(positional, named)
    except TypeError as error:
        raise ExpressionSyntaxError(wrong_arguments(function, error)) from error


def wrong_arguments(function: Function, error: TypeError) -> str:
    return f"{function.name}: {error}; it is used as {function.signature}."
