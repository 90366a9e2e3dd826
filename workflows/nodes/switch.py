"""Chooses the way on by one value."""

from typing import Any

from workflows.nodes.base import Call, Node, Output
from workflows.nodes.resolved import is_expression
from workflows.nodes.route import CASE_NAME, NO_EXPRESSION, name_faults


class Switch(Node):
    type = "switch"
    family = "conditional"
    summary = "Compares one value with a list of cases and sends the input on to the one that is equal."
    config_schema = {
        "type": "object",
        "properties": {
            "value": {"description": "What to look at, such as `{{ input.country }}`."},
            "cases": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "description": "Texts or whole numbers, which name their handles themselves (`case:de`), or objects with a name and what it equals.",
                "items": {
                    "anyOf": [
                        CASE_NAME,
                        {"type": "integer"},
                        {
                            "type": "object",
                            "properties": {
                                "name": CASE_NAME,
                                "equals": {
                                    "description": "Any JSON value; it may hold an expression."
                                },
                            },
                            "required": ["name", "equals"],
                            "additionalProperties": False,
                        },
                    ]
                },
            },
        },
        "required": ["value", "cases"],
        "additionalProperties": False,
    }
    handles = ("default",)
    example = {
        "config": {"value": "{{ input.country }}", "cases": ["de", "fr"]},
        "input": {"country": "fr"},
        "output": {"country": "fr"},
        "handles": ["case:fr"],
    }

    def handles_for(self, config: dict[str, Any]) -> tuple[str, ...]:
        return (*(f"case:{case['name']}" for case in _named(config)), "default")

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        if is_expression(config["cases"]):
            return {"cases": NO_EXPRESSION}
        return name_faults(_named(config))

    async def run(self, call: Call) -> Output:
        value = call.config["value"]
        for case in _named(call.config):
            if _is_same(value, case["equals"]):
                return Output(call.input, (f"case:{case['name']}",))
        return Output(call.input, ("default",))


def _named(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        case if isinstance(case, dict) else {"name": str(case), "equals": case}
        for case in config["cases"]
    ]


def _is_same(one: Any, other: Any) -> bool:
    """Equal as JSON: Python takes True for 1."""
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
