"""Reads a text."""

from typing import Any

from selectolax.lexbor import LexborHTMLParser, SelectolaxError

from workflows.nodes import outside
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import parse_json
from workflows.nodes.readers import (
    pattern_fault,
    read_csv,
    read_form,
    read_jwt,
    read_text,
)
from workflows.nodes.resolved import choice, flag, is_expression, kind_of, mapping, text

MAX_CHARACTERS = {
    "json": 10_000_000,
    "csv": 10_000_000,
    "xml": 5_000_000,
    "yaml": 500_000,
    "html": 5_000_000,
    "markdown": 200_000,
    "text": 5_000_000,
    "form": 1_000_000,
    "jwt": 100_000,
}
FORMATS = tuple(MAX_CHARACTERS)
OUTSIDE = {"xml": "parse_xml", "yaml": "parse_yaml", "markdown": "read_markdown"}
BELONGS = {
    "delimiter": "csv",
    "header": "csv",
    "select": "html",
    "pattern": "text",
    "all": "text",
}
SELECTOR: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 500,
    "description": "A CSS selector, such as `table.prices td:first-child`.",
}


class Parse(Node):
    type = "parse"
    family = "processing"
    summary = "Reads a text as JSON, CSV, XML, YAML, HTML, Markdown, a form or a token, or finds parts of it by a regular expression."
    config_schema = {
        "type": "object",
        "properties": {
            "format": {
                "enum": list(FORMATS),
                "description": "json and yaml give their value. csv gives a list of objects. xml gives objects: attributes are `@name`, text beside them `#text`, a name that comes several times is a list."
                " html gives what `select` takes. markdown gives `{html, headings, links, code}`. text gives the match of `pattern`. form gives the fields of `a=1&b=2`."
                " jwt gives `{header, payload}` of a token whose signature nobody has checked.",
            },
            "value": {"description": "The text; without it, the node's input."},
            "delimiter": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1,
                "default": ",",
                "description": "For csv: what stands between cells.",
            },
            "header": {
                "type": "boolean",
                "default": True,
                "description": "For csv: whether the first row names the columns. If not, rows are lists.",
            },
            "select": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 50,
                "description": "For html: what to take, by its name in the output: a CSS selector for the text of the first element, or an object with more to say.",
                "additionalProperties": {
                    "anyOf": [
                        SELECTOR,
                        {
                            "type": "object",
                            "properties": {
                                "selector": SELECTOR,
                                "attribute": {
                                    "type": "string",
                                    "minLength": 1,
                                    "maxLength": 100,
                                    "description": "An attribute instead of the text.",
                                },
                                "as": {
                                    "enum": ["text", "html"],
                                    "default": "text",
                                    "description": "The element's text, or itself as HTML.",
                                },
                                "all": {
                                    "type": "boolean",
                                    "default": False,
                                    "description": "A list of all, instead of the first.",
                                },
                            },
                            "required": ["selector"],
                            "additionalProperties": False,
                        },
                    ]
                },
            },
            "pattern": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1_000,
                "description": "For text: a regular expression (RE2). Named groups make an object, several groups a list.",
            },
            "all": {
                "type": "boolean",
                "default": False,
                "description": "For text: a list of all matches, instead of the first.",
            },
        },
        "required": ["format"],
        "additionalProperties": False,
    }
    example = {
        "config": {"format": "csv", "delimiter": ";"},
        "input": "sku;price\na1;9.50\nb2;12\n",
        "output": [{"sku": "a1", "price": "9.50"}, {"sku": "b2", "price": "12"}],
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        format = config["format"]
        if is_expression(format):
            return {}
        faults = {
            name: f"`{name}` goes with the format {belongs}."
            for name, belongs in BELONGS.items()
            if name in config and format != belongs
        }
        for name, belongs in (("select", "html"), ("pattern", "text")):
            if format == belongs and name not in config:
                faults[name] = f"The format {belongs} needs it."
        if faults:
            return faults
        pattern = config.get("pattern")
        if (
            pattern is not None
            and not is_expression(pattern)
            and (fault := pattern_fault(pattern))
        ):
            return {"pattern": fault}
        return _select_faults(config.get("select"))

    def suspends(self, config: dict[str, Any]) -> bool:
        format = config.get("format")
        return format == "html" or format in OUTSIDE or is_expression(format)

    async def run(self, call: Call) -> Output:
        format = choice(call, "format", FORMATS, "")
        value = call.config.get("value", call.input)
        if not isinstance(value, str):
            raise NodeError(
                f"A text is parsed; this is {kind_of(value)}.", code="invalid_input"
            )
        if len(value) > MAX_CHARACTERS[format]:
            raise NodeError(
                f"The text has {len(value):,} characters; for {format} there may be {MAX_CHARACTERS[format]:,}.",
                code="over_limit",
            )
        return Output(await _read(call, format, value))


async def _read(call: Call, format: str, value: str) -> Any:
    match format:
        case "json":
            return parse_json(value)
        case "csv":
            return read_csv(
                value,
                delimiter=text(call, "delimiter", ","),
                has_header=flag(call, "header", default=True),
            )
        case "form":
            return read_form(value)
        case "jwt":
            return read_jwt(value)
        case "text":
            takes_all = flag(call, "all", default=False)
            return read_text(value, text(call, "pattern"), takes_all=takes_all)
        case "html":
            select = {
                name: {"selector": wanted} if isinstance(wanted, str) else wanted
                for name, wanted in mapping(call, "select").items()
            }
            return await outside.do(
                "select_html", code="invalid_input", text=value, select=select
            )
    return await outside.do(OUTSIDE[format], code="invalid_input", text=value)


def _select_faults(select: Any) -> dict[str, str]:
    if not isinstance(select, dict):
        return {}
    faults = {}
    for name, wanted in select.items():
        selector = wanted if isinstance(wanted, str) else wanted["selector"]
        where = f"select.{name}" + ("" if wanted is selector else ".selector")
        if not is_expression(selector) and not _is_selector(selector):
            faults[where] = "This is no CSS selector."
        elif isinstance(wanted, dict) and "attribute" in wanted and "as" in wanted:
            faults[f"select.{name}.as"] = "An attribute is always a text."
    return faults


def _is_selector(selector: str) -> bool:
    try:
        LexborHTMLParser("").css(selector)
    except (SelectolaxError, ValueError):
        return False
    return True
