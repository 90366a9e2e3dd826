"""Takes values out of a text."""

from __future__ import annotations

import json
from typing import Any

from agents.runner import json_in
from workflows.nodes import schemas
from workflows.nodes.asking import (
    INSTRUCTIONS,
    MAX_TOKENS,
    MODEL,
    TEXT,
    ask,
    model_fault,
    quoted,
    reader_for,
)
from workflows.nodes.base import Call, Node, Output
from workflows.nodes.resolved import text

SYSTEM = """\
Take out of the data what this JSON Schema describes:
{schema}
Answer with one JSON value that fits it and nothing else: no Markdown, no words before or after it. What the data does not say is null where the schema allows that, and is left out where it does not. Make nothing up.
{instructions}\
"""


class Extract(Node):
    type = "extract"
    family = "ai"
    summary = "Takes out of a text what a JSON Schema describes. The answer fits the schema: one that does not is asked for once more, and then an error tells its faults. `craftai-1` finds what the text says plainly: values behind labels that are named like the schema's fields, rows of tables, and mail addresses, dates, amounts and options by their looks; it guesses nothing."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "schema": {
                "type": "object",
                "x-literal": True,
                "description": "The JSON Schema (2020-12, without references) of what is wanted. Titles and descriptions tell the model what a field means.",
            },
            "text": TEXT,
            "instructions": INSTRUCTIONS,
            "model": MODEL,
            "max_tokens": MAX_TOKENS,
        },
        "required": ["schema"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"schema"})
    example = {
        "config": {
            "schema": {
                "type": "object",
                "properties": {
                    "invoice_number": {"type": "string"},
                    "date": {"type": "string", "format": "date"},
                    "total": {"type": "number"},
                    "email": {"type": "string", "format": "email"},
                    "items": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "sku": {"type": "string"},
                                "quantity": {"type": "integer"},
                            },
                        },
                    },
                },
                "required": ["invoice_number", "total"],
            }
        },
        "input": "Invoice no: INV-2041\nDate: 3 March 2026\nTotal due: 1.234,50 €\n\nSKU | Qty\nA-1 | 2\nB-2 | 1\n\nQuestions? Write to ada@example.com.",
        "output": {
            "invoice_number": "INV-2041",
            "date": "2026-03-03",
            "total": 1234.5,
            "email": "ada@example.com",
            "items": [{"sku": "A-1", "quantity": 2}, {"sku": "B-2", "quantity": 1}],
        },
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults = model_fault(config)
        if fault := schemas.fault_of(config["schema"]):
            faults["schema"] = fault
        return faults

    async def run(self, call: Call) -> Output:
        schema = call.config["schema"]
        source = call.config.get("text", call.input)
        system = SYSTEM.format(
            schema=json.dumps(schema, ensure_ascii=False),
            instructions=text(call, "instructions"),
        )
        answer, usage = await ask(
            call,
            quoted(source, "text"),
            system=system,
            task={"kind": "extract", "source": source, "schema": schema},
            read=reader_for(schema, json_in),
        )
        return Output(answer.output, usage=usage)
