"""The same again, until it is enough."""

from collections.abc import Callable
from typing import Any

from workflows.nodes.base import Call, Iterating, Node, NodeError, Turns
from workflows.nodes.condition import COMBINE, CONDITIONS
from workflows.nodes.resolved import choice, number

MAX_TURNS = 10_000
AT_BOUND = ("fail", "go_on")


class Loop(Node):
    type = "loop"
    family = "flow"
    summary = "Runs the nodes behind its handle `item` again and again, each time on what the last turn made, until its conditions hold; then goes on by `done`."
    repeats = True
    raw_fields = frozenset({"conditions"})
    handles = ("item", "done")
    config_schema = {
        "type": "object",
        "properties": {
            "value": {
                "description": "What the first turn begins with. Without it, the node's input.",
            },
            "conditions": {
                **CONDITIONS,
                "description": "Looked at after each turn, on what it made: where they hold, it is enough. Without them it is, after the most turns.",
            },
            "combine": COMBINE,
            "most_turns": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_TURNS,
                "default": 100,
                "description": "It never turns more often.",
            },
            "at_bound": {
                "enum": list(AT_BOUND),
                "default": "fail",
                "description": "What happens where the conditions still do not hold after the most turns.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {
            "most_turns": 3,
            "conditions": [{"field": "left", "op": "eq", "value": 0}],
        },
        "input": {"left": 2},
        "turns": [{"left": 1}, {"left": 0}],
        "output": {"left": 0},
        "handles": ["done"],
    }  # fmt: skip

    async def run(self, call: Call) -> Iterating:
        conditions = call.config.get("conditions")
        combine = choice(call, "combine", ("all", "any"), "all")
        most = int(
            number(call, "most_turns", at_least=1, at_most=MAX_TURNS, default=100)
        )
        goes_on_at_bound = choice(call, "at_bound", AT_BOUND, "fail") == "go_on"
        return Iterating(
            _Again(
                call.config.get("value", call.input),
                call.matcher(conditions, combine) if conditions else None,
                most,
                fails_at_bound=bool(conditions) and not goes_on_at_bound,
            )
        )


class _Again(Turns):
    def __init__(
        self,
        value: Any,
        is_enough: Callable[..., bool] | None,
        most: int,
        *,
        fails_at_bound: bool,
    ) -> None:
        self._value = value
        self._is_enough = is_enough
        self._most = most
        self._fails_at_bound = fails_at_bound
        self._turns = 0

    def begin(self) -> tuple[Any] | None:
        if self._turns and self._is_over():
            return None
        if self._turns < self._most:
            self._turns += 1
            return (self._value,)
        if self._fails_at_bound:
            raise NodeError(
                f"The conditions still don't hold after {self._most:,} turns.",
                code="loop_bound",
            )
        return None

    def _is_over(self) -> bool:
        return self._is_enough is not None and self._is_enough(
            self._value, index=self._turns - 1
        )

    def finish(self, index: int, value: Any) -> None:
        self._value = value

    def fail(self, index: int, error: dict[str, Any]) -> bool:
        return False

    def result(self) -> Any:
        return self._value
