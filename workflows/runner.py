"""What is done with the texts and programs of strangers in a library that they might break or keep busy. Jobs of the sandbox: nothing here runs in a process of ours."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import jmespath
import quickjs
import yaml
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from jmespath.exceptions import JMESPathError
from markdown_it import MarkdownIt
from markdown_it.token import Token
from selectolax.lexbor import LexborHTMLParser, LexborNode, SelectolaxError

from craft.exceptions import InvalidError

MAX_DEPTH = 64
MAX_STACK_BYTES = 512 * 1024
MAX_RESULT = 4_000_000


def carry_out(payload: dict[str, Any]) -> Any:
    """All work comes by this one door, so that one child that waits can do any of it."""
    return JOBS[payload["job"]](payload)


def rehearse() -> None:
    """What every such job touches, done before it comes."""
    context = quickjs.Context()
    context.eval("[1].map((n) => ({n}))")
    parse_xml({"text": "<a b='c'>d</a>"})
    select_html({"text": "<p>a</p>", "select": {"p": {"selector": "p"}}})
    json.dumps({"a": [1]})


# --- JavaScript ---

# What a program finds around it, and how it is called: both run in the program's own world, so nothing that they hold is more than it may have.
JAVASCRIPT_BEGINNING = """
globalThis.__lines = [];
globalThis.console = {log: (...values) => {
  if (__lines.length < 20) {
    __lines.push(values.map((value) => typeof value === 'string' ? value : JSON.stringify(value)).join(' ').slice(0, 2000));
  }
}};
"""
JAVASCRIPT_ENDING = """
(() => {
  const given = JSON.parse(%s);
  const tell = (key) => (value) => {
    globalThis.__answer = JSON.stringify({[key]: key === 'value' ? (value === undefined ? null : value) : String(value), lines: __lines});
  };
  return Promise.resolve(main(given.input, given.variables)).then(tell('value')).catch(tell('error'));
})()
"""


def run_javascript(payload: dict[str, Any]) -> dict[str, Any]:
    """`{value, lines}`: what `main(input, variables)` gives, and what was logged; or `{over_limit}`."""
    context = quickjs.Context()
    context.set_memory_limit(payload["memory_bytes"])
    context.set_max_stack_size(MAX_STACK_BYTES)
    context.set_time_limit(payload["seconds"])
    try:
        context.eval(JAVASCRIPT_BEGINNING)
        context.eval(payload["program"])
        context.eval(JAVASCRIPT_ENDING % json.dumps(payload["given"]))
        while context.execute_pending_job():
            pass
        answer = context.eval("globalThis.__answer")
    except quickjs.JSException as error:
        if limit := _limit_in(str(error), payload):
            return {"over_limit": limit}
        raise InvalidError(_reason(error)) from None
    if not isinstance(answer, str):
        raise InvalidError("main never answers: what it waits for does not come.")
    if len(answer) > MAX_RESULT:
        return {"over_limit": f"It answers more than {MAX_RESULT:,} characters."}
    told = json.loads(answer)
    if not isinstance(told, dict) or "value" not in told:
        reason = str(told.get("error") if isinstance(told, dict) else "")
        if limit := _limit_in(reason, payload):
            return {"over_limit": limit}
        raise InvalidError(reason[:500] or "main gives what JSON does not know.")
    return {"value": told["value"], "lines": _texts(told.get("lines"))}


def _limit_in(text: str, payload: dict[str, Any]) -> str:
    if "interrupted" in text:
        return f"It takes longer than {payload['seconds']:g} seconds."
    # Where there is no memory left even for an error, QuickJS throws null.
    if "out of memory" in text or "string too long" in text or text.strip() == "null":
        return f"It needs more than {payload['memory_bytes'] // 2**20} MB of memory."
    return ""


def _reason(error: Exception) -> str:
    """What went wrong, and where in the program."""
    lines = [line.strip() for line in str(error).splitlines()]
    where = [line for line in lines[1:] if "<input>" in line][:1]
    return "; ".join([*lines[:1], *where]).replace("<input>", "code")[:500]


def _texts(lines: Any) -> list[str]:
    """The program may have changed how its lines are kept."""
    if not isinstance(lines, list):
        return []
    return [line[:2_000] for line in lines[:20] if isinstance(line, str)]


# --- JMESPath ---


def query(payload: dict[str, Any]) -> Any:
    try:
        return jmespath.search(payload["query"], payload["value"])
    except (JMESPathError, ValueError, RecursionError) as error:
        raise InvalidError(f"The query fails: {str(error)[:300]}") from None


# --- XML and YAML ---


def parse_xml(payload: dict[str, Any]) -> Any:
    try:
        root = fromstring(payload["text"].encode(), forbid_dtd=True)
    except ParseError as error:
        raise InvalidError(f"This is not XML: {error}.") from None
    except DefusedXmlException:
        raise InvalidError("XML with a DTD or entities is not read.") from None
    return {_local(root.tag): _of_element(root, MAX_DEPTH)}


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _of_element(element: Element, depth: int) -> Any:
    """Attributes become `@name`, children their names, several of a name a list, and text beside them `#text`."""
    if depth == 0:
        raise InvalidError(f"It is nested deeper than {MAX_DEPTH} levels.")
    inner: dict[str, Any] = {
        f"@{_local(name)}": value for name, value in element.attrib.items()
    }
    repeated: set[str] = set()
    for child in element:
        name, value = _local(child.tag), _of_element(child, depth - 1)
        if name in repeated:
            inner[name].append(value)
        elif name in inner:
            inner[name] = [inner[name], value]
            repeated.add(name)
        else:
            inner[name] = value
    texts = [element.text or "", *(child.tail or "" for child in element)]
    text = "".join(texts).strip()
    if not inner:
        return text or None
    return {**inner, "#text": text} if text else inner


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's core: a date, a time, `yes` and `007` are texts."""

    yaml_implicit_resolvers: dict[str, Any] = {}


for kind, first, pattern in (
    ("null", "~nN\0", r"(?:~|null|Null|NULL|)"),
    ("bool", "tTfF", r"(?:true|True|TRUE|false|False|FALSE)"),
    ("int", "-+0123456789", r"[-+]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+)"),
    ("float", "-+.0123456789", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)\.[0-9]*|[1-9][0-9]*(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"),
    ("merge", "<", r"<<"),
):  # fmt: skip
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{kind}", re.compile(f"^(?:{pattern})$"), list(first)
    )
_Loader.yaml_implicit_resolvers[""] = _Loader.yaml_implicit_resolvers.pop("\0")


def parse_yaml(payload: dict[str, Any]) -> Any:
    try:
        value = yaml.load(payload["text"], Loader=_Loader)  # noqa: S506 (a safe loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise InvalidError(
            f"This is not YAML: {getattr(error, 'problem', None) or error}{line}."
        ) from None
    except (ValueError, RecursionError):
        raise InvalidError("This is not YAML that can be read.") from None
    return _as_json(value, MAX_DEPTH)


def _as_json(value: Any, depth: int) -> Any:
    if depth == 0:
        raise InvalidError(f"It is nested deeper than {MAX_DEPTH} levels.")
    match value:
        case dict():
            return {
                key if isinstance(key, str) else json.dumps(key): _as_json(
                    item, depth - 1
                )
                for key, item in value.items()
            }
        case list():
            return [_as_json(item, depth - 1) for item in value]
        case None | bool() | int() | str():
            return value
        case float() if value - value == 0:  # neither infinite nor NaN
            return value
    raise InvalidError(f"It holds {str(value)[:50]}, which JSON does not know.")


# --- HTML ---


def select_html(payload: dict[str, Any]) -> dict[str, Any]:
    tree = LexborHTMLParser(payload["text"])
    return {
        name: _selected(tree, wanted, name)
        for name, wanted in payload["select"].items()
    }


def _selected(tree: LexborHTMLParser, wanted: dict[str, Any], name: str) -> Any:
    try:
        nodes = tree.css(wanted["selector"])
    except (SelectolaxError, ValueError):
        raise InvalidError(f"{name}: this is no CSS selector.") from None
    found = [_taken(node, wanted) for node in nodes]
    if wanted.get("all"):
        return found
    return found[0] if found else None


def _taken(node: LexborNode, wanted: dict[str, Any]) -> str | None:
    if attribute := wanted.get("attribute"):
        value: str | None = node.attributes.get(attribute)
        return value
    if wanted.get("as") == "html":
        return node.html
    return " ".join(node.text(separator=" ").split())


# --- Markdown ---


def read_markdown(payload: dict[str, Any]) -> dict[str, Any]:
    """As HTML without any HTML of its own, and what it consists of."""
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(payload["text"])
    return {
        "html": markdown.renderer.render(tokens, markdown.options, {}),
        "headings": [
            {"level": int(opening.tag[1:]), "text": _plain(content)}
            for opening, content in pairwise(tokens)
            if opening.type == "heading_open"
        ],
        "links": [link for token in tokens for link in _links(token)],
        "code": [
            {"language": token.info.strip() or None, "code": token.content}
            for token in tokens
            if token.type == "fence"
        ],
    }


def _plain(token: Token) -> str:
    return "".join(child.content for child in token.children or [])


def _links(token: Token) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    is_open = False
    for child in token.children or []:
        if child.type == "link_open":
            found.append({"url": child.attrs.get("href"), "text": ""})
            is_open = True
        elif child.type == "link_close":
            is_open = False
        elif is_open:
            found[-1]["text"] += child.content
    return found


JOBS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "run_javascript": run_javascript,
    "query": query,
    "parse_xml": parse_xml,
    "parse_yaml": parse_yaml,
    "select_html": select_html,
    "read_markdown": read_markdown,
}
