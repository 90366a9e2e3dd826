"""The picture of a graph: it reads from left to right, and nothing lies on top of anything else."""

import re
from itertools import combinations

from workflows.admin.drawing import MOST_NODES, draw


def graph(*edges: str):
    """`a>b` is an edge; `a>b:yes` leaves by a handle."""
    pairs = []
    for edge in edges:
        way, _, handle = edge.partition(":")
        source, target = way.split(">")
        pairs.append({"source": source, "target": target, "source_handle": handle})
    names = dict.fromkeys(pair[end] for pair in pairs for end in ("source", "target"))
    return [{"id": name, "type": "transform"} for name in names], pairs


def boxes(drawing):
    return {box.id: box for box in drawing.boxes}


def test_every_edge_leads_to_the_right():
    nodes, edges = graph("a>b", "b>d", "a>c", "c>d", "a>d", "d>e")
    drawn = boxes(draw(nodes, edges))
    assert all(drawn[edge["source"]].x < drawn[edge["target"]].x for edge in edges)


def test_no_two_boxes_overlap_and_all_are_in_the_picture():
    nodes, edges = graph(*(f"in>n{i}" for i in range(9)), *(f"n{i}>out" for i in range(9)))  # fmt: skip
    drawing = draw(nodes, edges)
    for one, other in combinations(drawing.boxes, 2):
        assert (
            abs(one.x - other.x) >= drawing.box_width
            or abs(one.y - other.y) >= drawing.box_height
        )
    for box in drawing.boxes:
        assert 0 <= box.x <= drawing.width - drawing.box_width
        assert 0 <= box.y <= drawing.height - drawing.box_height


def test_a_long_edge_passes_between_the_boxes():
    nodes, edges = graph("a>b", "b>c", "a>c")
    drawing = draw(nodes, edges)
    passed = boxes(drawing)["b"]
    path = drawing.lines[2].path
    heights = [float(y) for y in re.findall(r",(\d+\.\d)(?= H)", path)]
    assert heights
    assert all(not passed.y <= y <= passed.y + drawing.box_height for y in heights)


def test_handles_are_named_and_main_is_not():
    nodes, edges = graph("a>b:true", "a>c:false", "b>d:main", "c>d")
    assert [line.handle for line in draw(nodes, edges).lines] == [
        "true",
        "false",
        "",
        "",
    ]


def test_a_long_name_is_shortened():
    drawing = draw([{"id": "a", "type": "input", "name": "x" * 80}], [])
    assert len(drawing.boxes[0].name) < 25


def test_what_can_not_be_drawn_is_not():
    nodes = [{"id": f"n{i}", "type": "input"} for i in range(MOST_NODES + 1)]
    assert draw(nodes, []) is None
    assert draw([], []) is None


def test_a_faulty_graph_does_not_hang():
    nodes, edges = graph("a>b", "b>a")
    edges.append({"source": "a", "target": "nowhere"})
    assert len(draw(nodes, edges).boxes) == 2
