"""What a model provider is: which model names are its own, whether it can be used here, and how one of its models is made.

A provider is one file in this folder and one line in `agents/llm/__init__.py`. The models that it makes are pydantic-ai's, so that one agent loop
serves them all. pydantic-ai and the vendors' libraries take seconds to import: only the function that makes a model imports them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from craft.exceptions import DomainError, UnavailableError

if TYPE_CHECKING:
    from pydantic_ai.embeddings import EmbeddingModel
    from pydantic_ai.models import Model

MAX_ANSWER_BYTES = 10_000_000


class UpstreamError(DomainError):
    """A model's provider refused or failed."""

    code = "upstream_error"
    status_code = 502


class UpstreamTimeoutError(UpstreamError):
    code = "timeout"
    status_code = 504


class UpstreamBusyError(UpstreamError):
    """The provider asks us to wait; `wait` is in seconds, where it says how long."""

    code = "unavailable"
    status_code = 503

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class ModelInfo:
    """A model that an agent may name. Prices are in dollars: per million tokens, or per call."""

    id: str
    description: str
    provider: str
    input_price: float | None = None
    output_price: float | None = None
    price_per_call: float | None = None
    throughput_rps: int | None = None


class ModelProvider:
    name: ClassVar[str]
    label: ClassVar[str]
    family: ClassVar[str]
    """Its model names, as a person would say them."""
    names: ClassVar[re.Pattern[str]]
    models: ClassVar[tuple[ModelInfo, ...]]
    """Those worth listing. An agent may name any that `names` matches."""
    modules: ClassVar[tuple[str, ...]]
    """What its models take, and is slow to import."""
    key_setting: ClassVar[str] = ""
    """The setting without which it can't be used."""
    embedding_family: ClassVar[str] = ""
    """Its models that make vectors of texts, as a person would say them."""
    embedding_names: ClassVar[re.Pattern[str] | None] = None

    @classmethod
    def key(cls) -> str:
        return ""

    @classmethod
    def is_available(cls) -> bool:
        return not cls.key_setting or bool(cls.key())

    @classmethod
    def require(cls, model: str) -> None:
        if not cls.is_available():
            raise UnavailableError(
                f"The model {model} needs a key for {cls.label}: set {cls.key_setting}.",
                details={"model": f"{cls.key_setting} is not set."},
            )

    @classmethod
    def make_model(cls, name: str, *, timeout_seconds: float) -> Model:
        """Within a running event loop, for one turn."""
        raise NotImplementedError

    @classmethod
    def make_embedder(cls, name: str, *, timeout_seconds: float) -> EmbeddingModel:
        """Within a running event loop, for one call."""
        raise NotImplementedError

    @classmethod
    def settings_for(
        cls, output_format: str, task: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Model settings of this provider's own. What is asked for stands in the text, and where it is one of few known tasks also in `task`."""
        return {}

    @classmethod
    def cost_micros(cls, model: str, *, requests: int, cost: Any) -> int | None:
        """What a turn costs at list price, in millionths of a dollar; `cost` is what pydantic-ai reckons, in dollars."""
        return None if cost is None else round(cost * 1_000_000)
