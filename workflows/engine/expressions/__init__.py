"""The expression language: Jinja's syntax in `{{ … }}`, over plain JSON.

Jinja2's parser reads, our own compiler makes closures, and nothing else of Jinja runs. `docs/expressions.md` is the language's manual.
"""

from workflows.engine.expressions.bounds import (
    ExpressionError,
    ExpressionSyntaxError,
    MissingError,
)
from workflows.engine.expressions.resolvables import Value, compile_value, render

__all__ = [
    "ExpressionError",
    "ExpressionSyntaxError",
    "MissingError",
    "Value",
    "compile_value",
    "render",
]
