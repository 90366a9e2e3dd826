"""Brings branches together."""

from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.resolved import choice, is_expression, kind_of, text


class Merge(Node):
    type = "merge"
    family = "processing"
    summary = "Makes one list of what several branches gave."
    config_schema = {
        "type": "object",
        "properties": {
            "mode": {
                "enum": ["append", "zip", "by_key"],
                "default": "append",
                "description": "append: one list after the other. zip: the first items together, the second items, and so on, as far as the shortest list goes."
                " by_key: objects that agree in `key` become one object.",
            },
            "key": {
                "type": "string",
                "minLength": 1,
                "description": "For by_key: the field that says which objects belong together.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {"mode": "by_key", "key": "id"},
        "inputs": {
            "orders": [{"id": 1, "total": 20}, {"id": 2, "total": 5}],
            "names": [{"id": 1, "name": "Ada"}],
        },
        "input": {
            "orders": [{"id": 1, "total": 20}, {"id": 2, "total": 5}],
            "names": [{"id": 1, "name": "Ada"}],
        },
        "output": [{"id": 1, "total": 20, "name": "Ada"}, {"id": 2, "total": 5}],
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        mode = config.get("mode")
        if not is_expression(mode) and (mode == "by_key") != ("key" in config):
            return {"key": "`key` goes with the mode by_key, which needs it."}
        return {}

    async def run(self, call: Call) -> Output:
        lists = [_as_list(value) for value in call.inputs.values() or [call.input]]
        match choice(call, "mode", ("append", "zip", "by_key"), "append"):
            case "zip":
                return Output([_joined(items) for items in zip(*lists, strict=False)])
            case "by_key":
                return Output(_by_key(lists, text(call, "key")))
        return Output([item for items in lists for item in items])


def _as_list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _joined(items: tuple[Any, ...]) -> Any:
    if not all(isinstance(item, dict) for item in items):
        return list(items)
    return {name: value for item in items for name, value in item.items()}


def _by_key(lists: list[list[Any]], key: str) -> list[dict[str, Any]]:
    merged: dict[Any, dict[str, Any]] = {}
    for item in (item for items in lists for item in items):
        if not isinstance(item, dict) or key not in item:
            raise NodeError(
                f"Merging by {key} takes objects that have it; one is {kind_of(item)}"
                f"{' without it' if isinstance(item, dict) else ''}.",
                code="invalid_input",
            )
        value = item[key]
        if isinstance(value, dict | list):
            raise NodeError(
                f"{key} must be a text or a number in every object.",
                code="invalid_input",
            )
        merged.setdefault((type(value) is bool, value), {}).update(item)
    return list(merged.values())
