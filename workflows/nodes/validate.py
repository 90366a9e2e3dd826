"""Looks whether data is as it should be."""

from typing import Any

from workflows.nodes import schemas
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.items import MAX_ITEMS, bounded
from workflows.nodes.resolved import choice, is_expression, kind_of

MAX_FAULTS = 100
MAX_TOLD = 5


class Validate(Node):
    type = "validate"
    family = "processing"
    summary = "Checks a value, or each item of a list, against a JSON Schema. What fits goes on; what does not fails the node, or leaves by `invalid` with all its faults."
    config_schema = {
        "type": "object",
        "properties": {
            "schema": {
                "type": ["object", "boolean"],
                "x-literal": True,
                "description": "The JSON Schema (2020-12, without references).",
            },
            "value": {"description": "What to check; without it, the node's input."},
            "each": {
                "type": "boolean",
                "default": False,
                "description": "Whether the value is a list whose items are checked one by one: then those that fit go on.",
            },
            "on_invalid": {
                "enum": ["fail", "branch"],
                "default": "fail",
                "description": "fail ends the node with an error. branch sends `{value, faults}` by the handle `invalid`; with each, `{valid, invalid}` where any item is invalid, its items as `{index, value, faults}`.",
            },
        },
        "required": ["schema"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"schema"})
    example = {
        "config": {
            "schema": {
                "type": "object",
                "properties": {"total": {"type": "number", "minimum": 0}},
                "required": ["id", "total"],
            },
            "on_invalid": "branch",
        },
        "input": {"total": -1},
        "output": {
            "value": {"total": -1},
            "faults": [
                {"path": "total", "message": "-1 is less than the minimum of 0"},
                {"path": "", "message": "'id' is a required property"},
            ],
        },
        "handles": ["invalid"],
    }

    def handles_for(self, config: dict[str, Any]) -> tuple[str, ...]:
        branches = config.get("on_invalid") == "branch"
        return ("main", "invalid") if branches else ("main",)

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults = {}
        if fault := schemas.fault_of(config["schema"]):
            faults["schema"] = fault
        for name in ("on_invalid", "each"):
            if is_expression(config.get(name)):
                faults[name] = "Write this out: it can't be an expression."
        return faults

    async def run(self, call: Call) -> Output:
        branches = choice(call, "on_invalid", ("fail", "branch"), "fail") == "branch"
        value = call.config.get("value", call.input)
        if call.config.get("each", False):
            return _each(call.config["schema"], value, branches=branches)
        found = schemas.found(call.config["schema"], value, most=MAX_FAULTS)
        if not found:
            return Output(value)
        if branches:
            return Output({"value": value, "faults": _told(found)}, ("invalid",))
        raise _invalid(found)


def _each(schema: Any, value: Any, *, branches: bool) -> Output:
    if not isinstance(value, list) or len(value) > MAX_ITEMS:
        raise NodeError(
            f"`each` takes a list of at most {MAX_ITEMS:,} items; this is {kind_of(value)}.",
            code="invalid_input",
        )
    valid: list[Any] = []
    invalid: list[dict[str, Any]] = []
    faults: list[schemas.Fault] = []
    with schemas.one_budget():
        for index, item in enumerate(bounded(value)):
            found = schemas.found(schema, item, most=MAX_FAULTS)
            if not found:
                valid.append(item)
                continue
            invalid.append({"index": index, "value": item, "faults": _told(found)})
            if len(faults) < MAX_TOLD:
                faults += [(f"{index}.{path}".rstrip("."), why) for path, why in found]
    if not invalid:
        return Output(valid)
    if branches:
        return Output({"valid": valid, "invalid": invalid}, ("invalid",))
    raise _invalid(faults)


def _told(found: list[schemas.Fault]) -> list[dict[str, str]]:
    return [{"path": path, "message": message} for path, message in found]


def _invalid(found: list[schemas.Fault]) -> NodeError:
    told = [schemas.sentence(fault) for fault in found[:MAX_TOLD]]
    if len(found) > MAX_TOLD:
        told.append("and more")
    return NodeError(f"The value does not fit: {'; '.join(told)}.", code="invalid_data")
