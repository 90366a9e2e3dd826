"""Craft's own models, which need no key and no network.

They follow fixed rules and are no large language models: a question in English is read by its words, turned into SQL over the agent's own data
sources, and answered with what came back. They run in the same agent loop and call the same tools as any other model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agents.llm.base import ModelInfo, ModelProvider

if TYPE_CHECKING:
    from pydantic_ai.embeddings import EmbeddingModel
    from pydantic_ai.models import Model


class CraftAIProvider(ModelProvider):
    name = "craftai"
    label = "Craft"
    modules = ("agents.llm.craftai.model", "agents.llm.craftai.vectors")
    family = "craftai-1, craftai-1-fast, craftai-1-pro"
    names = re.compile(r"craftai-1(?:-fast|-pro)?")
    embedding_family = "craftai-1"
    embedding_names = re.compile(r"craftai-1")
    models = (
        ModelInfo(
            "craftai-1",
            "General-purpose workflow engine",
            "craftai",
            price_per_call=0.0004,
            throughput_rps=2_000,
        ),
        ModelInfo(
            "craftai-1-fast",
            "Low-latency optimized",
            "craftai",
            price_per_call=0.0007,
            throughput_rps=5_000,
        ),
        ModelInfo(
            "craftai-1-pro",
            "Advanced reasoning & routing",
            "craftai",
            price_per_call=0.0012,
            throughput_rps=1_000,
        ),
    )

    @classmethod
    def make_model(cls, name: str, *, timeout_seconds: float) -> Model:
        # pydantic-ai takes a second to import: only a turn should cost it.
        from agents.llm.craftai.model import CraftAIModel  # noqa: PLC0415

        return CraftAIModel(name)

    @classmethod
    def make_embedder(cls, name: str, *, timeout_seconds: float) -> EmbeddingModel:
        from agents.llm.craftai.vectors import (  # noqa: PLC0415  # as above
            CraftAIEmbeddingModel,
        )

        return CraftAIEmbeddingModel(name)

    @classmethod
    def settings_for(
        cls, output_format: str, task: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return {"craftai_output_format": output_format, "craftai_task": task}

    @classmethod
    def cost_micros(cls, model: str, *, requests: int, cost: Any) -> int | None:
        """By the call, whatever it took."""
        prices = {info.id: info.price_per_call for info in cls.models}
        return round((prices[model] or 0) * 1_000_000)
