"""Asking a model: what the nodes that do have in common.

What comes from outside is handed to a model between `<data>` and `</data>`, in a form that can't end its own quotation, and the model is told that it is no
instruction, whatever it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from agents.llm import provider_of
from agents.runner import Breaker, Spent, TurnResult
from agents.services import Prompt, ask_model
from agents.tools.base import quote
from craft.exceptions import DomainError, InvalidError, UnavailableError
from workflows.nodes import schemas
from workflows.nodes.base import Call, NodeError, Usage
from workflows.nodes.resolved import is_expression, number, text
from workflows.nodes.threads import in_thread

DEFAULT_MODEL = "craftai-1"
TIMEOUT_SECONDS = 120.0
MAX_PROMPT = 20_000
MAX_DATA = 100_000

MODEL = {
    "type": "string",
    "minLength": 1,
    "maxLength": 100,
    "default": DEFAULT_MODEL,
    "description": "`GET /models` lists them. The node's own `model` says the same. `craftai-1` is built in, needs no key and follows fixed rules.",
}
TEMPERATURE = {
    "type": "number",
    "minimum": 0,
    "maximum": 2,
    "description": "How freely the model writes. Without it, as the provider sees fit.",
}
MAX_TOKENS = {
    "type": "integer",
    "minimum": 1,
    "maximum": 100_000,
    "description": "How long the answer may be at most.",
}
INSTRUCTIONS = {
    "type": "string",
    "maxLength": MAX_PROMPT,
    "description": "What else the model should know. `craftai-1` does not read it.",
}
TEXT = {
    "description": "A text, or any value, which is read as JSON; without it, the node's input."
}

_ONE_EXPRESSION = re.compile(r"\s*\{\{(?:(?!\{\{).)*\}\}\s*", re.DOTALL)
_QUOTED = re.compile(r'<data origin="[^"]*">\n.*?\n</data>', re.DOTALL)


def model_fault(config: dict[str, Any]) -> dict[str, str]:
    """A model that nobody makes. One whose key is missing may be saved."""
    model = config.get("model", DEFAULT_MODEL)
    if is_expression(model):
        return {}
    try:
        provider_of(model)
    except InvalidError as error:
        return {"model": error.message}
    return {}


def quoted(value: Any, origin: str) -> str:
    """A value from outside as a model is shown it. Raises NodeError for one that is too long."""
    if len(json.dumps(value, ensure_ascii=False)) > MAX_DATA:
        raise NodeError(
            f"This is more than {MAX_DATA:,} characters for one call of a model. Split it, and ask for each part.",
            code="invalid_input",
        )
    return quote(value, origin, most=2 * MAX_DATA)


def written(call: Call, name: str) -> tuple[str, list[str]]:
    """A text of the workflow's author with its expressions' values in it, and those values. Each is quoted, but where the whole text is one expression: then
    the author has left the word to somebody else."""
    template = text(call, name)
    if _ONE_EXPRESSION.fullmatch(template):
        value = call.evaluate(template)
        whole = value if isinstance(value, str) else json.dumps(value)
        if len(whole) > MAX_DATA:
            quoted(whole, name)  # says that it is too long
        return whole, []
    values: list[str] = []

    def keep(value: str) -> str:
        values.append(value)
        return f"\n{quoted(value, 'expression')}\n"

    return call.render(template, keep), values


def without_data(text: str) -> str:
    return _QUOTED.sub(" ", text).strip()


async def ask(
    call: Call,
    prompt: str,
    *,
    system: str,
    task: dict[str, Any],
    read: Callable[[str], Any] | None = None,
) -> tuple[TurnResult, Usage | None]:
    """The answer and what it took. What was read is asked for once more at the most where it does not fit."""
    model = text(call, "model", DEFAULT_MODEL)
    asked = Prompt(
        company_id=call.company_id,
        model=model,
        text=prompt,
        system=system,
        settings=_settings(call),
        # Two requests with other bodies may not share a key.
        headers={} if read else {"Idempotency-Key": call.idempotency_key},
        read=read,
        task=task,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    breaker, spent = Breaker(), Spent()
    try:
        answer = await in_thread(
            lambda: ask_model(asked, breaker=breaker, spent=spent), stop=breaker.trip
        )
    except DomainError as error:
        raise failure(error, usage_of(spent, model)) from None
    except NodeError as error:
        error.usage = usage_of(spent, model)
        raise
    return answer, usage_of(spent, model)


def _settings(call: Call) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if "temperature" in call.config:
        settings["temperature"] = number(call, "temperature", at_least=0, at_most=2)
    if "max_tokens" in call.config:
        most = number(call, "max_tokens", at_least=1, at_most=100_000)
        settings["max_tokens"] = int(most)
    return settings


def usage_of(spent: Spent, model: str) -> Usage | None:
    usage = {
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "cost_micros": spent.cost_micros,
    }
    return {**usage, "model": model} if any(usage.values()) else None


def failure(error: DomainError, usage: Usage | None = None) -> NodeError:
    """Trying again may help where somebody else failed, and not where a key is missing."""
    may_help = error.status_code >= 500 and not isinstance(error, UnavailableError)
    return NodeError(
        error.message,
        code=error.code,
        retryable=may_help,
        retry_after=getattr(error, "wait", None),
        usage=usage,
    )


def reader_for(schema: Any, read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Reads JSON that fits a schema; ValueError tells a model what does not."""

    def fitting(answer: str) -> Any:
        value = read(answer)
        if faults := schemas.faults(schema, value):
            raise ValueError(f"It does not fit the schema: {'; '.join(faults)}.")
        return value

    return fitting
