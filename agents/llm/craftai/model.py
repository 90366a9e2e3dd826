"""`craftai-1` as a pydantic-ai model: each request answers with the next tool call of the dialogue, or with its last word."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from agents.llm.craftai.answer import Answer
from agents.llm.craftai.dialogue import ToolCall, ToolResult, converse
from agents.llm.craftai.tasks import carry_out

TOOLS = {"describe_data", "query_data"}
QUOTED = re.compile(r'^<data origin="[^"]*">\n(.*)\n</data>$', re.DOTALL)
"""How the agent loop quotes what a tool answered."""

CHARACTERS_PER_TOKEN = 4
LOST = "I can't make sense of this question. Please ask it in other words."

logger = logging.getLogger("craft.agents")


class CraftAIModelSettings(ModelSettings, total=False):
    craftai_output_format: str
    craftai_task: dict[str, Any] | None


class CraftAIModel(Model[None]):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    @property
    def model_name(self) -> str:
        return self._name

    @property
    def system(self) -> str:
        return "craftai"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        settings: dict[str, Any] = dict(model_settings or {})
        if task := settings.get("craftai_task"):
            return self._response(messages, TextPart(carry_out(task)))
        offered = {tool.name for tool in model_request_parameters.function_tools}
        question, results = _since_last_question(messages)
        try:
            said = _next(question, results, has_tools=offered >= TOOLS)
        except Exception:
            # A question that trips the rules up is a fault of theirs: the log has it, and whoever asked gets a plain word instead of a failed call.
            logger.exception("craftai-1 could not read a question")
            said = Answer(LOST)
        part = _as_part(said, len(results), settings)
        return self._response(messages, part)

    def _response(
        self, messages: list[ModelMessage], part: TextPart | ToolCallPart
    ) -> ModelResponse:
        return ModelResponse(
            parts=[part],
            model_name=self._name,
            usage=_estimate(messages, part),
            timestamp=datetime.now(UTC),
        )


def _since_last_question(
    messages: list[ModelMessage],
) -> tuple[str, list[ToolResult]]:
    question = ""
    results: list[ToolResult] = []
    for message in messages:
        if not isinstance(message, ModelRequest):
            continue
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                question, results = _text_of(part), []
            elif isinstance(part, ToolReturnPart):
                results.append(_result_of(part))
    return question, results


def _text_of(part: UserPromptPart) -> str:
    if isinstance(part.content, str):
        return part.content
    return " ".join(item for item in part.content if isinstance(item, str))


def _result_of(part: ToolReturnPart) -> ToolResult:
    quoted = QUOTED.match(part.model_response_str())
    if quoted is None:
        return ToolResult(error="The tool gave no answer that I can read.")
    value = json.loads(quoted[1])
    error = value.get("error") if isinstance(value, dict) else None
    return ToolResult(error=str(error)) if error else ToolResult(value)


def _next(
    question: str, results: list[ToolResult], *, has_tools: bool
) -> ToolCall | Answer:
    """The dialogue from its beginning, as far as the results reach."""
    dialogue = converse(question, has_tools=has_tools, today=datetime.now(UTC).date())
    try:
        call = next(dialogue)
        for result in results:
            call = dialogue.send(result)
    except StopIteration as end:
        answer: Answer = end.value
        return answer
    return call


def _as_part(
    said: ToolCall | Answer, turn: int, settings: dict[str, Any]
) -> TextPart | ToolCallPart:
    if isinstance(said, ToolCall):
        return ToolCallPart(said.tool, said.arguments, tool_call_id=f"call_{turn + 1}")
    if settings.get("craftai_output_format") == "json":
        return TextPart(json.dumps(said.as_json(), ensure_ascii=False))
    return TextPart(said.text)


def _estimate(
    messages: list[ModelMessage], part: TextPart | ToolCallPart
) -> RequestUsage:
    """Rules read no tokens: this is about what a language model would have counted, so that agents can be compared."""
    read = sum(
        len(str(piece.content))
        for message in messages
        if isinstance(message, ModelRequest)
        for piece in message.parts
        if hasattr(piece, "content")
    )
    written = (
        len(part.content)
        if isinstance(part, TextPart)
        else len(part.args_as_json_str())
    )
    return RequestUsage(
        input_tokens=max(1, read // CHARACTERS_PER_TOKEN),
        output_tokens=max(1, written // CHARACTERS_PER_TOKEN),
    )
