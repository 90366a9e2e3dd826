"""Something has to come."""

from datetime import UTC, datetime, timedelta

from workflows.nodes.base import Call, Node, NodeError, Outcome, Output, Waiting
from workflows.nodes.delay import MAX_SECONDS
from workflows.nodes.resolved import number, text

MAX_NAME = 200


class Wait(Node):
    type = "wait"
    family = "flow"
    summary = "Waits until a signal of this name is sent to the execution (`POST /executions/{id}/signals`), and goes on with its data. Waiting holds no worker."
    may_wait = True
    handles = ("main", "timeout")
    config_schema = {
        "type": "object",
        "properties": {
            "signal": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_NAME,
                "description": "The signal's name, such as `payment-{{ input.order }}`. One that comes before the node is reached is kept for 24 hours; each is consumed once.",
            },
            "timeout_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": MAX_SECONDS,
                "description": "After so long it goes on by the handle `timeout`, with its input; at most 365 days. Without it, it waits as long as it takes.",
            },
        },
        "required": ["signal"],
        "additionalProperties": False,
    }
    example = {
        "config": {"signal": "paid", "timeout_seconds": 86400},
        "input": {"order": 7},
        "signal": {"amount": 120},
        "output": {"amount": 120},
    }

    async def run(self, call: Call) -> Outcome:
        name = text(call, "signal")
        if not 0 < len(name) <= MAX_NAME:
            raise NodeError(
                f"A signal's name has 1 to {MAX_NAME} characters.",
                code="invalid_config",
            )
        if signal := call.signal(name):
            return Output(signal.data, took=signal.id)
        if "timeout_seconds" not in call.config:
            return Waiting(None)
        seconds = number(call, "timeout_seconds", at_least=0, at_most=MAX_SECONDS)
        until = call.started_at + timedelta(seconds=seconds)
        if datetime.now(UTC) >= until:
            return Output(call.input, ("timeout",))
        return Waiting(until)
