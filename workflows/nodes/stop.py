"""The end, wherever it stands."""

from workflows.nodes.base import Call, Node, NodeError
from workflows.nodes.base import Stop as Stopped
from workflows.nodes.resolved import choice, text


class Stop(Node):
    type = "stop"
    family = "flow"
    summary = "Ends the whole execution, as completed or as failed."
    config_schema = {
        "type": "object",
        "properties": {
            "status": {
                "enum": ["completed", "failed"],
                "default": "completed",
                "description": "How the execution ends.",
            },
            "message": {
                "type": "string",
                "maxLength": 2_000,
                "description": "For failed: what went wrong, for people.",
            },
            "code": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]{0,63}$",
                "description": "For failed: what went wrong, for programs.",
            },
            "output": {
                "description": "The execution's output; without one, the node's input."
            },
        },
        "additionalProperties": False,
    }
    handles = ()
    example = {
        "config": {"output": {"skipped": True}},
        "input": {"order": 7},
        "output": {"skipped": True},
        "handles": [],
    }

    async def run(self, call: Call) -> Stopped:
        output = call.config.get("output", call.input)
        if choice(call, "status", ("completed", "failed"), "completed") == "completed":
            return Stopped(output)
        message = text(call, "message", "The workflow stopped here.")
        return Stopped(output, NodeError(message, code=text(call, "code", "stopped")))
