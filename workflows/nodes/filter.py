"""Keeps some items of a list."""

from workflows.nodes.base import Call, Node, Output
from workflows.nodes.condition import COMBINE, CONDITIONS
from workflows.nodes.items import ITEMS, bounded, items_of
from workflows.nodes.resolved import choice


class Filter(Node):
    type = "filter"
    family = "processing"
    summary = "Keeps those items of a list for which conditions hold."
    config_schema = {
        "type": "object",
        "properties": {
            "items": ITEMS,
            "conditions": CONDITIONS
            | {
                "description": "What must hold. `field` is a path into the item, `.` the item itself; expressions may read `item` and `index`."
            },
            "combine": COMBINE,
            "keep": {
                "enum": ["matching", "others"],
                "default": "matching",
                "description": "Which items go on.",
            },
        },
        "required": ["conditions"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"conditions"})
    example = {
        "config": {"conditions": [{"field": "total", "op": "gte", "value": 100}]},
        "input": [{"id": 1, "total": 120}, {"id": 2, "total": 80}],
        "output": [{"id": 1, "total": 120}],
    }

    async def run(self, call: Call) -> Output:
        combine = choice(call, "combine", ("all", "any"), "all")
        matches = call.matcher(call.config["conditions"], combine)
        keeps = choice(call, "keep", ("matching", "others"), "matching") == "matching"
        return Output(
            [
                item
                for index, item in enumerate(bounded(items_of(call)))
                if matches(item, item=item, index=index) == keeps
            ]
        )
