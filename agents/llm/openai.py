from __future__ import annotations

import re
from typing import TYPE_CHECKING

from django.conf import settings

from agents.llm.base import MAX_ANSWER_BYTES, ModelInfo, ModelProvider
from craft.egress import async_client

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from pydantic_ai.embeddings import EmbeddingModel
    from pydantic_ai.models import Model

# Dollars per million tokens, input and output, as OpenAI listed them in November 2026.
PRICES = {
    "gpt-6-astra": ("For the hardest work, end to end", 10.0, 50.0),
    "gpt-6.1-sol": ("Coding and professional work", 2.0, 10.0),
    "gpt-6.1-terra": ("Fast and efficient", 1.0, 5.0),
    "gpt-6-luna": ("Focused work in high volume", 0.1, 0.5),
    "gpt-5.5": ("Coding and agentic work", 5.0, 30.0),
    "gpt-5.4-mini": ("Small, for coding and sub-agents", 0.75, 4.5),
    "gpt-5": ("Reasoning and agentic work", 1.25, 10.0),
    "gpt-5-mini": ("Well-defined tasks at lower cost", 0.25, 2.0),
    "gpt-5-nano": ("The smallest of its line", 0.05, 0.4),
    "gpt-4.1": ("Long context", 2.0, 8.0),
    "gpt-4.1-mini": ("Long context at lower cost", 0.4, 1.6),
    "gpt-4o": ("General purpose", 2.5, 10.0),
    "gpt-4o-mini": ("General purpose at low cost", 0.15, 0.6),
    "gpt-4": ("The first of its line", 30.0, 60.0),
    "o3": ("Reasoning in many steps", 2.0, 8.0),
    "o4-mini": ("Reasoning at lower cost", 1.1, 4.4),
}


class OpenAIProvider(ModelProvider):
    """OpenAI, and whatever speaks its chat completions at `OPENAI_BASE_URL`."""

    name = "openai"
    label = "OpenAI"
    modules = (
        "pydantic_ai.models.openai",
        "pydantic_ai.providers.openai",
        "pydantic_ai.embeddings.openai",
    )
    family = "gpt-… and o1, o3, o4-mini …"
    names = re.compile(r"(?:gpt-|chatgpt-|ft:gpt-|o[1-9](?:-|$))[\w.:-]*")
    models = tuple(
        ModelInfo(name, text, "openai", given, taken)
        for name, (text, given, taken) in PRICES.items()
    )
    key_setting = "OPENAI_API_KEY"
    embedding_family = "text-embedding-…"
    embedding_names = re.compile(r"text-embedding-[\w.:-]+")

    @classmethod
    def key(cls) -> str:
        return str(settings.OPENAI_API_KEY)

    @classmethod
    def make_model(cls, name: str, *, timeout_seconds: float) -> Model:
        # Slow to import: half a second that only a turn on such a model should cost.
        from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
        from pydantic_ai.providers import openai  # noqa: PLC0415

        client = cls._client(timeout_seconds)
        return OpenAIChatModel(
            name, provider=openai.OpenAIProvider(openai_client=client)
        )

    @classmethod
    def make_embedder(cls, name: str, *, timeout_seconds: float) -> EmbeddingModel:
        from pydantic_ai.embeddings.openai import (  # noqa: PLC0415  # as above
            OpenAIEmbeddingModel,
        )
        from pydantic_ai.providers import openai  # noqa: PLC0415  # as above

        client = cls._client(timeout_seconds)
        return OpenAIEmbeddingModel(
            name, provider=openai.OpenAIProvider(openai_client=client)
        )

    @classmethod
    def _client(cls, timeout_seconds: float) -> AsyncOpenAI:
        from openai import AsyncOpenAI  # noqa: PLC0415  # as above

        return AsyncOpenAI(
            api_key=cls.key(),
            base_url=settings.OPENAI_BASE_URL,
            http_client=async_client(timeout_seconds, MAX_ANSWER_BYTES),
            timeout=timeout_seconds,
            max_retries=0,  # its back-off would sleep in a worker; the caller is told to come again
        )
