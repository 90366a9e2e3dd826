"""Time passes."""

from datetime import UTC, datetime, timedelta
from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Outcome, Output, Waiting
from workflows.nodes.resolved import is_expression, number, text

MAX_SECONDS = 365 * 24 * 3600


class Delay(Node):
    type = "delay"
    family = "flow"
    may_wait = True
    summary = "Waits, for some seconds or until a time, and sends its input on. A waiting execution holds no worker."
    config_schema = {
        "type": "object",
        "properties": {
            "seconds": {
                "type": "number",
                "minimum": 0,
                "maximum": MAX_SECONDS,
                "description": "How long to wait from when the node was reached; at most 365 days.",
            },
            "until": {
                "type": "string",
                "description": "A time as ISO 8601, such as `2027-03-01T08:00:00Z`; without a zone it is UTC. One that has passed does not wait.",
            },
        },
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    example = {
        "config": {"seconds": 0},
        "input": {"order": 7},
        "output": {"order": 7},
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        until = config.get("until")
        if until is None or is_expression(until):
            return {}
        try:
            _as_time(until)
        except NodeError as error:
            return {"until": error.message}
        return {}

    async def run(self, call: Call) -> Outcome:
        if "until" in call.config:
            until = _as_time(text(call, "until"))
            if until > call.started_at + timedelta(seconds=MAX_SECONDS):
                raise NodeError(
                    "until is more than 365 days away.", code="invalid_config"
                )
        else:
            seconds = number(call, "seconds", at_least=0, at_most=MAX_SECONDS)
            until = call.started_at + timedelta(seconds=seconds)
        return Waiting(until) if datetime.now(UTC) < until else Output(call.input)


def _as_time(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value.strip())
    except ValueError:
        raise NodeError(
            f"until must be a time such as 2027-03-01T08:00:00Z; it is {value[:50]!r}.",
            code="invalid_config",
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
