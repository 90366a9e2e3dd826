"""Keeps a part of a list."""

from workflows.nodes.base import Call, Node, Output
from workflows.nodes.items import ITEMS, MAX_ITEMS, items_of
from workflows.nodes.resolved import choice, number


class Limit(Node):
    type = "limit"
    family = "processing"
    summary = "Keeps so many items of a list, from its beginning or its end."
    config_schema = {
        "type": "object",
        "properties": {
            "items": ITEMS,
            "count": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_ITEMS,
                "description": "How many items to keep.",
            },
            "offset": {
                "type": "integer",
                "minimum": 0,
                "maximum": MAX_ITEMS,
                "default": 0,
                "description": "How many to pass over before, counted from the same end.",
            },
            "from": {
                "enum": ["first", "last"],
                "default": "first",
                "description": "Which end to count from. The order stays as it is.",
            },
        },
        "required": ["count"],
        "additionalProperties": False,
    }
    example = {
        "config": {"count": 2, "offset": 1},
        "input": ["a", "b", "c", "d"],
        "output": ["b", "c"],
    }

    async def run(self, call: Call) -> Output:
        items = items_of(call)
        count = int(number(call, "count", at_least=0, at_most=MAX_ITEMS))
        offset = int(number(call, "offset", at_least=0, at_most=MAX_ITEMS))
        if choice(call, "from", ("first", "last"), "first") == "first":
            return Output(items[offset : offset + count])
        end = max(0, len(items) - offset)
        return Output(items[max(0, end - count) : end])
