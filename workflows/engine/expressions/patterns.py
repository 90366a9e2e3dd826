"""Regular expressions of customers, by RE2: no backtracking, so none that hangs."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import re2

from workflows.engine.expressions.bounds import Budget, ExpressionError

MAX_PATTERN = 1_000
MAX_PROGRAM = 2_000
# At its worst, where RE2's automaton outgrows its memory, each character costs some 10 ns for each instruction of the pattern's program.
WORK_PER_STEP = 60


def check_pattern(pattern: str) -> None:
    _compiled(pattern, False)


def search(pattern: str, text: str, budget: Budget) -> bool:
    compiled = _compiled(pattern, False)
    _pay(compiled, text, budget)
    return compiled.search(text) is not None


def find(pattern: str, text: str, budget: Budget) -> Iterator[Any]:
    """Each match, paid for one by one."""
    compiled = _compiled(pattern, True)
    _pay(compiled, text, budget)
    for match in compiled.finditer(text):
        budget.spend(1 + len(match.groups()))
        yield match


def _pay(compiled: Any, text: str, budget: Budget) -> None:
    budget.spend_text(len(text))
    budget.spend(compiled.programsize * len(text) // WORK_PER_STEP)


@lru_cache(maxsize=512)
def _compiled(pattern: str, captures: bool) -> Any:
    if len(pattern) > MAX_PATTERN:
        raise ExpressionError(
            f"A pattern may be {MAX_PATTERN:,} characters long, not {len(pattern):,}."
        )
    options = re2.Options()
    options.log_errors = False
    options.never_capture = not captures
    try:
        compiled = re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        raise ExpressionError(
            f"The pattern {_shown(pattern)} can't be read: {_reason(error)}."
        ) from error
    if compiled.programsize > MAX_PROGRAM:
        raise ExpressionError(f"The pattern {_shown(pattern)} is too complex.")
    return compiled


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else pattern[:79] + "…")


def _reason(error: Exception) -> str:
    reason = error.args[0] if error.args else error
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
