"""A small picture of a graph: nodes in columns by how far they are from the start, each column ordered so that few edges cross.

An edge that spans several columns is led through a free place in each, so that it passes between the nodes and never under them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 152, 46
GAP_X, GAP_Y = 68, 18
LANE = 14
"""The height of the place that a passing edge takes."""
MARGIN = 8
NAME_SHOWN = 19
HANDLE_SHOWN = 11
MOST_NODES = 150
"""A larger graph can't be read as a picture; its table can."""
SWEEPS = 4


@dataclass
class Box:
    id: str
    name: str
    type: str
    status: str = ""
    x: float = 0
    y: float = 0


@dataclass
class Line:
    path: str
    handle: str
    x: float
    y: float


@dataclass
class Drawing:
    boxes: list[Box]
    lines: list[Line]
    width: float
    height: float
    box_width: int = WIDTH
    box_height: int = HEIGHT


@dataclass
class _Place:
    """What takes room in a column: a node, or an edge that passes by."""

    column: int
    box: Box | None = None
    before: list[_Place] = field(default_factory=list)
    after: list[_Place] = field(default_factory=list)
    order: float = 0
    y: float = 0

    @property
    def height(self) -> int:
        return HEIGHT if self.box else LANE

    @property
    def middle(self) -> float:
        return self.y + self.height / 2

    @property
    def left(self) -> float:
        return MARGIN + self.column * (WIDTH + GAP_X)


def draw(
    nodes: Sequence[Mapping[str, Any]],
    edges: Sequence[Mapping[str, Any]],
    statuses: Mapping[str, str] | None = None,
) -> Drawing | None:
    """None where there is nothing to draw, or too much."""
    if not 0 < len(nodes) <= MOST_NODES:
        return None
    known = {str(node["id"]) for node in nodes}
    arrows = [edge for edge in edges if {edge["source"], edge["target"]} <= known]
    columns_of = _columns_of(known, arrows)
    places = {
        str(node["id"]): _Place(columns_of[node["id"]], _as_box(node, statuses or {}))
        for node in nodes
    }
    routes = [_route(places, edge) for edge in arrows]
    columns = _columns(places, routes)
    _order(columns)
    height = _stack(columns)
    return Drawing(
        [_positioned(place) for place in places.values()],
        [
            _line(route, str(edge.get("source_handle") or ""))
            for route, edge in zip(routes, arrows, strict=True)
        ],
        2 * MARGIN + len(columns) * (WIDTH + GAP_X) - GAP_X,
        height,
    )


def _as_box(node: Mapping[str, Any], statuses: Mapping[str, str]) -> Box:
    shown = _shortened(str(node.get("name") or node["id"]), NAME_SHOWN)
    return Box(
        str(node["id"]), shown, str(node.get("type")), statuses.get(str(node["id"]), "")
    )


def _columns_of(known: set[str], edges: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The longest way from a start to each node. A cycle, which no saved graph has, ends the count."""
    columns = dict.fromkeys(known, 0)
    for _ in range(len(known)):
        is_settled = True
        for edge in edges:
            column = columns[edge["source"]] + 1
            if columns[edge["target"]] < column:
                columns[edge["target"]] = column
                is_settled = False
        if is_settled:
            break
    return columns


def _route(places: Mapping[str, _Place], edge: Mapping[str, Any]) -> list[_Place]:
    source, target = places[edge["source"]], places[edge["target"]]
    passed = [_Place(column) for column in range(source.column + 1, target.column)]
    route = [source, *passed, target]
    for one, next_one in pairwise(route):
        one.after.append(next_one)
        next_one.before.append(one)
    return route


def _columns(
    places: Mapping[str, _Place], routes: Sequence[Sequence[_Place]]
) -> list[list[_Place]]:
    everything = [
        *places.values(),
        *(place for route in routes for place in route[1:-1]),
    ]
    columns: list[list[_Place]] = [
        [] for _ in range(1 + max(place.column for place in everything))
    ]
    for place in everything:
        place.order = len(columns[place.column])
        columns[place.column].append(place)
    return columns


def _order(columns: Sequence[list[_Place]]) -> None:
    """Each place near the mean of its neighbours, looking back and forth in turn."""
    for sweep in range(SWEEPS):
        is_back = sweep % 2 == 0
        for column in columns if is_back else reversed(columns):
            column.sort(key=lambda place: _mean(place, is_back=is_back))
            for order, place in enumerate(column):
                place.order = order


def _mean(place: _Place, *, is_back: bool) -> float:
    near = place.before if is_back else place.after
    return sum(other.order for other in near) / len(near) if near else place.order


def _stack(columns: Sequence[Sequence[_Place]]) -> float:
    """Gives every place its height, each column in the middle of the picture; returns the picture's."""
    heights = [
        sum(place.height for place in column) + GAP_Y * (len(column) - 1)
        for column in columns
    ]
    tallest = max(heights)
    for column, height in zip(columns, heights, strict=True):
        y = MARGIN + (tallest - height) / 2
        for place in column:
            place.y = y
            y += place.height + GAP_Y
    return tallest + 2 * MARGIN


def _positioned(place: _Place) -> Box:
    box = place.box or Box("", "", "")
    box.x, box.y = place.left, place.y
    return box


def _line(route: Sequence[_Place], handle: str) -> Line:
    start = route[0]
    x, y = start.left + WIDTH, start.middle
    path = f"M{x:.0f},{y:.1f}"
    for place in route[1:]:
        bend = (x + place.left) / 2
        path += f" C{bend:.0f},{y:.1f} {bend:.0f},{place.middle:.1f} {place.left:.0f},{place.middle:.1f}"
        x, y = place.left, place.middle
        if place is not route[-1]:
            x += WIDTH
            path += f" H{x:.0f}"
    # In the middle of the edge's first stretch: there two edges from one node have parted.
    return Line(
        path,
        "" if handle == "main" else _shortened(handle, HANDLE_SHOWN),
        start.left + WIDTH + GAP_X / 2,
        (start.middle + route[1].middle) / 2 + 3,
    )


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
