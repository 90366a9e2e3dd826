from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.conf import settings

from agents.llm.base import MAX_ANSWER_BYTES, ModelInfo, ModelProvider
from craft.egress import async_client

if TYPE_CHECKING:
    from pydantic_ai.models import Model

# Dollars per million tokens, input and output, as Anthropic listed them in November 2026.
PRICES = {
    "claude-fable-5-2": ("Demanding reasoning over long horizons", 8.0, 40.0),
    "claude-opus-5-5": ("Long-running agentic and knowledge work", 4.0, 20.0),
    "claude-sonnet-5-5": ("Speed and intelligence in balance", 2.0, 10.0),
    "claude-haiku-5-5": ("High volume: sorting, extracting, routing", 0.1, 0.5),
    "claude-opus-4-5": ("Earlier large model", 5.0, 25.0),
    "claude-haiku-4-5": ("Earlier fast model", 1.0, 5.0),
}


class AnthropicProvider(ModelProvider):
    name = "anthropic"
    label = "Anthropic"
    modules = ("pydantic_ai.models.anthropic", "pydantic_ai.providers.anthropic")
    family = "claude-…"
    names = re.compile(r"claude-[\w.:-]+")
    models = tuple(
        ModelInfo(name, text, "anthropic", given, taken)
        for name, (text, given, taken) in PRICES.items()
    )
    key_setting = "ANTHROPIC_API_KEY"

    @classmethod
    def key(cls) -> str:
        return str(settings.ANTHROPIC_API_KEY)

    @classmethod
    def make_model(cls, name: str, *, timeout_seconds: float) -> Model:
        # Slow to import: a second that only a turn on such a model should cost.
        from anthropic import AsyncAnthropic  # noqa: PLC0415
        from pydantic_ai.models.anthropic import AnthropicModel  # noqa: PLC0415
        from pydantic_ai.providers import anthropic  # noqa: PLC0415

        client = AsyncAnthropic(
            api_key=cls.key(),
            base_url=settings.ANTHROPIC_BASE_URL,
            http_client=async_client(timeout_seconds, MAX_ANSWER_BYTES),
            timeout=timeout_seconds,
            max_retries=0,  # its back-off would sleep in a worker; the caller is told to come again
        )
        return AnthropicModel(
            name, provider=anthropic.AnthropicProvider(anthropic_client=client)
        )
