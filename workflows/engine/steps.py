"""Pipelines: a list of steps is drawn as a chain of nodes `step_1 … step_n`.

A step that decides goes on along one handle to the next step, or to the one that its `then` names, and along another to the step that its `else` names.
Without an `else`, a decision that falls out the other way ends the pipeline there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from workflows.engine.configs import suggestion, unknown_field
from workflows.engine.schema import ENGINE_PROPERTIES, MAX_NODES

_NODE_KEYS: Final = ("type", "name", "config", *ENGINE_PROPERTIES)
STEP_KEYS: Final = (*_NODE_KEYS, "conditions", "combine", "then", "else")

# The handle that a step goes on by, and the one that its `else` leaves from. All others go on by `main`.
DECIDING: Final[Mapping[str, tuple[str, str]]] = {
    "route": ("main", "else"),
    "condition": ("true", "false"),
    "approval": ("approved", "rejected"),
    "wait": ("main", "timeout"),
}
# These begin another chain for each item, and go on when all are done.
LOOPING: Final = frozenset({"map", "loop"})
ENDING: Final = frozenset({"stop"})
TARGET_SCHEMES: Final = ("s3://", "https://", "http://", "file://")


Drawing = tuple[dict[str, Any], dict[str, str]]


def draw_steps(steps: Any, output: Any) -> Drawing:
    """The definition, as far as it can be drawn, and the faults that keep it from being drawn whole."""
    return _Drawer().draw(steps, output)


class _Drawer:
    def __init__(self) -> None:
        self.faults: dict[str, str] = {}
        self._nodes: list[dict[str, Any]] = []
        self._edges: list[dict[str, Any]] = []
        self._places: dict[str, int | None] = {}

    def draw(self, steps: Any, output: Any) -> Drawing:
        steps = self._checked(steps)
        self._name(steps)
        for place, step in enumerate(steps):
            self._nodes.append(self._draw_node(place, step))
        for place, step in enumerate(steps):
            self._draw_edges(place, step, len(steps))
        self._check_reached(len(steps))
        self._draw_output(output)
        return {"nodes": self._nodes, "edges": self._edges}, self.faults

    def _checked(self, steps: Any) -> list[Any]:
        if not isinstance(steps, list):
            self.faults["steps"] = "Must be a list."
            return []
        if len(steps) >= MAX_NODES:
            self.faults["steps"] = (
                f"There may be {MAX_NODES - 1:,}, not {len(steps):,}."
            )
            return []
        return steps

    def _name(self, steps: list[Any]) -> None:
        """Steps are known by their ids, and by their names where these are unique."""
        for place, step in enumerate(steps):
            name = step.get("name") if isinstance(step, dict) else None
            if isinstance(name, str):
                self._places[name] = None if name in self._places else place
        for place in range(len(steps)):
            self._places[f"step_{place + 1}"] = place

    def _draw_node(self, place: int, step: Any) -> dict[str, Any]:
        node: dict[str, Any] = {"id": f"step_{place + 1}"}
        if not isinstance(step, dict):
            self.faults[f"steps.{place}"] = "Must be an object."
            return node
        for key, value in step.items():
            if key in _NODE_KEYS or str(key).startswith("x-"):
                node[key] = value
            elif key not in STEP_KEYS:
                self.faults[f"steps.{place}.{key}"] = unknown_field(key, STEP_KEYS)
        config = step.get("config")
        if isinstance(config, dict) or config is None:
            node["config"] = {
                **(config or {}),
                **self._draw_conditions(place, step, config or {}),
            }
        return node

    def _draw_conditions(
        self, place: int, step: dict[str, Any], config: dict[str, Any]
    ) -> dict[str, Any]:
        drawn: dict[str, Any] = {
            key: step[key] for key in ("conditions", "combine") if key in step
        }
        for key in drawn.keys() & config.keys():
            self.faults[f"steps.{place}.{key}"] = (
                "Give it here or in the config, not both."
            )
        return drawn

    def _draw_edges(self, place: int, step: Any, count: int) -> None:
        if not isinstance(step, dict):
            step = {}
        onward, otherwise = _ways(step.get("type"))
        if onward is None:
            pass
        elif "then" in step:
            self._link(place, "then", step["then"], onward)
        elif place + 1 < count:
            self._edge(place, place + 1, onward)
        if step.get("else") is None:
            return
        if otherwise is None:
            self.faults[f"steps.{place}.else"] = (
                f"Only these types of step take an else: {', '.join(DECIDING)}."
            )
        else:
            self._link(place, "else", step["else"], otherwise)

    def _link(self, place: int, key: str, name: Any, handle: str) -> None:
        path = f"steps.{place}.{key}"
        if name is None:
            return
        if not isinstance(name, str):
            self.faults[path] = "Must be the name or the id of a step."
        elif name not in self._places:
            self.faults[path] = (
                f"There is no step '{name[:100]}'.{self._suggestion(name)}"
            )
        elif (target := self._places[name]) is None:
            self.faults[path] = f"Several steps are called '{name[:100]}'; use the id."
        else:
            self._edge(place, target, handle, path)

    def _suggestion(self, name: str) -> str:
        """Among thousands of names a guess takes milliseconds: only the first faults get one."""
        return suggestion(name, self._places) if len(self.faults) < 20 else ""

    def _edge(self, source: int, target: int, handle: str, path: str = "") -> None:
        if path and target <= source:
            self.faults[path] = "Must be a later step: a pipeline does not go back."
            return
        self._edges.append(_edge(f"step_{source + 1}", f"step_{target + 1}", handle))

    def _check_reached(self, count: int) -> None:
        reached = {edge["target"] for edge in self._edges}
        for place in range(1, count):
            if f"step_{place + 1}" not in reached:
                self.faults.setdefault(
                    f"steps.{place}", "It is never reached: no step leads to it."
                )

    def _draw_output(self, output: Any) -> None:
        """What ends with a result is stored: every step that no other follows on its main way."""
        if output is None or output == "":
            return
        if not isinstance(output, str) or not output.startswith(TARGET_SCHEMES):
            self.faults["output"] = (
                f"Must be an address that begins with {', '.join(TARGET_SCHEMES)}."
            )
            return
        self._nodes.append(
            {"id": "output", "type": "store", "config": {"target": output}}
        )
        going_on = {
            edge["source"]
            for edge in self._edges
            if edge.get("source_handle") not in _SIDEWAYS
        }
        for node in self._nodes[:-1]:
            onward, _ = _ways(node.get("type"))
            if onward is not None and node["id"] not in going_on:
                self._edges.append(_edge(node["id"], "output", onward))


_SIDEWAYS: Final = frozenset(otherwise for _, otherwise in DECIDING.values())


def _ways(kind: Any) -> tuple[str | None, str | None]:
    """The handle that such a step goes on by, and that of its else."""
    if not isinstance(kind, str):
        return "main", None
    if kind in ENDING:
        return None, None
    return DECIDING.get(kind, ("done" if kind in LOOPING else "main", None))


def _edge(source: str, target: str, handle: str) -> dict[str, Any]:
    edge = {"source": source, "target": target}
    return edge if handle == "main" else {**edge, "source_handle": handle}


def in_steps_words(
    faults: Mapping[str, str], definition: Mapping[str, Any], steps: Any
) -> dict[str, str]:
    """A graph's faults by the paths of the steps that it was drawn from."""
    given = steps if isinstance(steps, list) else []
    spoken: dict[str, str] = {}
    for path, sentence in faults.items():
        where = _step_path(path, definition, given)
        if where is not None:
            spoken.setdefault(where, sentence)
    return spoken


def _step_path(
    path: str, definition: Mapping[str, Any], steps: list[Any]
) -> str | None:
    """None for what follows from a fault that is named already: a step that is no object has no type either."""
    root, _, rest = path.partition(".")
    place, _, within = rest.partition(".")
    if not place.isdigit() or root not in {"nodes", "edges"}:
        return path
    index = int(place)
    if root == "edges":
        source = definition["edges"][index]["source"]
        return f"steps.{int(source.removeprefix('step_')) - 1}"
    if index >= len(steps):
        return "output"
    step = steps[index]
    if not isinstance(step, dict):
        return None
    inner = within.removeprefix("config.")
    key = inner.partition(".")[0]
    if key in {"conditions", "combine"} and key in step:
        within = inner
    return f"steps.{index}.{within}" if within else f"steps.{index}"
