"""The models that agents may name, and who makes them."""

from __future__ import annotations

from importlib import import_module

from agents.llm.anthropic import AnthropicProvider
from agents.llm.base import ModelInfo, ModelProvider
from agents.llm.craftai import CraftAIProvider
from agents.llm.openai import OpenAIProvider
from craft.exceptions import InvalidError

PROVIDERS: dict[str, type[ModelProvider]] = {
    "craftai": CraftAIProvider,
    "openai": OpenAIProvider,
    "anthropic": AnthropicProvider,
}

SLOW_MODULES = (
    "agents.llm.craftai.model",
    "pydantic_ai.models.openai",
    "pydantic_ai.models.anthropic",
)


def provider_of(model: str) -> type[ModelProvider]:
    """Who makes the model of this name. Raises `InvalidError`, which names the known families."""
    for provider in PROVIDERS.values():
        if provider.names.fullmatch(model):
            return provider
    known = "; ".join(
        f"{provider.family} ({provider.label})" for provider in PROVIDERS.values()
    )
    sentence = f"There is no model {model!r}. Known are: {known}."
    raise InvalidError(sentence, details={"model": sentence})


def list_models() -> list[ModelInfo]:
    return [model for provider in PROVIDERS.values() for model in provider.models]


def warm_up() -> None:
    """Import what the first turn would otherwise wait for, for some seconds."""
    for module in SLOW_MODULES:
        import_module(module)
