"""What an execution answers."""

from workflows.nodes.base import Call, Node
from workflows.nodes.base import Output as Done


class Output(Node):
    type = "output"
    family = "output"
    summary = "Says what the execution answers."
    config_schema = {
        "type": "object",
        "properties": {
            "value": {"description": "Any JSON value; without one, the node's input."}
        },
        "additionalProperties": False,
    }
    example = {
        "config": {"value": {"total": "{{ input.net * 2 }}"}},
        "input": {"net": 5},
        "output": {"total": 10},
    }

    async def run(self, call: Call) -> Done:
        return Done(call.config.get("value", call.input))
