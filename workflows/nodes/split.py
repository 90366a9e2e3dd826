"""Takes something apart into items."""

from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.items import FIELD, MAX_ITEMS, bounded, dig, path_of
from workflows.nodes.resolved import flag, is_expression, kind_of, number, text

MAX_CHARACTERS = 10_000_000


class Split(Node):
    type = "split"
    family = "processing"
    summary = "Takes apart: a text at a separator, a list into batches, an object into one item for each entry of a list in it."
    config_schema = {
        "type": "object",
        "properties": {
            "value": {
                "description": "A text, a list or an object; without it, the node's input."
            },
            "field": FIELD
            | {
                "description": "The path of a list in an object, or in each object of a list: it becomes one item for each entry."
            },
            "include": {
                "enum": ["none", "others"],
                "default": "none",
                "description": "For field: whether each item is the entry alone, or the object with the entry in place of the list (for a field at the top).",
            },
            "separator": {
                "type": "string",
                "minLength": 1,
                "maxLength": 100,
                "default": "\n",
                "description": "For a text: what stands between its parts.",
            },
            "trim": {
                "type": "boolean",
                "default": True,
                "description": "For a text: without white space around the parts.",
            },
            "keep_empty": {
                "type": "boolean",
                "default": False,
                "description": "For a text: empty parts, too.",
            },
            "size": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_ITEMS,
                "description": "Makes lists of so many items; the last one may be shorter.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {"field": "lines", "include": "others"},
        "input": {"order": 7, "lines": [{"sku": "a"}, {"sku": "b"}]},
        "output": [
            {"order": 7, "lines": {"sku": "a"}},
            {"order": 7, "lines": {"sku": "b"}},
        ],
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        if "include" in config and "field" not in config:
            return {"include": "`include` goes with `field`."}
        field, include = config.get("field"), config.get("include")
        if isinstance(field, str) and not is_expression(field):
            if include == "others" and "." in field:
                return {"include": "The other fields go along with a field at the top."}
            if "separator" in config:
                return {"separator": "A text is split without a `field`."}
        return {}

    async def run(self, call: Call) -> Output:
        value = call.config.get("value", call.input)
        if "field" in call.config:
            items = _laid_open(value, text(call, "field"), text(call, "include"))
        elif isinstance(value, str):
            items = _parts(call, value)
        elif isinstance(value, list):
            items = value
        else:
            raise NodeError(
                f"A text or a list is split without a field; this is {kind_of(value)}.",
                code="invalid_input",
            )
        if len(items) > MAX_ITEMS:
            raise _too_many()
        if "size" in call.config:
            size = int(number(call, "size", at_least=1, at_most=MAX_ITEMS))
            items = [items[at : at + size] for at in range(0, len(items), size)]
        return Output(items)


def _too_many() -> NodeError:
    return NodeError(f"This makes more than {MAX_ITEMS:,} items.", code="over_limit")


def _parts(call: Call, value: str) -> list[Any]:
    separator = text(call, "separator", "\n")
    if not separator or len(value) > MAX_CHARACTERS:
        raise NodeError(
            f"Splitting takes a separator, and a text of at most {MAX_CHARACTERS:,} characters.",
            code="invalid_config",
        )
    parts = value.split(separator, MAX_ITEMS)
    if len(parts) > MAX_ITEMS:
        raise _too_many()
    if flag(call, "trim", default=True):
        parts = [part.strip() for part in parts]
    keeps_empty = flag(call, "keep_empty", default=False)
    return [part for part in parts if part or keeps_empty]


def _laid_open(value: Any, field: str, include: str) -> list[Any]:
    path = path_of(field)
    items: list[Any] = []
    for holder in bounded(value if isinstance(value, list) else [value]):
        found = dig(holder, path)
        if not isinstance(found, list):
            raise NodeError(
                f"There is no list at {field}; the object must have one there.",
                code="invalid_input",
            )
        if len(items) + len(found) > MAX_ITEMS:
            raise _too_many()
        if include == "others" and isinstance(holder, dict):
            items += [{**holder, field: entry} for entry in bounded(found)]
        else:
            items += found
    return items
