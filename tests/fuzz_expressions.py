"""The expressions under fifty thousand inputs that nobody would write: `make fuzz`.

Each either gives plain JSON or an expression error, never what stands behind an object; within 100 ms of processor time and 10 MB of memory. Half are drawn by
grammar, half are hostile ones of the tests with pieces cut out, doubled and put together.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import secrets
import sys
import time
import tracemalloc
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from rich.console import Console
from rich.table import Table

from tests.workflows.test_expressions import (
    EXPRESSIONS,
    HOSTILE,
    HOSTILE_SCOPE,
    attempt,
)
from workflows.engine.expressions import ExpressionError

MOST_SECONDS, MOST_BYTES = 0.1, 10 * 1024 * 1024
MOST_CHARACTERS = 2_200_000  # of JSON: a megabyte of quotes has two of text


class Tally:
    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.slowest: tuple[float, str] = (0.0, "")
        self.largest: tuple[int, str] = (0, "")

    def ask(self, source: str, scope: Any) -> None:
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        found = attempt(source, scope)
        used = tracemalloc.get_traced_memory()[1] - before
        began = time.thread_time()
        attempt(source, scope)
        took = time.thread_time() - began
        if took > MOST_SECONDS:  # a neighbour's work, unless it is so again
            tracemalloc.stop()
            began = time.thread_time()
            attempt(source, scope)
            took = time.thread_time() - began
            tracemalloc.start()
        self.slowest = max(self.slowest, (took, source))
        self.largest = max(self.largest, (used, source))
        assert took <= MOST_SECONDS, f"{took:.3f} s: {source}"
        assert used <= MOST_BYTES, f"{used:,} bytes: {source}"
        if isinstance(found, ExpressionError):
            assert "s3cret" not in found.message, source
            self.outcomes[f"refused: {found.code}"] += 1
        elif not any(found is value for value in scope.values()):  # made, not handed on
            text = json.dumps(found, allow_nan=False, ensure_ascii=False)
            assert json.loads(text) == found, source
            assert len(text) <= MOST_CHARACTERS, f"{len(text):,} characters: {source}"
            assert "s3cret" not in text, source
            self.outcomes["gave JSON"] += 1


def mutated(chance: random.Random) -> str:
    """Of hostile ones: one cut short, one with a piece doubled, or two put together."""
    first, second = chance.choice(HOSTILE), chance.choice(HOSTILE)
    start, end = sorted(chance.sample(range(len(first) + 1), 2)) if first else (0, 0)
    return chance.choice(
        [
            first[:start] + first[end:],
            first[:end] + first[start:],
            f"({first}) ~ ({second})",
            f"[{first}, {second}] | length",
            first[:start] + second + first[start:],
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    given_ = parser.parse_args()
    half = given_.inputs // 2
    console, tally = Console(), Tally()
    console.print(f"seed {given_.seed}")
    gc.disable()
    tracemalloc.start()

    @settings(
        max_examples=half,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(EXPRESSIONS)
    def by_grammar(source: str) -> None:
        tally.ask(source, HOSTILE_SCOPE)

    by_grammar()
    chance = random.Random(given_.seed)  # noqa: S311  # to be repeated, not to be secret
    for number in range(given_.inputs - half):
        tally.ask(mutated(chance), HOSTILE_SCOPE)
        if number % 500 == 0:
            gc.collect()
    table = Table("outcome", "inputs", title=f"{sum(tally.outcomes.values()):,} inputs")
    for outcome, number in tally.outcomes.most_common():
        table.add_row(outcome, f"{number:,}")
    console.print(table)
    console.print(f"slowest {tally.slowest[0] * 1000:.1f} ms: {tally.slowest[1][:100]}")
    console.print(
        f"largest {tally.largest[0] / 2**20:.2f} MB: {tally.largest[1][:100]}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
