"""What an expression may cost, and how it fails.

The language has no loop, so that an expression's own nodes cost at most their number, which is bounded when it is parsed. What is left to count is work
in proportion to the data: each operation on a string, a list or an object says what it is about to spend before it spends it.
"""

from collections.abc import Iterable, Iterator
from time import monotonic, thread_time
from typing import TypeVar

MAX_STEPS = 100_000
MAX_OUTPUT = 1_000_000
MAX_SECONDS = 0.07  # looked at between two pieces of work: so nothing takes 0.1
MAX_DEPTH = 100
MAX_INTEGER = 2**63 - 1
CHARACTERS_PER_STEP = 100
CLOCK_EVERY = 500

Item = TypeVar("Item")


class ExpressionError(Exception):
    """An expression could not be evaluated. `message` is for the person who wrote it; `path` says where in the value it stands."""

    code = "expression_failed"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.reason = message
        self.path: tuple[str | int, ...] = ()

    @property
    def message(self) -> str:
        where = ".".join(str(part) for part in self.path)
        return f"{where}: {self.reason}" if where else self.reason

    def __str__(self) -> str:
        return self.message

    def within(self, part: str | int) -> None:
        self.path = (part, *self.path)


class ExpressionSyntaxError(ExpressionError):
    """It could not even be read."""


class MissingError(ExpressionError):
    """A name or key that is not there: the one error that `default()` catches."""


class Budget:
    """What one resolve may still spend. The defaults are the class's own, so that making one costs nothing."""

    steps = MAX_STEPS
    output = MAX_OUTPUT
    deadline = 0.0
    cpu_began = 0.0

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise ExpressionError(f"It takes more than {MAX_STEPS:,} steps.")
        now = monotonic()
        if not self.deadline:
            self.deadline = now + MAX_SECONDS
            self.cpu_began = thread_time()
        # A thread that merely had to wait for the processor has done nothing wrong.
        elif now > self.deadline and thread_time() - self.cpu_began > MAX_SECONDS:
            raise ExpressionError(f"It takes longer than {MAX_SECONDS * 1000:.0f} ms.")

    def each(self, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with an eye on the clock: for loops whose steps are paid for beforehand."""
        for place, item in enumerate(items, 1):
            if place % CLOCK_EVERY == 0:
                self.spend(0)
            yield item

    def spend_text(self, characters: int) -> None:
        """Before a string of this length is read or made."""
        if characters > MAX_OUTPUT:
            raise ExpressionError("It works on a string of more than 1 MB.")
        self.spend(1 + characters // CHARACTERS_PER_STEP)

    def produce(self, size: int) -> None:
        self.output -= size
        if self.output < 0:
            raise too_large()


def too_large() -> ExpressionError:
    return ExpressionError("It makes more than 1 MB.")
