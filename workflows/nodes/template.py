"""Writes a text."""

from collections.abc import Callable
from html import escape
from typing import Any

from workflows.nodes import outside
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import escape_markdown
from workflows.nodes.items import ITEMS, bounded, items_of
from workflows.nodes.resolved import choice, is_expression, text

MAX_TEMPLATE = 100_000
MAX_TEXT = 1_000_000
MAX_MARKDOWN = 200_000
ESCAPES: dict[str, Callable[[str], str]] = {
    "text": str,
    "html": escape,
    "markdown": escape_markdown,
}


class Template(Node):
    type = "template"
    family = "processing"
    summary = "Writes a text with values in it: plain, as HTML or as Markdown that becomes HTML; once, or once for each item of a list."
    config_schema = {
        "type": "object",
        "properties": {
            "template": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_TEMPLATE,
                "description": "The text, with expressions in `{{ … }}`. Where there are items, it may read `item` and `index`.",
            },
            "format": {
                "enum": list(ESCAPES),
                "default": "text",
                "description": "text leaves values as they are; html escapes them, so that a value can't become mark-up; markdown escapes them, too, and makes HTML of the whole.",
            },
            "items": ITEMS
            | {"description": "A list: the template is written once for each item."},
            "separator": {
                "type": "string",
                "maxLength": 1_000,
                "default": "\n",
                "description": "For items: what stands between the texts.",
            },
        },
        "required": ["template"],
        "additionalProperties": False,
    }
    raw_fields = frozenset({"template"})
    example = {
        "config": {"template": "<p>Dear {{ input.name }},</p>", "format": "html"},
        "input": {"name": "Ada <ada@example.com>"},
        "output": "<p>Dear Ada &lt;ada@example.com&gt;,</p>",
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        if "separator" in config and "items" not in config:
            return {"separator": "`separator` goes with `items`."}
        return {}

    def suspends(self, config: dict[str, Any]) -> bool:
        format = config.get("format")
        return format == "markdown" or is_expression(format)

    async def run(self, call: Call) -> Output:
        template = call.config["template"]
        format = choice(call, "format", ESCAPES, "text")
        escape = ESCAPES[format]
        if "items" not in call.config:
            written = call.render(template, escape)
        else:
            separator = text(call, "separator", "\n")
            parts: list[str] = []
            size = 0
            for index, item in enumerate(bounded(items_of(call))):
                parts.append(call.render(template, escape, item=item, index=index))
                size += len(parts[-1]) + len(separator)
                if size > MAX_TEXT:
                    raise _too_long(MAX_TEXT)
            written = separator.join(parts)
        if format != "markdown":
            return Output(written)
        if len(written) > MAX_MARKDOWN:
            raise _too_long(MAX_MARKDOWN)
        read = await outside.do("read_markdown", code="invalid_input", text=written)
        return Output(read["html"])


def _too_long(most: int) -> NodeError:
    return NodeError(f"The text has more than {most:,} characters.", code="over_limit")
