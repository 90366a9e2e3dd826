import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from workflows.nodes import NODES
from workflows.nodes.base import Node

PAGE = Path(settings.BASE_DIR, "docs", "nodes.md")
BEGINNING = """# Node types

What the nodes of a workflow can be. `GET /workflows/node-types` answers the same, with each config's whole JSON Schema. This page is written by
`manage.py document_nodes` out of the node types themselves (`workflows/nodes/`), and each example on it is run by the tests.

A string in a config may hold [expressions](expressions.md), where nothing else is said. A node's **effect** says what a crash means: a *pure* node may run
again; an *effect* is written down before and after, so that a finished one never repeats; one that is *at most once* never repeats at all. Every node
may also leave by the handle `error`, with `on_error: branch`.
"""
FAMILIES = {
    "input": "Input",
    "ai": "AI",
    "processing": "Processing",
    "conditional": "Deciding",
    "flow": "Flow",
    "integrations": "Integrations",
    "output": "Output",
}


class Command(BaseCommand):
    help = "Write docs/nodes.md out of the node types."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--check",
            action="store_true",
            help="Write nothing; fail if the page is no longer true.",
        )

    def handle(self, *args: Any, check: bool, **options: Any) -> None:
        text = page()
        is_true = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        if check and not is_true:
            raise CommandError(
                "The node types have changed and docs/nodes.md has not. Run `make openapi` and commit the result."
            )
        if not is_true:
            PAGE.write_text(text, encoding="utf-8")
        self.stdout.write(f"{len(NODES)} node types are described.")


def page() -> str:
    parts = [BEGINNING]
    for family, title in FAMILIES.items():
        nodes = [kind() for kind in NODES.values() if kind.family == family]
        if nodes:
            parts += [f"## {title}\n", *map(_section, nodes)]
    return "\n".join(parts)


def _section(node: Node) -> str:
    return "\n".join(
        [
            f"### {node.type}\n",
            f"{node.summary}\n",
            f"Effect: {node.effect.replace('_', ' ')}. Handles: {_handles(node)}.\n",
            *_table(node.config_schema),
            *_example(node.example),
        ]
    )


def _handles(node: Node) -> str:
    found = [*node.handles, *node.handles_for(node.example["config"])]
    found += node.example.get("handles", [])
    return ", ".join(f"`{handle}`" for handle in dict.fromkeys(found)) or "none"


def _table(schema: dict[str, Any]) -> Iterator[str]:
    if not schema["properties"]:
        return
    yield "| Config | Type | |"
    yield "|---|---|---|"
    for name, field, is_required in _fields(schema):
        notes = [field.get("description", "")]
        if is_required:
            notes.append("**Required.**")
        if "default" in field:
            notes.append(f"Default: `{json.dumps(field['default'])}`.")
        if field.get("x-secret"):
            notes.append("Kept secret.")
        if field.get("x-literal"):
            notes.append("Expressions in it are not evaluated.")
        yield f"| `{name}` | {_type(field)} | {_cell(' '.join(notes))} |"
    yield ""


def _fields(
    schema: dict[str, Any], before: str = ""
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Every field with its path, also within lists (`by[].field`) and within objects of free names (`values.*.op`)."""
    required = schema.get("required", [])
    for name, field in schema.get("properties", {}).items():
        yield f"{before}{name}", field, name in required
        yield from _fields(field, f"{before}{name}.")
    for form in schema.get("anyOf", []):
        yield from _fields(form, before)
    for key, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(inner := schema.get(key), dict):
            yield from _fields(inner, f"{before.rstrip('.')}{mark}.")


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(f"`{word}`" for word in field["enum"])
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(map(_type, field["anyOf"])))
    named = field.get("type", "any")
    words = [named] if isinstance(named, str) else named
    return " or ".join({"array": "list"}.get(word, word) for word in words)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _example(example: dict[str, Any]) -> Iterator[str]:
    yield "```json"
    yield json.dumps(example, indent=2, ensure_ascii=False)
    yield "```\n"
