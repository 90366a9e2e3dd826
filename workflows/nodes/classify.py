"""Says what a text is about, out of a list of labels."""

from __future__ import annotations

import json
from typing import Any

from agents.runner import json_in
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
from workflows.nodes.resolved import flag, is_expression, text
from workflows.nodes.route import CASE_NAME, NO_EXPRESSION

LABEL = CASE_NAME | {"description": "With branch, an edge leaves from `case:<label>`."}
SYSTEM = """\
Say which of these labels the data is about:
{labels}
Answer with {{"labels": ["…"]}} and nothing else: {count}, and an empty list where none fits.
{instructions}\
"""


class Classify(Node):
    type = "classify"
    family = "ai"
    summary = "Says which of your labels a text is about, and with branch sends the input on by it. `craftai-1` goes by the words that the text shares with the labels' names and descriptions, or by words of the same meaning."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "labels": {
                "type": "array",
                "minItems": 1,
                "maxItems": 100,
                "description": "Names, or objects with a name and a description of what it is for.",
                "items": {
                    "anyOf": [
                        LABEL,
                        {
                            "type": "object",
                            "properties": {
                                "name": LABEL,
                                "description": {
                                    "type": "string",
                                    "maxLength": 2_000,
                                    "description": "What texts of this label are about.",
                                },
                            },
                            "required": ["name"],
                            "additionalProperties": False,
                        },
                    ]
                },
            },
            "text": TEXT,
            "multi": {
                "type": "boolean",
                "default": False,
                "description": "Whether a text may have several labels.",
            },
            "branch": {
                "type": "boolean",
                "default": False,
                "description": "Whether the input goes on by `case:<label>`, or by `default` where no label fits. Without it, the output is `{label, labels}`.",
            },
            "instructions": INSTRUCTIONS,
            "model": MODEL,
            "max_tokens": MAX_TOKENS,
        },
        "required": ["labels"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "labels": [
                {"name": "billing", "description": "Invoices, payments, refunds"},
                {"name": "bug", "description": "Errors, crashes, what does not work"},
            ],
            "text": "{{ input.message }}",
        },
        "input": {"message": "The app crashes when I open my orders."},
        "output": {"label": "bug", "labels": ["bug"]},
    }

    def handles_for(self, config: dict[str, Any]) -> tuple[str, ...]:
        if not config.get("branch"):
            return self.handles
        return (*(f"case:{label['name']}" for label in _named(config)), "default")

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults = model_fault(config)
        if is_expression(config.get("branch")):
            faults["branch"] = NO_EXPRESSION
        if is_expression(config["labels"]) or any(map(is_expression, config["labels"])):
            return faults | {"labels": NO_EXPRESSION}
        names = [label["name"] for label in _named(config)]
        for place, name in enumerate(names):
            if is_expression(name):
                faults[f"labels.{place}.name"] = NO_EXPRESSION
            elif name in names[:place]:
                faults[f"labels.{place}"] = f"There is another label named {name}."
        return faults

    async def run(self, call: Call) -> Output:
        labels = _named(call.config)
        multi = flag(call, "multi", default=False)
        source = call.config.get("text", call.input)
        plain = source if isinstance(source, str) else json.dumps(source)
        system = SYSTEM.format(
            labels="\n".join(json.dumps(label, ensure_ascii=False) for label in labels),
            count="those that fit" if multi else "the one that fits best",
            instructions=text(call, "instructions"),
        )
        answer, usage = await ask(
            call,
            quoted(source, "text"),
            system=system,
            task={"kind": "classify", "text": plain, "labels": labels, "multi": multi},
            read=reader_for(_answer_schema(labels, multi=multi), json_in),
        )
        chosen: list[str] = answer.output["labels"]
        if not call.config.get("branch"):
            label = chosen[0] if chosen else None
            return Output({"label": label, "labels": chosen}, usage=usage)
        handles = tuple(f"case:{name}" for name in chosen) or ("default",)
        return Output(call.input, handles, usage=usage)


def _named(config: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        label if isinstance(label, dict) else {"name": label}
        for label in config["labels"]
    ]


def _answer_schema(labels: list[dict[str, Any]], *, multi: bool) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "labels": {
                "type": "array",
                "items": {"enum": [label["name"] for label in labels]},
                "maxItems": len(labels) if multi else 1,
                "uniqueItems": True,
            }
        },
        "required": ["labels"],
    }
