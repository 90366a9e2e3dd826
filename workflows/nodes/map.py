"""The same for each item of a list."""

from collections.abc import Sequence
from typing import Any

from workflows.nodes.base import Call, Iterating, Node, Outcome, Output, Turns
from workflows.nodes.items import ITEMS, bounded, items_of
from workflows.nodes.resolved import choice, number

MAX_AT_ONCE = 50
ON_ITEM_ERROR = ("fail", "skip", "collect")


class Map(Node):
    type = "map"
    family = "flow"
    summary = "Runs the nodes behind its handle `item` once for each item, several side by side, and goes on by `done` with what came out, in the items' order."
    repeats = True
    raw_fields = frozenset({"value"})
    handles = ("item", "done")
    config_schema = {
        "type": "object",
        "properties": {
            "items": ITEMS,
            "at_once": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_AT_ONCE,
                "default": 10,
                "description": "So many items are under way side by side.",
            },
            "on_item_error": {
                "enum": list(ON_ITEM_ERROR),
                "default": "fail",
                "description": "What an item that fails does: the node fails with it; it is left out; or its place in the result holds `{item, error}`.",
            },
            "value": {
                "description": "Instead of nodes behind `item`: what becomes of each item. Expressions see `item` and `index`.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {"value": "{{ item * 2 }}"},
        "input": [1, 2, 3],
        "output": [2, 4, 6],
        "handles": ["done"],
    }

    async def run(self, call: Call) -> Outcome:
        items = items_of(call)
        if "item" in call.leaving:
            return Iterating(
                _Items(
                    items,
                    int(number(call, "at_once", at_least=1, at_most=MAX_AT_ONCE, default=10)),
                    choice(call, "on_item_error", ON_ITEM_ERROR, "fail"),
                )
            )  # fmt: skip
        made = call.config.get("value", "{{ item }}")
        return Output(
            [
                call.evaluate(made, item=item, index=index)
                for index, item in enumerate(bounded(items))
            ],
            ("done",),
        )


class _Items(Turns):
    def __init__(self, items: Sequence[Any], at_once: int, on_error: str) -> None:
        self.at_once = at_once
        self._items = items
        self._on_error = on_error
        self._results: dict[int, Any] = {}
        self._next = 0

    def begin(self) -> tuple[Any] | None:
        if self._next == len(self._items):
            return None
        self._next += 1
        return (self._items[self._next - 1],)

    def finish(self, index: int, value: Any) -> None:
        self._results[index] = value

    def fail(self, index: int, error: dict[str, Any]) -> bool:
        if self._on_error == "collect":
            self._results[index] = {"item": self._items[index], "error": error}
        return self._on_error != "fail"

    def result(self) -> list[Any]:
        return [self._results[index] for index in sorted(self._results)]
