"""The JSON Schema of a workflow that is published, for editors and for other programs: with the config of every node type.

It says what it can of form. Names that lead nowhere, circles and expressions that can't be read are found by compiling only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from workflows.engine.schema import (
    EDGE_SCHEMA,
    ENGINE_PROPERTIES,
    NODE_SCHEMA,
    WORKFLOW_SCHEMA,
)

if TYPE_CHECKING:
    from workflows.nodes.base import Node

Schema = dict[str, Any]

EXPRESSION: Final[Schema] = {
    "type": "string",
    "pattern": r"\{\{",
    "description": "An expression stands for a value of any kind.",
}
_OF_NAMES: Final = frozenset({"properties", "patternProperties"})
_OF_ONE: Final = frozenset({"items", "additionalProperties", "contains"})
_OF_SEVERAL: Final = frozenset({"allOf", "anyOf", "prefixItems"})
_OF_WHOLE_CONFIGS: Final = (
    "required",
    "minProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "dependentRequired",
)


def published_schema(catalogue: Mapping[str, Node], *, fields: Iterable[str]) -> Schema:
    """Of a body that makes a workflow, whose fields beside the graph are named."""
    definitions: dict[str, Schema] = {
        "expression": EXPRESSION,
        "edge": EDGE_SCHEMA,
        "node": _of_nodes(catalogue),
        "step": _of_steps(catalogue),
    }
    for kind, node in sorted(catalogue.items()):
        config = _members(node.config_schema)
        definitions[f"config.{kind}"] = config
        definitions[f"config.{kind}.in_steps"] = {
            name: value
            for name, value in config.items()
            if name not in _OF_WHOLE_CONFIGS
        }
    graph = WORKFLOW_SCHEMA["properties"]
    return {
        "$schema": WORKFLOW_SCHEMA["$schema"],
        "title": "Workflow",
        "description": "What `POST /workflows` takes: a graph of nodes and edges, or a pipeline of steps.",
        "type": "object",
        "properties": {
            **dict.fromkeys(sorted(fields), True),
            "name": {"type": "string", "minLength": 1, "maxLength": 200},
            **graph,
            "steps": {
                "type": ["array", "null"],
                "items": {"$ref": "#/$defs/step"},
                "maxItems": graph["nodes"]["maxItems"] - 1,
            },
        },
        "required": ["name"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _of_nodes(catalogue: Mapping[str, Node]) -> Schema:
    properties = {**NODE_SCHEMA["properties"], "type": _types(catalogue)}
    return {
        **NODE_SCHEMA,
        "properties": properties,
        "allOf": [_if_node(kind, node) for kind, node in sorted(catalogue.items())],
    }


def _if_node(kind: str, node: Node) -> Schema:
    then: Schema = {"properties": {"config": {"$ref": f"#/$defs/config.{kind}"}}}
    if "model" in node.config_schema.get("properties", {}):
        # It may stand on the node itself.
        then = {"properties": {"config": {"$ref": f"#/$defs/config.{kind}.in_steps"}}}
    elif node.config_schema.get("required"):
        then["required"] = ["config"]
    return _if(kind, then)


def _of_steps(catalogue: Mapping[str, Node]) -> Schema:
    """A step may give conditions beside its config, so that nothing is required within it."""
    own = {name: NODE_SCHEMA["properties"][name] for name in ("name", "config")}
    return {
        "type": "object",
        "properties": {
            "type": _types(catalogue),
            **own,
            **ENGINE_PROPERTIES,
            "conditions": True,
            "combine": {"enum": ["all", "any"]},
            "then": {"type": ["string", "null"]},
            "else": {"type": ["string", "null"]},
        },
        "patternProperties": {"^x-": {}},
        "required": ["type"],
        "additionalProperties": False,
        "allOf": [
            _if(
                kind,
                {"properties": {"config": {"$ref": f"#/$defs/config.{kind}.in_steps"}}},
            )
            for kind in sorted(catalogue)
        ],
    }


def _types(catalogue: Mapping[str, Node]) -> Schema:
    return {"enum": sorted(catalogue), "description": "See GET /workflows/node-types."}


def _if(kind: str, then: Schema) -> Schema:
    return {
        "if": {"properties": {"type": {"const": kind}}, "required": ["type"]},
        "then": then,
    }


def _lenient(schema: Any) -> Any:
    """The same, but that an expression passes wherever a value does."""
    if not isinstance(schema, dict) or not schema:
        return schema
    return {"anyOf": [{"$ref": "#/$defs/expression"}, _members(schema)]}


def _members(schema: Mapping[str, Any]) -> Schema:
    made: Schema = {}
    for keyword, value in schema.items():
        if keyword in _OF_NAMES:
            made[keyword] = {name: _lenient(one) for name, one in value.items()}
        elif keyword in _OF_ONE:
            made[keyword] = _lenient(value)
        elif keyword in _OF_SEVERAL:
            made[keyword] = [_lenient(one) for one in value]
        elif keyword == "oneOf":  # an expression may fit several of them
            made["anyOf"] = [_lenient(one) for one in value]
        elif not keyword.startswith("x-"):
            made[keyword] = value
    return made
