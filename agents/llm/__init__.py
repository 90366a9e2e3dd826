"""The models that agents may name, and who makes them."""

from __future__ import annotations

import threading
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

_loading = threading.Lock()


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


def embedder_of(model: str) -> type[ModelProvider]:
    """Who makes the model of this name that makes vectors. Raises `InvalidError`, which names those that there are."""
    for provider in PROVIDERS.values():
        if provider.embedding_names and provider.embedding_names.fullmatch(model):
            return provider
    known = "; ".join(
        f"{provider.embedding_family} ({provider.label})"
        for provider in PROVIDERS.values()
        if provider.embedding_names
    )
    sentence = f"There is no model {model!r} that makes vectors. Known are: {known}."
    raise InvalidError(sentence, details={"model": sentence})


def list_models() -> list[ModelInfo]:
    return [model for provider in PROVIDERS.values() for model in provider.models]


def warm_up() -> None:
    """Import what the first turn would otherwise wait for, for some seconds."""
    for provider in PROVIDERS.values():
        load(provider)


def load(provider: type[ModelProvider]) -> None:
    """Import what this provider's models take, in one thread at a time: two that come from different sides into one library each see it half made."""
    with _loading:
        for module in ("pydantic_ai", *provider.modules):
            import_module(module)
