"""Asks a model."""

from __future__ import annotations

import json
from typing import Any

from agents.runner import AS_JSON, json_in
from workflows.nodes import schemas
from workflows.nodes.asking import (
    MAX_PROMPT,
    MAX_TOKENS,
    MODEL,
    TEMPERATURE,
    ask,
    model_fault,
    quoted,
    reader_for,
    without_data,
    written,
)
from workflows.nodes.base import Call, Node, Output
from workflows.nodes.resolved import choice, is_expression


class AiModel(Node):
    type = "ai_model"
    family = "ai"
    summary = "Asks a model, and answers with its text, or with JSON that fits a schema. What expressions put into a prompt is quoted as data. `craftai-1` writes nothing of its own: it answers with those sentences of the data that speak of what the prompt asks, or, asked for a summary, with the few that say most of it; and for JSON as `extract` does."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "prompt": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_PROMPT,
                "description": "What to do. A value that an expression puts into it is data for the model, never an instruction; only a prompt that is one expression as a whole is taken at its word.",
            },
            "system": {
                "type": "string",
                "maxLength": MAX_PROMPT,
                "description": "Who the model is and what it keeps to. `craftai-1` does not read it.",
            },
            "data": {
                "description": "What the prompt is about: any value, quoted behind it."
            },
            "model": MODEL,
            "temperature": TEMPERATURE,
            "max_tokens": MAX_TOKENS,
            "output": {
                "enum": ["text", "json"],
                "default": "text",
                "description": "json answers with the value itself.",
            },
            "schema": {
                "type": ["object", "boolean"],
                "x-literal": True,
                "description": "For json: a JSON Schema (2020-12, without references). An answer that does not fit is asked for once more, and then an error.",
            },
        },
        "required": ["prompt"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"prompt", "system", "schema"})
    example = {
        "config": {
            "prompt": "Summarise this complaint in one sentence: {{ input.text }}"
        },
        "input": {
            "text": "The parcel with my coffee came late. It was open, and half of the coffee was missing. I want my coffee."
        },
        "output": "The parcel with my coffee came late.",
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults = model_fault(config)
        output = config.get("output", "text")
        if is_expression(output):
            faults["output"] = "Write this out: it can't be an expression."
        elif "schema" in config and output != "json":
            faults["schema"] = "A schema goes with `output: json`."
        elif "schema" in config and (fault := schemas.fault_of(config["schema"])):
            faults["schema"] = fault
        return faults

    async def run(self, call: Call) -> Output:
        prompt, values = written(call, "prompt")
        system, _ = written(call, "system")
        task: dict[str, Any] = {
            "kind": "write",
            "prompt": without_data(prompt),
            "data": values,
        }
        if "data" in call.config:
            data = call.config["data"]
            prompt = f"{prompt}\n\n{quoted(data, 'data')}"
            values.append(data if isinstance(data, str) else json.dumps(data))
        if choice(call, "output", ("text", "json"), "text") == "text":
            task["output"] = "text"
            answer, usage = await ask(call, prompt, system=system, task=task)
            return Output(answer.response, usage=usage)
        schema = call.config.get("schema")
        task |= {"output": "json", "schema": schema if schema is not True else None}
        form = "" if schema is None else f"\nIt fits this JSON Schema: {_shown(schema)}"
        answer, usage = await ask(
            call,
            prompt,
            system=f"{system}\n\n{AS_JSON}{form}".strip(),
            task=task,
            read=json_in if schema is None else reader_for(schema, json_in),
        )
        return Output(answer.output, usage=usage)


def _shown(schema: Any) -> str:
    return json.dumps(schema, ensure_ascii=False)
