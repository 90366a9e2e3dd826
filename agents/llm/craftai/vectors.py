"""`craftai-1`'s vectors: the stems of a text's words and the letters that they are made of, hashed to 256 places.

Two texts that share words, or parts of words, lie near each other; words of one meaning that are written differently do not. The same text gives the same
vector everywhere and for ever.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from hashlib import blake2b

from pydantic_ai.embeddings import EmbeddingModel, EmbeddingResult, EmbeddingSettings
from pydantic_ai.embeddings.result import EmbedInputType
from pydantic_ai.usage import RequestUsage

from agents.llm.craftai.words import FUNCTION, tokenize

DIMENSIONS = 256
LETTERS = 3
WORD_WEIGHT, LETTERS_WEIGHT = 1.0, 0.25
CHARACTERS_PER_TOKEN = 4


def vector_of(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """Of length 1, or of length 0 for a text without words. Six decimals."""
    vector = [0.0] * dimensions
    for feature, weight in _features(text).items():
        digest = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest())
        vector[digest % dimensions] += weight if digest >> 63 else -weight
    length = math.sqrt(sum(value * value for value in vector))
    return [round(value / length, 6) for value in vector] if length else vector


def _features(text: str) -> dict[str, float]:
    counts = Counter(
        token.stem for token in tokenize(text) if token.word not in FUNCTION
    )
    features: defaultdict[str, float] = defaultdict(float)
    for stem, count in counts.items():
        weight = 1 + math.log(count)
        features[stem] += WORD_WEIGHT * weight
        framed = f"^{stem}$"
        for start in range(len(framed) - LETTERS + 1):
            features[f"#{framed[start : start + LETTERS]}"] += LETTERS_WEIGHT * weight
    return features


class CraftAIEmbeddingModel(EmbeddingModel):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    @property
    def model_name(self) -> str:
        return self._name

    @property
    def system(self) -> str:
        return "craftai"

    @property
    def base_url(self) -> str | None:
        return None

    async def embed(
        self,
        inputs: str | Sequence[str],
        *,
        input_type: EmbedInputType,
        settings: EmbeddingSettings | None = None,
    ) -> EmbeddingResult:
        texts, given = self.prepare_embed(inputs, settings)
        dimensions = given.get("dimensions", DIMENSIONS)
        return EmbeddingResult(
            embeddings=[vector_of(text, dimensions) for text in texts],
            inputs=texts,
            input_type=input_type,
            usage=RequestUsage(
                input_tokens=sum(map(len, texts)) // CHARACTERS_PER_TOKEN
            ),
            model_name=self._name,
            provider_name=self.system,
        )
