"""The node types. A new one is a file in this folder and a line here."""

from workflows.nodes.base import Node

NODES: dict[str, type[Node]] = {}
