"""Makes vectors of texts."""

from __future__ import annotations

from typing import Any

from agents.llm import embedder_of
from agents.runner import Breaker, Spent
from agents.services import embed_texts
from craft.exceptions import DomainError, InvalidError
from workflows.nodes.asking import DEFAULT_MODEL, failure, usage_of
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.resolved import is_expression, kind_of, number, text
from workflows.nodes.threads import in_thread

MAX_TEXTS = 64
MAX_CHARACTERS = 30_000
MAX_ALL_CHARACTERS = 400_000


class Embed(Node):
    type = "embed"
    family = "ai"
    summary = "Makes a vector of each text, so that texts can be compared: near vectors, near meanings. `craftai-1` makes 256 numbers of the stems of a text's words and of their letters, the same for the same text for ever: texts that share words lie near each other, other words of the same meaning do not."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "texts": {
                "description": f"A text or a list of at most {MAX_TEXTS}; without it, the node's input."
            },
            "model": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "default": DEFAULT_MODEL,
                "description": "craftai-1, or one of OpenAI's (`text-embedding-3-small` …).",
            },
            "dimensions": {
                "type": "integer",
                "minimum": 8,
                "maximum": 3_072,
                "description": "How many numbers a vector has, where the model lets one choose.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {"texts": "{{ input.titles }}", "dimensions": 8},
        "input": {"titles": ["Delayed flights"]},
        "output": {
            "vectors": [
                [0.0, 0.0, -0.603023, -0.603023, 0.301511, 0.0, 0.301511, 0.301511]
            ],
            "dimensions": 8,
            "model": "craftai-1",
        },
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        model = config.get("model", DEFAULT_MODEL)
        if is_expression(model):
            return {}
        try:
            embedder_of(model)
        except InvalidError as error:
            return {"model": error.message}
        return {}

    async def run(self, call: Call) -> Output:
        texts = _texts(call.config.get("texts", call.input))
        model = text(call, "model", DEFAULT_MODEL)
        dimensions = None
        if "dimensions" in call.config:
            wanted = number(call, "dimensions", at_least=8, at_most=3_072)
            dimensions = int(wanted)
        breaker, spent = Breaker(), Spent()
        try:
            found = await in_thread(
                lambda: embed_texts(
                    texts=texts,
                    model=model,
                    dimensions=dimensions,
                    breaker=breaker,
                    spent=spent,
                ),
                stop=breaker.trip,
            )
        except DomainError as error:
            raise failure(error, usage_of(spent, model)) from None
        output = {
            "vectors": found.vectors,
            "dimensions": len(found.vectors[0]),
            "model": model,
        }
        return Output(output, usage=usage_of(spent, model))


def _texts(value: Any) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    strange = [kind_of(each) for each in texts if not isinstance(each, str)]
    if strange or not texts:
        found = strange[0] if strange else "an empty list"
        raise _wrong(f"This takes a text or a list of texts; it was given {found}.")
    if not all(each.strip() for each in texts):
        raise _wrong("A text is empty: there is nothing to make a vector of.")
    if len(texts) > MAX_TEXTS:
        raise _wrong(
            f"These are {len(texts)} texts; at most {MAX_TEXTS} go at once. Split the list."
        )
    if (
        max(map(len, texts)) > MAX_CHARACTERS
        or sum(map(len, texts)) > MAX_ALL_CHARACTERS
    ):
        raise _wrong(
            f"A text may have {MAX_CHARACTERS:,} characters, and all together {MAX_ALL_CHARACTERS:,}. Split them."
        )
    return texts


def _wrong(message: str) -> NodeError:
    return NodeError(message, code="invalid_input")
