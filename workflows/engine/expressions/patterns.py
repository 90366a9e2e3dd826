"""Regular expressions of customers, by RE2: no backtracking, so none that hangs."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import re2

from workflows.engine.expressions.bounds import Budget, ExpressionError

MAX_PATTERN = 1_000
MAX_PROGRAM = 2_000
# Where RE2's automaton outgrows its memory, a search costs the length of the text times that of the program.
MAX_PRODUCT = 20_000_000


@lru_cache(maxsize=512)
def compile_pattern(pattern: str) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise ExpressionError(
            f"A pattern may be {MAX_PATTERN:,} characters long, not {len(pattern):,}."
        )
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        raise ExpressionError(
            f"The pattern {pattern!r} can't be read: {_reason(error)}."
        ) from error
    if compiled.programsize > MAX_PROGRAM:
        raise ExpressionError(f"The pattern {pattern!r} is too complex.")
    return compiled


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def search(pattern: str, text: str, budget: Budget) -> bool:
    return next(find(pattern, text, budget), None) is not None


def find(pattern: str, text: str, budget: Budget) -> Iterator[Any]:
    """Each match, paid for one by one."""
    compiled = compile_pattern(pattern)
    budget.spend_text(len(text))
    if compiled.programsize * len(text) > MAX_PRODUCT:
        raise ExpressionError(f"The pattern {pattern!r} is too complex for this text.")
    for match in compiled.finditer(text):
        budget.spend(1 + len(match.groups()))
        yield match
