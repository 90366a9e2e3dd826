"""Tells the company's own subscribers that something happened."""

from __future__ import annotations

import json
import re
from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.resolved import text

NAME = r"^custom\.[a-z0-9_]+(\.[a-z0-9_]+){0,4}$"
MAX_NAME = 100
MAX_CHARACTERS = 64_000


class Emit(Node):
    type = "emit"
    family = "integrations"
    summary = "Publishes an event of the company's own, for its webhooks and whatever else listens: once, in the very commit that notes the node as done."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "event": {
                "type": "string",
                "pattern": NAME,
                "maxLength": MAX_NAME,
                "description": "Its name, in the past tense: `custom.order_shipped`.",
            },
            "data": {
                "description": "What it says: any JSON; without it, the node's input."
            },
        },
        "required": ["event"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "event": "custom.order_shipped",
            "data": {"order": "{{ input.id }}"},
        },
        "input": {"id": 17, "note": "not told"},
        "output": {"event": "custom.order_shipped", "id": "exec_example:node:"},
    }

    async def run(self, call: Call) -> Output:
        name = text(call, "event")
        if not re.fullmatch(NAME, name) or len(name) > MAX_NAME:
            raise NodeError(
                f"{name[:MAX_NAME]!r} can't be the name of an event: write custom. and words of small letters, digits and _, with dots between them.",
                code="invalid_config",
            )
        data = call.config.get("data", call.input)
        if len(json.dumps(data)) > MAX_CHARACTERS:
            raise NodeError(
                f"An event may carry {MAX_CHARACTERS:,} characters. Tell where the rest is.",
                code="invalid_input",
            )
        told: dict[str, Any] = {
            "id": call.idempotency_key,
            "execution_id": call.execution_id,
            "data": data,
        }
        return Output({"event": name, "id": call.idempotency_key}, news=((name, told),))
