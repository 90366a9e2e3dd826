"""Reading a resolved config. Its schema was checked when the workflow was saved, but an expression may have given another type since."""

from collections.abc import Iterable
from typing import Any

from workflows.nodes.base import Call, NodeError

WORDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


def kind_of(value: Any) -> str:
    return WORDS.get(type(value), type(value).__name__)


def is_expression(value: Any) -> bool:
    """Whether a raw config value can't be judged before it runs."""
    return isinstance(value, str) and "{{" in value


def text(call: Call, name: str, default: str = "") -> str:
    value = call.config.get(name, default)
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    return value


def number(
    call: Call, name: str, *, at_least: float, at_most: float, default: float = 0
) -> float:
    value = call.config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(name, "a number", value)
    if not at_least <= value <= at_most:
        raise NodeError(
            f"{name} must be from {at_least:,} to {at_most:,}; it is {value:,}.",
            code="invalid_config",
        )
    return value


def mapping(call: Call, name: str) -> dict[str, Any]:
    value = call.config.get(name, {})
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    return value


def listing(call: Call, name: str) -> list[Any]:
    value = call.config.get(name, [])
    if not isinstance(value, list):
        raise _wrong(name, "a list", value)
    return value


def flag(call: Call, name: str, *, default: bool) -> bool:
    value = call.config.get(name, default)
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def choice(call: Call, name: str, among: Iterable[str], default: str) -> str:
    value = call.config.get(name, default)
    if value not in (among := list(among)):
        raise NodeError(
            f"{name} must be one of {', '.join(among)}.", code="invalid_config"
        )
    return str(value)


def _wrong(name: str, wanted: str, value: Any) -> NodeError:
    return NodeError(
        f"{name} must be {wanted}; its expression gave {kind_of(value)}.",
        code="invalid_config",
    )
