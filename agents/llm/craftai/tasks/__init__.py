"""What nodes of workflows ask `craftai-1` for, beside questions about data: known tasks, each carried out by rules. The answer is text, as any model's is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agents.llm.craftai.tasks.classify import classify
from agents.llm.craftai.tasks.extract import extract
from agents.llm.craftai.tasks.write import write

MAX_TEXT = 200_000
Task = dict[str, Any]


def carry_out(task: Task) -> str:
    return _TASKS[task["kind"]](task)


def _classify(task: Task) -> str:
    labels = classify(task["text"][:MAX_TEXT], task["labels"], multi=task["multi"])
    return json.dumps({"labels": labels}, ensure_ascii=False)


def _extract(task: Task) -> str:
    return json.dumps(extract(task["source"], task["schema"]), ensure_ascii=False)


def _write(task: Task) -> str:
    if task["output"] == "text":
        return write(task["prompt"], task["data"])
    source = "\n".join(task["data"]) or task["prompt"]
    found = extract(source[:MAX_TEXT], task["schema"])
    return json.dumps(found, ensure_ascii=False)


_TASKS: dict[str, Callable[[Task], str]] = {
    "classify": _classify,
    "extract": _extract,
    "write": _write,
}
