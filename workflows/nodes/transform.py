"""Gives data another shape."""

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from workflows.nodes import outside
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import FORMATS, parse_json, write
from workflows.nodes.resolved import (
    choice,
    is_expression,
    kind_of,
    listing,
    mapping,
    text,
)

MAX_QUERY = 1_000
SHAPING = frozenset({"keep", "rename", "set"})


class Transform(Node):
    type = "transform"
    family = "processing"
    summary = "Gives its input another shape, another format, or both."
    config_schema = {
        "type": "object",
        "properties": {
            "keep": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The fields to keep; the others are dropped. Of a list, the fields of each object.",
            },
            "rename": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "New names of fields: `{old: new}`.",
            },
            "set": {
                "type": "object",
                "description": "Fields to add or replace, after keep and rename.",
            },
            "expression": {
                "description": "The whole output, instead of keep, rename and set."
            },
            "query": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_QUERY,
                "description": "A JMESPath query on the input, such as `orders[?paid].id`: the whole output, instead of keep, rename, set and expression.",
            },
            "format": {
                "enum": list(FORMATS),
                "description": "Writes the result as text of this format; `json` reads a text as JSON and leaves anything else as it is.",
            },
        },
        "additionalProperties": False,
    }
    example = {
        "config": {
            "keep": ["name", "net"],
            "rename": {"name": "customer"},
            "set": {"gross": "{{ input.net * 2 }}"},
        },
        "input": {"name": "Ada", "net": 50, "internal": True},
        "output": {"customer": "Ada", "net": 50, "gross": 100},
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        for whole, others in (
            ("query", ("keep", "rename", "set", "expression")),
            ("expression", ("keep", "rename", "set")),
        ):
            if whole in config:
                faults = {
                    name: f"`{whole}` is the whole output: leave this out, or the {whole}."
                    for name in others
                    if name in config
                }
                if whole == "query" and not is_expression(config["query"]):
                    faults |= _query_faults(config["query"])
                return faults
        return {}

    def suspends(self, config: dict[str, Any]) -> bool:
        return "query" in config

    async def run(self, call: Call) -> Output:
        if "query" in call.config:
            query = text(call, "query")
            if len(query) > MAX_QUERY:
                raise NodeError("The query is too long.", code="invalid_config")
            value = await outside.do(
                "query", code="invalid_input", query=query, value=call.input
            )
        elif "expression" in call.config:
            value = call.config["expression"]
        else:
            value = _shaped(call)
        if "format" not in call.config:
            return Output(value)
        format = choice(call, "format", FORMATS, "json")
        if format == "json":
            return Output(parse_json(value) if isinstance(value, str) else value)
        return Output(write(value, format))


def _query_faults(query: str) -> dict[str, str]:
    try:
        jmespath.compile(query)
    except (JMESPathError, ValueError, RecursionError) as error:
        return {"query": f"This is no JMESPath query: {str(error)[:200]}"}
    return {}


def _shaped(call: Call) -> Any:
    if call.config.keys().isdisjoint(SHAPING):
        return call.input
    keep = set(listing(call, "keep")) if "keep" in call.config else None
    renamed, added = mapping(call, "rename"), mapping(call, "set")

    def shape(item: Any) -> dict[str, Any]:
        if not isinstance(item, dict):
            raise NodeError(
                f"keep, rename and set take an object or a list of objects; this is {kind_of(item)}.",
                code="invalid_input",
            )
        if keep is not None:
            item = {name: item[name] for name in item if name in keep}
        if renamed:
            item = {renamed.get(name, name): item[name] for name in item}
        return {**item, **added}

    if isinstance(call.input, list):
        return [shape(item) for item in call.input]
    return shape({} if call.input is None else call.input)
