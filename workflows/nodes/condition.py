"""Yes or no."""

from typing import Any

from workflows.nodes.base import Call, Node, Output
from workflows.nodes.resolved import choice

OPERATORS = [
    *("eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "contains", "not_contains"),
    *("starts_with", "ends_with", "matches", "exists", "not_exists", "empty"),
    "between",
]
CONDITIONS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": 100,
    "description": "What must hold.",
    "items": {
        "type": "object",
        "properties": {
            "field": {
                "type": "string",
                "minLength": 1,
                "description": "A dotted path into the node's input (for `filter`, into the item), such as `order.total`.",
            },
            "op": {"enum": OPERATORS, "description": "How to compare."},
            "value": {
                "description": "What to compare with; it may hold an expression."
            },
        },
        "required": ["field", "op"],
        "additionalProperties": False,
    },
}
COMBINE: dict[str, Any] = {
    "enum": ["all", "any"],
    "default": "all",
    "description": "Whether all conditions must hold, or one is enough.",
}


class Condition(Node):
    type = "condition"
    family = "conditional"
    summary = "Sends its input on to `true` or to `false`."
    config_schema = {
        "type": "object",
        "properties": {"conditions": CONDITIONS, "combine": COMBINE},
        "required": ["conditions"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"conditions"})
    handles = ("true", "false")
    example = {
        "config": {"conditions": [{"field": "total", "op": "gte", "value": 100}]},
        "input": {"total": 120},
        "output": {"total": 120},
        "handles": ["true"],
    }

    async def run(self, call: Call) -> Output:
        combine = choice(call, "combine", ("all", "any"), "all")
        holds = call.matches(call.config["conditions"], combine)
        return Output(call.input, ("true" if holds else "false",))
