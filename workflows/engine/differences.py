"""What changed between two graphs, or between two values. Plain Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

Change = dict[str, Any]
"""`path`, and `before`, `after`, of which the one that there is not is left out."""
MOST_CHANGES = 1_000
DRAWN: Final = frozenset({"position"})
"""Where a node stands on the canvas: a change of it is not one of what the workflow does."""


def changes_of(
    before: Any, after: Any, path: str = "", *, ignore: frozenset[str] = frozenset()
) -> list[Change]:
    """By the dotted path of what differs; at most a thousand. `ignore`: keys of the topmost object that don't count."""
    found: list[Change] = []
    for change in _changes(before, after, path, ignore):
        found.append(change)
        if len(found) == MOST_CHANGES:
            break
    return found


def _changes(
    before: Any, after: Any, path: str, ignore: frozenset[str]
) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        names = [*before, *(name for name in after if name not in before)]
        for name in names:
            if name not in ignore:
                yield from _member(before, after, name, _below(path, name))
    elif isinstance(before, list) and isinstance(after, list):
        old, new = dict(enumerate(before)), dict(enumerate(after))
        for place in range(max(len(old), len(new))):
            yield from _member(old, new, place, _below(path, place))
    elif not same(before, after):
        yield {"path": path, "before": before, "after": after}


def _member(
    before: Mapping[Any, Any], after: Mapping[Any, Any], name: Any, path: str
) -> Iterator[Change]:
    if name not in after:
        yield {"path": path, "before": before[name]}
    elif name not in before:
        yield {"path": path, "after": after[name]}
    else:
        yield from _changes(before[name], after[name], path, frozenset())


def _below(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)


def same(before: Any, after: Any) -> bool:
    """As JSON: 1 is 1.0, and not true."""
    if isinstance(before, bool) or isinstance(after, bool):
        return before is after
    return bool(before == after)


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Nodes by their ids, edges by what they connect, variables by their names. Where only the drawing changed, the node is `moved`."""
    return {
        "nodes": _compare_nodes(before["nodes"], after["nodes"]),
        "edges": _compare_edges(before["edges"], after["edges"]),
        "variables": changes_of(before["variables"], after["variables"]),
    }


def _compare_nodes(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> dict[str, Any]:
    old = {node["id"]: node for node in before}
    new = {node["id"]: node for node in after}
    kept = [(node_id, old[node_id], new[node_id]) for node_id in new if node_id in old]
    changed = [
        {"id": node_id, "type": now.get("type"), "changes": changes}
        for node_id, was, now in kept
        if (changes := changes_of(was, now, ignore=DRAWN))
    ]
    return {
        "added": [node for node in after if node["id"] not in old],
        "removed": [node for node in before if node["id"] not in new],
        "changed": changed,
        "moved": [
            node_id
            for node_id, was, now in kept
            if was.get("position") != now.get("position")
        ],
    }


def _compare_edges(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> dict[str, Any]:
    old = {_ends(edge): edge for edge in before}
    new = {_ends(edge): edge for edge in after}
    return {
        "added": [_shown(ends) for ends in new if ends not in old],
        "removed": [_shown(ends) for ends in old if ends not in new],
    }


def _ends(edge: Mapping[str, Any]) -> tuple[str, str, str]:
    """Whichever of their names they were given by."""
    handle = edge.get("sourceHandle") or edge.get("source_handle") or "main"
    source, target = edge.get("source"), edge.get("target")
    return source or edge["from"], target or edge["to"], handle


def _shown(ends: tuple[str, str, str]) -> dict[str, str]:
    return dict(zip(("source", "target", "source_handle"), ends, strict=True))
