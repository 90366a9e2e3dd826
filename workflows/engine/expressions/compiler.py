"""From an expression's source to a closure.

Jinja2's parser reads the source; each node of its tree becomes one Python closure over its parts' closures. A node that is not known here is refused, so
that nothing of Jinja runs and no attribute of an object is ever read: `a.b` and `a["b"]` are steps into JSON, a call is a look into a fixed table.
"""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.parser import Parser

from workflows.engine.expressions import operators
from workflows.engine.expressions.bounds import (
    Budget,
    ExpressionError,
    ExpressionSyntaxError,
    MissingError,
)
from workflows.engine.expressions.calls import FUNCTIONS
from workflows.engine.expressions.filters import FILTERS
from workflows.engine.expressions.functions import Function, check_call
from workflows.engine.expressions.predicates import PREDICATES
from workflows.engine.expressions.values import (
    MISSING,
    SCALARS,
    join_texts,
    missing,
    sized_number,
    step,
    to_text,
)

Scope = Mapping[str, Any]
Closure = Callable[[Scope, Budget], Any]
References = set[tuple[str, ...]]

MAX_SOURCE = 10_000
MAX_NESTING = 30
MAX_TREE_DEPTH = 100

_ENVIRONMENT = Environment(autoescape=False)  # noqa: S701 (nothing is rendered by it)
_SIMPLE_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")
_WORDS = frozenset({"true", "false", "none", "True", "False", "None", "not"})


class Compiled:
    __slots__ = ("is_path", "references", "run")

    def __init__(self, run: Closure, references: References, is_path: bool) -> None:
        self.run = run
        self.references = frozenset(references)
        self.is_path = is_path


def compile_source(source: str) -> Compiled:
    """The source is what stands between the braces."""
    source = source.strip()
    # Most expressions are plain paths; Jinja's parser would take 50 times as long.
    if _SIMPLE_PATH.fullmatch(source):
        path = source.split(".")
        if path[0] not in _WORDS:
            return Compiled(_path(path), {tuple(path)}, is_path=True)
    tree = _parse(source)
    compiler = _Compiler()
    return Compiled(
        compiler.compile(tree), compiler.references, _literal_path(tree) is not None
    )


def _parse(source: str) -> nodes.Node:
    _check_nesting(source)
    try:
        parser = Parser(_ENVIRONMENT, source, state="variable")
        tree: nodes.Node = parser.parse_expression()
        if not parser.stream.eos:
            found = parser.stream.current.value
            raise ExpressionSyntaxError(f"'{found}' is not expected here.")
    except TemplateSyntaxError as error:
        raise ExpressionSyntaxError(_sentence(error.message)) from error
    except (RecursionError, ValueError) as error:
        raise ExpressionSyntaxError("This can't be read.") from error
    return tree


_BRACKETS = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[()\[\]{}]""", re.DOTALL)


def _check_nesting(source: str) -> None:
    """Jinja's parser calls itself a dozen times for each bracket."""
    depth = 0
    for bracket in _BRACKETS.findall(source):
        if bracket in "([{":
            depth += 1
        elif bracket in ")]}":
            depth -= 1
        if depth > MAX_NESTING:
            raise ExpressionSyntaxError(
                f"Brackets nest deeper than {MAX_NESTING} levels."
            )


def _sentence(message: str | None) -> str:
    text = (message or "This can't be read.").replace("'end of template'", "end")
    text = text.replace("'end of print statement'", "the end")
    return text[0].upper() + text[1:].rstrip(".") + "."


def _literal_path(node: nodes.Node) -> list[str | int] | None:
    """`a.b["c"][0]` as its parts, where all of them are literal."""
    parts: list[str | int] = []
    while not isinstance(node, nodes.Name):
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
        elif (
            isinstance(node, nodes.Getitem)
            and isinstance(node.arg, nodes.Const)
            and type(node.arg.value) in {str, int}
        ):
            parts.append(node.arg.value)
        else:
            return None
        node = node.node
    return [node.name, *reversed(parts)]


def _path(path: list[Any]) -> Closure:
    root, *keys = path
    if not all(type(key) is str for key in keys):
        return lambda scope, budget: _walk(scope, root, keys)
    if len(keys) == 1:
        return _short_path(root, keys[0])

    def run(scope: Scope, budget: Budget) -> Any:
        try:
            value = scope[root]
            for key in keys:
                value = value[key]
            return value
        except (KeyError, TypeError):
            return _walk(scope, root, keys)

    return run


def _short_path(root: str, key: str) -> Closure:
    def run(scope: Scope, budget: Budget) -> Any:
        try:
            return scope[root][key]
        except (KeyError, TypeError):
            return _walk(scope, root, [key])

    return run


def _walk(scope: Scope, root: str, keys: list[Any]) -> Any:
    """The slow way along a path: through lists and strings too, or to the error."""
    try:
        value = scope[root]
    except KeyError:
        known = ", ".join(f"'{name}'" for name in scope) or "no names"
        raise MissingError(f"'{root}' is unknown: there is {known}.") from None
    taken = root
    for key in keys:
        taken = f"{taken}.{key}"
        found = step(value, key)
        if found is MISSING:
            raise missing(taken, value)
        value = found
    return value


class _Compiler:
    def __init__(self) -> None:
        self.references: References = set()
        self._depth = 0

    def compile(self, node: nodes.Node) -> Closure:
        compiling = _COMPILERS.get(type(node))
        if compiling is None:
            raise ExpressionSyntaxError(
                f"{type(node).__name__} is not part of the language."
            )
        self._depth += 1
        if self._depth > MAX_TREE_DEPTH:
            raise ExpressionSyntaxError(
                f"The expression nests deeper than {MAX_TREE_DEPTH} levels."
            )
        closure = compiling(self, node)
        self._depth -= 1
        return closure

    def compile_all(self, parts: list[Any]) -> list[Closure]:
        return [self.compile(part) for part in parts]

    # Values

    def const(self, node: nodes.Const) -> Closure:
        value = node.value
        if type(value) not in SCALARS:
            raise ExpressionSyntaxError(f"{value!r} is no JSON value.")
        if type(value) is int or type(value) is float:
            try:
                sized_number(value)
            except ExpressionError as error:
                raise ExpressionSyntaxError(error.reason) from error
        return _constant(value)

    def path(self, node: nodes.Expr) -> Closure:
        path = _literal_path(node)
        if path is None:
            return self.lookup(node)
        self.references.add(tuple(str(part) for part in path))
        return _path(path)

    def lookup(self, node: Any) -> Closure:
        base = self.compile(node.node)
        if isinstance(node, nodes.Getattr):
            return _lookup(base, lambda scope, budget: node.attr)
        if isinstance(node.arg, nodes.Slice):
            return self.slice(base, node.arg)
        return _lookup(base, self.compile(node.arg))

    def slice(self, base: Closure, node: nodes.Slice) -> Closure:
        bounds = [
            self.compile(part) if part is not None else None
            for part in (node.start, node.stop, node.step)
        ]

        def run(scope: Scope, budget: Budget) -> Any:
            value = base(scope, budget)
            places = [bound and bound(scope, budget) for bound in bounds]
            return operators.cut(value, places, budget)

        return run

    def array(self, node: nodes.List | nodes.Tuple) -> Closure:
        items = self.compile_all(node.items)
        return lambda scope, budget: [item(scope, budget) for item in items]

    def object(self, node: nodes.Dict) -> Closure:
        pairs = [
            (self.compile(pair.key), self.compile(pair.value)) for pair in node.items
        ]

        def run(scope: Scope, budget: Budget) -> Any:
            made = {}
            for key, value in pairs:
                name = key(scope, budget)
                if type(name) is not str:
                    raise ExpressionError("The keys of an object are strings.")
                made[name] = value(scope, budget)
            return made

        return run

    # Operators

    def binary(self, node: nodes.BinExpr) -> Closure:
        left, right = self.compile(node.left), self.compile(node.right)
        calculate = operators.ARITHMETIC[node.operator]
        return lambda scope, budget: calculate(
            left(scope, budget), right(scope, budget), budget
        )

    def unary(self, node: nodes.UnaryExpr) -> Closure:
        operand = self.compile(node.node)
        calculate = operators.negate if node.operator == "-" else operators.confirm
        return lambda scope, budget: calculate(operand(scope, budget))

    def not_(self, node: nodes.Not) -> Closure:
        operand = self.compile(node.node)
        return lambda scope, budget: not operand(scope, budget)

    def and_(self, node: nodes.And) -> Closure:
        left, right = self.compile(node.left), self.compile(node.right)
        return lambda scope, budget: left(scope, budget) and right(scope, budget)

    def or_(self, node: nodes.Or) -> Closure:
        left, right = self.compile(node.left), self.compile(node.right)
        return lambda scope, budget: left(scope, budget) or right(scope, budget)

    def condition(self, node: nodes.CondExpr) -> Closure:
        test, then = self.compile(node.test), self.compile(node.expr1)
        otherwise = self.compile(node.expr2) if node.expr2 else _no_else
        return lambda scope, budget: (
            then(scope, budget) if test(scope, budget) else otherwise(scope, budget)
        )

    def concat(self, node: nodes.Concat) -> Closure:
        parts = self.compile_all(node.nodes)

        def run(scope: Scope, budget: Budget) -> str:
            text = join_texts([to_text(part(scope, budget), budget) for part in parts])
            budget.spend_text(len(text))
            return text

        return run

    def compare(self, node: nodes.Compare) -> Closure:
        first = self.compile(node.expr)
        if len(node.ops) == 1:
            return _comparison(first, node.ops[0].op, self.compile(node.ops[0].expr))
        links = [
            (operators.COMPARISONS[operand.op], self.compile(operand.expr))
            for operand in node.ops
        ]

        def run(scope: Scope, budget: Budget) -> bool:
            left = first(scope, budget)
            for holds, operand in links:
                right = operand(scope, budget)
                if not holds(left, right, budget):
                    return False
                left = right
            return True

        return run

    # Calls

    def call(self, node: nodes.Call) -> Closure:
        if not isinstance(node.node, nodes.Name):
            raise ExpressionSyntaxError(
                "Only functions can be called; to change a value, put a filter after it: value|filter."
            )
        name = node.node.name
        if name == "coalesce":
            return self.coalesce(node)
        return self.apply(_known(FUNCTIONS, "function", name), node, [])

    def filter(self, node: nodes.Filter) -> Closure:
        if node.node is None:
            raise ExpressionSyntaxError("A filter needs a value in front of it.")
        if node.name in {"default", "d"}:
            return self.default(node)
        function = _known(FILTERS, "filter", node.name)
        return self.apply(function, node, [self.compile(node.node)])

    def test(self, node: nodes.Test) -> Closure:
        function = _known(PREDICATES, "test", node.name)
        if node.name in {"defined", "undefined"}:
            check_call(function, 1 + len(node.args), [])
            return _presence(self.compile(node.node), node.name == "defined")
        return self.apply(function, node, [self.compile(node.node)])

    def apply(self, function: Function, node: Any, given: list[Closure]) -> Closure:
        arguments = [*given, *self.arguments(node)]
        named = self.named(node)
        check_call(function, len(arguments), list(named))

        def run(scope: Scope, budget: Budget) -> Any:
            return function(
                budget,
                [argument(scope, budget) for argument in arguments],
                {name: argument(scope, budget) for name, argument in named.items()},
            )

        return run

    def arguments(self, node: Any) -> list[Closure]:
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            raise ExpressionSyntaxError("Arguments can't be unpacked with * or **.")
        return self.compile_all(node.args)

    def named(self, node: Any) -> dict[str, Closure]:
        return {pair.key: self.compile(pair.value) for pair in node.kwargs}

    def default(self, node: nodes.Filter) -> Closure:
        names = [str(pair.key) for pair in node.kwargs]
        check_call(_DEFAULT, 1 + len(node.args), names)
        value = self.compile(node.node)  # type: ignore[arg-type]  # checked in filter()
        given = dict(zip(("default", "boolean"), self.arguments(node), strict=False))
        given.update(self.named(node))
        default = given.get("default", _constant(""))
        falsy = given.get("boolean", _constant(False))

        def run(scope: Scope, budget: Budget) -> Any:
            try:
                found = value(scope, budget)
            except MissingError:
                return default(scope, budget)
            if not found and falsy(scope, budget):
                return default(scope, budget)
            return found

        return run

    def coalesce(self, node: nodes.Call) -> Closure:
        if node.kwargs:
            raise ExpressionSyntaxError("coalesce takes no named arguments.")
        candidates = self.arguments(node)

        def run(scope: Scope, budget: Budget) -> Any:
            for candidate in candidates:
                try:
                    found = candidate(scope, budget)
                except MissingError:
                    continue
                if found is not None:
                    return found
            return None

        return run


def _default(
    budget: Budget, value: Any, default: Any = "", boolean: bool = False
) -> Any:
    """Only its signature is used: the compiler has to catch what is missing."""


_DEFAULT = Function("default", _default)


def _known(table: Mapping[str, Function], what: str, name: str) -> Function:
    function = table.get(name)
    if function is None:
        raise ExpressionSyntaxError(
            f"There is no {what} '{name[:40]}'. Known are: {', '.join(sorted(table))}."
        )
    return function


def _constant(value: Any) -> Closure:
    return lambda scope, budget: value


def _no_else(scope: Scope, budget: Budget) -> Any:
    raise MissingError("The condition does not hold, and there is no else.")


def _presence(value: Closure, wanted: bool) -> Closure:
    def run(scope: Scope, budget: Budget) -> bool:
        try:
            value(scope, budget)
        except MissingError:
            return not wanted
        return wanted

    return run


def _lookup(base: Closure, key: Closure) -> Closure:
    def run(scope: Scope, budget: Budget) -> Any:
        value, name = base(scope, budget), key(scope, budget)
        if type(name) is not str and type(name) is not int:
            raise ExpressionError("Only a string or a whole number can stand in [ ].")
        found = step(value, name)
        if found is MISSING:
            raise missing(str(name)[:100], value)
        return found

    return run


_ORDERED = frozenset({int, float, str})
_FAST: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


def _comparison(left: Closure, name: str, right: Closure) -> Closure:
    holds = operators.COMPARISONS[name]
    fast = _FAST.get(name)
    if fast is None:
        return lambda scope, budget: holds(
            left(scope, budget), right(scope, budget), budget
        )

    def run(scope: Scope, budget: Budget) -> bool:
        one, other = left(scope, budget), right(scope, budget)
        if type(one) is type(other) and type(one) in _ORDERED:
            return fast(one, other)
        return holds(one, other, budget)

    return run


_COMPILERS: dict[type[nodes.Node], Callable[[_Compiler, Any], Closure]] = {
    nodes.Const: _Compiler.const,
    nodes.Name: _Compiler.path,
    nodes.Getattr: _Compiler.path,
    nodes.Getitem: _Compiler.path,
    nodes.List: _Compiler.array,
    nodes.Tuple: _Compiler.array,
    nodes.Dict: _Compiler.object,
    nodes.Add: _Compiler.binary,
    nodes.Sub: _Compiler.binary,
    nodes.Mul: _Compiler.binary,
    nodes.Div: _Compiler.binary,
    nodes.FloorDiv: _Compiler.binary,
    nodes.Mod: _Compiler.binary,
    nodes.Pow: _Compiler.binary,
    nodes.Neg: _Compiler.unary,
    nodes.Pos: _Compiler.unary,
    nodes.Not: _Compiler.not_,
    nodes.And: _Compiler.and_,
    nodes.Or: _Compiler.or_,
    nodes.CondExpr: _Compiler.condition,
    nodes.Concat: _Compiler.concat,
    nodes.Compare: _Compiler.compare,
    nodes.Call: _Compiler.call,
    nodes.Filter: _Compiler.filter,
    nodes.Test: _Compiler.test,
}
