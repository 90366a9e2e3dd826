"""Finds rows of data sources by words."""

from __future__ import annotations

from typing import Any

from craft.exceptions import DomainError
from datasources.services import FoundRow, find_rows
from workflows.nodes.asking import failure
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.resolved import is_expression, listing, number, text
from workflows.nodes.sources import sources_of
from workflows.nodes.threads import in_thread

MAX_QUERY = 2_000
MAX_FOUND = 100
USUAL_FOUND = 5


class Retrieve(Node):
    type = "retrieve"
    family = "ai"
    summary = "Finds the rows of data sources that say most of what is looked for, the best first, each with its source, table, row and passage. A row's score is the share of the query's words that it holds, rarer words counting for more; 1 where it holds all. A word finds those that begin with it."
    refers_to = {"source_ids": "datasources.DataSource"}
    config_schema = {
        "type": "object",
        "properties": {
            "source_ids": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 64},
                "minItems": 1,
                "maxItems": 10,
                "description": "Data sources of the company.",
            },
            "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_QUERY,
                "description": "What to look for, in words.",
            },
            "tables": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 63},
                "maxItems": 20,
                "description": "Only these tables; without it all, of which there may be 20.",
            },
            "limit": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_FOUND,
                "default": USUAL_FOUND,
                "description": "How many rows at the most.",
            },
            "min_score": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0,
                "description": "Rows below it are left out.",
            },
        },
        "required": ["source_ids", "query"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "source_ids": ["ds_0123456789abcdefghijklmn"],
            "query": "{{ input.question }}",
            "limit": 1,
        },
        "input": {"question": "How many days does a refund take?"},
        "output": {
            "results": [
                {
                    "score": 1.0,
                    "text": "A refund takes five days.",
                    "source_id": "ds_0123456789abcdefghijklmn",
                    "source": "handbook",
                    "table": "handbook",
                    "row": 2,
                    "values": {"page": 7, "text": "A refund takes five days."},
                }
            ]
        },
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        ids = config["source_ids"]
        if is_expression(ids) or len(set(ids)) == len(ids):
            return {}
        return {"source_ids": "A data source is named twice."}

    def suspends(self, config: dict[str, Any]) -> bool:
        return True

    async def run(self, call: Call) -> Output:
        query = text(call, "query")
        ids, tables = _texts(call, "source_ids"), _texts(call, "tables")
        if not ids or len(ids) > 10 or not query.strip() or len(query) > MAX_QUERY:
            raise NodeError(
                f"This takes 1 to 10 data sources and a query of at most {MAX_QUERY:,} characters.",
                code="invalid_config",
            )
        limit = number(
            call, "limit", at_least=1, at_most=MAX_FOUND, default=USUAL_FOUND
        )
        least = number(call, "min_score", at_least=0, at_most=1)

        def find() -> list[FoundRow]:
            return find_rows(
                company=call.company_id,
                sources=sources_of(call.company_id, ids),
                query=query,
                limit=int(limit),
                tables=tables,
                min_score=least,
            )

        try:
            found = await in_thread(find)
        except DomainError as error:
            raise failure(error) from None
        return Output({"results": [_as_json(hit) for hit in found]})


def _texts(call: Call, name: str) -> list[str]:
    values = listing(call, name)
    if not all(isinstance(value, str) for value in values):
        raise NodeError(f"{name} must be a list of texts.", code="invalid_config")
    return list(dict.fromkeys(values))


def _as_json(hit: FoundRow) -> dict[str, Any]:
    return {
        "score": hit.score,
        "text": hit.passage,
        "source_id": hit.source.pk,
        "source": hit.source.source_name,
        "table": hit.table,
        "row": hit.row,
        "values": hit.values,
    }
