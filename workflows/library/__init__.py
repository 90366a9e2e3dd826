"""The templates that come with the product. A new one is a JSON file in this folder and a line here; the tests run it on its sample."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

IDS = (
    "lead-scoring",
    "order-csv-report",
    "webhook-ticket",
    "gdpr-request-triage",
    "invoice-check",
    "feed-digest",
    "form-to-crm",
    "log-alerts",
    "order-validation",
    "survey-summary",
    "price-changes",
    "contract-renewals",
)
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class WorkflowTemplate:
    """A graph to begin with."""

    id: str
    name: str
    description: str
    category: str
    tags: list[str]
    provenance: str
    """Who wrote it, and what its rules rest on."""
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    sample: dict[str, Any]
    """An input, and the output that it gives with all variables as they are."""
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: `description`, `default`, and the JSON `schema` that a value must fit."""

    @property
    def node_types(self) -> list[str]:
        return sorted({node["type"] for node in self.nodes})

    @property
    def defaults(self) -> dict[str, Any]:
        return {name: said["default"] for name, said in self.variables.items()}


@cache
def templates() -> dict[str, WorkflowTemplate]:
    """By id, in the order that they are shown in."""
    return {identifier: _read(identifier) for identifier in IDS}


def _read(identifier: str) -> WorkflowTemplate:
    text = (FOLDER / f"{identifier}.json").read_text(encoding="utf-8")
    return WorkflowTemplate(id=identifier, **json.loads(text))
