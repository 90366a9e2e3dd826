"""The published JSON Schema of a workflow's graph."""

from typing import Any, Final

from workflows.engine.retry import RETRY_SCHEMA

MAX_NODES = 2_000
MAX_EDGES = 10_000
LONGEST_TIMEOUT_SECONDS = 86_400
ID_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"

_POSITION: Final[dict[str, Any]] = {
    "type": ["object", "null"],
    "description": "Where it is drawn: the editor's own business.",
}
_NOTES: Final[dict[str, Any]] = {"type": ["string", "null"], "maxLength": 10_000}
_LABEL: Final[dict[str, Any]] = {"type": ["string", "null"], "maxLength": 1_000}

ENGINE_PROPERTIES: Final[dict[str, Any]] = {
    "retry": RETRY_SCHEMA,
    "timeout_seconds": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": LONGEST_TIMEOUT_SECONDS,
        "description": "An attempt that takes longer has failed.",
    },
    "on_error": {
        "enum": ["fail", "continue", "branch"],
        "default": "fail",
        "description": "What a failure does: it ends the execution, is passed over, or leaves by the handle `error`.",
    },
    "cache": {
        "type": "object",
        "description": "An answer is kept for the company and given again, with the log line `answered from the cache`; equal calls at the same time go out once. Errors are not kept, nor is what is larger than 256 KB.",
        "properties": {
            "ttl_seconds": {
                "type": "integer",
                "minimum": 1,
                "maximum": 31_536_000,
            },
            "key": {
                "description": "What makes two calls the same, usually with an expression; without it, the config and the input.",
            },
        },
        "required": ["ttl_seconds"],
        "additionalProperties": False,
    },
    "run_if": {
        "type": ["string", "boolean"],
        "description": "An expression; where its value is false, empty or null the node is skipped.",
    },
    "join": {
        "enum": ["all_decided", "any", "all"],
        "default": "all_decided",
        "description": "When it runs: once each incoming edge is decided and one of them was taken; as soon as one is taken; only if all are.",
    },
    "disabled": {
        "type": "boolean",
        "description": "It is passed over, and hands its input on.",
    },
    "model": {
        "type": ["string", "null"],
        "description": "The model that the node runs on, or the engine's tier.",
    },
    "position": _POSITION,
    "notes": _NOTES,
    "label": _LABEL,
}

NODE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": ID_PATTERN},
        "type": {"type": "string", "description": "See GET /workflows/node-types."},
        "name": {"type": ["string", "null"], "maxLength": 255},
        "config": {
            "type": "object",
            "description": "As the node type's own schema has it. Any string may hold expressions in {{ … }}.",
        },
        **ENGINE_PROPERTIES,
    },
    "patternProperties": {"^x-": {}},
    "required": ["id", "type"],
    "additionalProperties": False,
}

EDGE_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": {"type": ["string", "null"], "maxLength": 255},
        "source": {"type": "string"},
        "from": {"type": "string", "description": "The same as source."},
        "target": {"type": "string"},
        "to": {"type": "string", "description": "The same as target."},
        "source_handle": {
            "type": ["string", "null"],
            "default": "main",
            "description": "main, true, false, case:<name>, default, else, error, timeout, item, done, approved, rejected: whichever the source has.",
        },
        "sourceHandle": {
            "type": ["string", "null"],
            "description": "The same as source_handle.",
        },
        "position": _POSITION,
        "notes": _NOTES,
        "label": _LABEL,
    },
    "patternProperties": {"^x-": {}},
    "allOf": [
        {"oneOf": [{"required": ["source"]}, {"required": ["from"]}]},
        {"oneOf": [{"required": ["target"]}, {"required": ["to"]}]},
    ],
    "additionalProperties": False,
}

WORKFLOW_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Workflow graph",
    "type": "object",
    "properties": {
        "nodes": {
            "type": "array",
            "items": {"$ref": "#/$defs/node"},
            "maxItems": MAX_NODES,
        },
        "edges": {
            "type": "array",
            "items": {"$ref": "#/$defs/edge"},
            "maxItems": MAX_EDGES,
        },
        "connections": {
            "type": "array",
            "items": {"$ref": "#/$defs/edge"},
            "maxItems": MAX_EDGES,
            "description": "The same as edges.",
        },
        "variables": {"type": "object"},
    },
    "$defs": {"node": NODE_SCHEMA, "edge": EDGE_SCHEMA},
}
