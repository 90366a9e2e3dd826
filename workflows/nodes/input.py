"""Where a graph begins: says what input it takes."""

from typing import Any

from workflows.nodes import schemas
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.resolved import kind_of


class Input(Node):
    type = "input"
    family = "input"
    summary = "Takes what starts the workflow: fills in defaults and refuses input that does not fit."
    config_schema = {
        "type": "object",
        "properties": {
            "schema": {
                "type": ["object", "boolean"],
                "x-literal": True,
                "description": "A JSON Schema that the input must fit, after the defaults were filled in.",
            },
            "defaults": {
                "type": "object",
                "description": "Values for fields that the input leaves out.",
            },
        },
        "additionalProperties": False,
    }
    raw_fields = frozenset({"schema"})
    example = {
        "config": {
            "schema": {
                "type": "object",
                "properties": {"priority": {"type": "integer"}},
                "required": ["priority"],
            },
            "defaults": {"priority": 5},
        },
        "input": {"title": "Broken screen"},
        "output": {"priority": 5, "title": "Broken screen"},
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        if fault := schemas.fault_of(config.get("schema", True)):
            return {"schema": fault}
        return {}

    async def run(self, call: Call) -> Output:
        value = call.input
        if defaults := call.config.get("defaults"):
            if not isinstance(value, dict | None):
                raise NodeError(
                    f"The input must be an object to take defaults; it is {kind_of(value)}.",
                    code="invalid_input",
                )
            value = {**defaults, **(value or {})}
        if "schema" in call.config and (
            faults := schemas.faults(call.config["schema"], value)
        ):
            raise NodeError(
                f"The input does not fit: {'; '.join(faults)}.", code="invalid_input"
            )
        return Output(value)
