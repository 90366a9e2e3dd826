"""Writes a JSON value as text: what `transform` shows and `store` keeps."""

import csv
import io
import json
import re
from collections.abc import Iterable
from html import escape
from typing import Any, Literal, get_args

import yaml

from workflows.nodes.base import NodeError
from workflows.nodes.resolved import kind_of

Format = Literal["json", "csv", "xml", "yaml", "text", "html", "markdown"]
FORMATS: tuple[str, ...] = get_args(Format)
MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "xml": "application/xml",
    "yaml": "application/yaml",
    "text": "text/plain; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "markdown": "text/markdown; charset=utf-8",
}
EXTENSIONS = {**{name: name for name in FORMATS}, "text": "txt", "markdown": "md"}
MAX_DEPTH = 64


def write(value: Any, format: str) -> str:
    try:
        return WRITERS[format](value)
    except RecursionError:
        raise _too_deep() from None


def parse_json(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise NodeError(f"This is not JSON: {error}.", code="invalid_json") from None
    except RecursionError:
        raise _too_deep() from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _too_deep() -> NodeError:
    return NodeError("The value is nested too deeply.", code="invalid_input")


def write_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- Tables ---


def _table(value: Any) -> tuple[list[str], list[list[Any]]] | None:
    """Objects as columns and rows; a list of lists has rows only. None for what is no table."""
    rows = [value] if isinstance(value, dict) else value
    if not isinstance(rows, list) or not rows:
        return None
    if all(isinstance(row, dict) for row in rows):
        columns = list(dict.fromkeys(name for row in rows for name in row))
        return columns, [[row.get(name) for name in columns] for row in rows]
    if all(isinstance(row, list) for row in rows):
        return [], rows
    return None


def as_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
    return write_json(value)


FORMULA = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?[0-9]+(?:[.,][0-9]+)?")


def _csv_cell(value: Any) -> str:
    """A text that a spreadsheet would run as a formula is marked as text."""
    cell = as_text(value)
    if isinstance(value, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def write_csv(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value == []:
        return ""
    table = _table(value)
    if table is None and isinstance(value, list):
        table = ["value"], [[item] for item in value]
    if table is None:
        raise NodeError(
            f"CSV is made of a list of objects; this is {kind_of(value)}.",
            code="invalid_input",
        )
    columns, rows = table
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n")
    if columns:
        writer.writerow([_csv_cell(name) for name in columns])
    writer.writerows([_csv_cell(item) for item in row] for row in rows)
    return file.getvalue()


def write_html(value: Any) -> str:
    table = _table(value)
    if table is None:
        items = value if isinstance(value, list) else [value]
        return "".join(f"<p>{escape(as_text(item))}</p>" for item in items)
    columns, rows = table
    head = _html_row("th", columns) if columns else ""
    return f"<table>{head}{''.join(_html_row('td', row) for row in rows)}</table>"


def _html_row(tag: str, cells: Iterable[Any]) -> str:
    return f"<tr>{''.join(f'<{tag}>{escape(as_text(cell))}</{tag}>' for cell in cells)}</tr>"


def write_markdown(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "".join(f"- **{_inline(k)}**: {_inline(v)}\n" for k, v in value.items())
    table = _table(value)
    if table is None:
        items = value if isinstance(value, list) else [value]
        return "".join(f"- {_inline(item)}\n" for item in items)
    columns, rows = table
    columns = columns or [""] * max(len(row) for row in rows)
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(
        f"| {' | '.join(_inline(cell) for cell in line)} |\n" for line in lines
    )


def _inline(value: Any) -> str:
    """Text within one line of Markdown that can't become mark-up."""
    text = " ".join(as_text(value).split())
    return text if text == "---" else escape_markdown(text)


def escape_markdown(text: str) -> str:
    return escape(re.sub(r"([\\`*_\[\]|])", r"\\\1", text), quote=False)


def write_text(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{name}: {as_text(item)}" for name, item in value.items())
    if isinstance(value, list):
        return "\n".join(as_text(item) for item in value)
    return as_text(value)


# --- Trees ---


class _Dumper(yaml.CSafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_yaml(value: Any) -> str:
    _require_shallow(value)
    return yaml.dump(value, Dumper=_Dumper, allow_unicode=True, sort_keys=False)


NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
NOT_A_NAME = re.compile(r"[^\w.-]", re.ASCII)


def write_xml(value: Any) -> str:
    _require_shallow(value)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_element("root", value)}\n'


def _element(name: str, value: Any) -> str:
    match value:
        case dict():
            inner = "".join(_element(_tag(key), item) for key, item in value.items())
        case list():
            inner = "".join(_element("item", item) for item in value)
        case _:
            inner = escape(NOT_XML.sub("", as_text(value)), quote=False)
    return f"<{name}>{inner}</{name}>" if inner else f"<{name}/>"


def _tag(key: str) -> str:
    name = NOT_A_NAME.sub("_", key)
    starts_well = re.match(r"[A-Za-z_]", name) and not name.lower().startswith("xml")
    return name if starts_well else f"_{name}"


def _require_shallow(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep()
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            _require_shallow(item, depth + 1)


WRITERS = {
    "json": write_json,
    "csv": write_csv,
    "xml": write_xml,
    "yaml": write_yaml,
    "text": write_text,
    "html": write_html,
    "markdown": write_markdown,
}
