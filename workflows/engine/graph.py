"""From a workflow's definition to a graph that can be run, or to all its faults at once, each by its path.

Plain Python: it knows neither the database nor the node types, which it is handed as a catalogue. A compiled graph never changes, so that one serves
every execution of its version, in every thread.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from workflows.engine.conditions import check_conditions
from workflows.engine.configs import (
    Checker,
    check_config,
    suggestion,
    unknown_field,
)
from workflows.engine.expressions import ExpressionError, Value, compile_value
from workflows.engine.retry import RetryPolicy
from workflows.engine.schema import (
    EDGE_SCHEMA,
    ENGINE_PROPERTIES,
    ID_PATTERN,
    MAX_EDGES,
    MAX_NODES,
    NODE_SCHEMA,
    WORKFLOW_SCHEMA,
)
from workflows.engine.steps import draw_steps, in_steps_words

if TYPE_CHECKING:
    from workflows.nodes.base import Node

__all__ = [
    "WORKFLOW_SCHEMA",
    "Edge",
    "Graph",
    "GraphError",
    "GraphNode",
    "SecretUse",
    "compile_graph",
    "compile_steps",
    "steps_to_graph",
]

OnError = Literal["fail", "continue", "branch"]
Join = Literal["all_decided", "any", "all"]

ROOT_NAMES: Final = frozenset(
    [
        "input",
        "trigger",
        "variables",
        "nodes",
        "item",
        "index",
        "error",
        "execution",
        "workflow",
        "now",
        "secrets",
    ]
)
# The engine's own tiers say how a workflow is run, whatever the node.
FAST: Final = "craftai-1-fast"
TIERS: Final = frozenset({"craftai-1", FAST, "craftai-1-pro"})
MAX_SUGGESTIONS = 20
ITEM, DONE = "item", "done"
ANSWERING: Final = frozenset({"output", "respond"})
NOT_WHILE_REPEATING: Final = ("retry", "cache")
MISPLACED_SECRET: Final = "A secret can only stand in a field that is kept secret."  # noqa: S105  # a sentence

_ID = re.compile(ID_PATTERN.rstrip("$"))
_NODE_KEYS: Final = list(NODE_SCHEMA["properties"])
_EDGE_KEYS: Final = list(EDGE_SCHEMA["properties"])
_PLAIN_NODE_KEYS: Final = frozenset({"id", "type", "name", "config", "position"})
_ENGINE_CHECKER: Final = Checker({"properties": ENGINE_PROPERTIES})


class GraphError(Exception):
    """What is wrong with a graph: a sentence for each path."""

    def __init__(self, faults: dict[str, str]) -> None:
        super().__init__("; ".join(f"{path}: {text}" for path, text in faults.items()))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Edge:
    index: int
    source: str
    target: str
    handle: str = "main"


@dataclass(frozen=True, slots=True)
class SecretUse:
    """Where a credential is named, by its name or id."""

    path: str
    name: str
    field: str | None = None
    """The one of its fields that is meant."""
    types: tuple[str, ...] = ()
    """The types that can be used there; none says all."""


@dataclass(frozen=True, slots=True)
class GraphNode:
    id: str
    type: str
    name: str
    index: int
    """Its place in the definition."""
    node: Node
    config: Mapping[str, Any]
    model: str | None
    incoming: tuple[Edge, ...]
    outgoing: tuple[Edge, ...]
    leading_on: tuple[Edge, ...]
    """The outgoing edges but those into its own body."""
    body: tuple[str, ...]
    """The nodes that it runs once for each turn."""
    onward: str
    """The handle that it goes on by where it does nothing itself."""
    join: Join
    on_error: OnError
    retry: RetryPolicy | None
    timeout_seconds: float | None
    run_if: Value | None
    """The node runs where its value is truthy."""
    cache: Mapping[str, Any] | None
    disabled: bool
    suspends: bool
    """It is pure, and works outside the loop."""
    is_inline: bool
    """It is pure, and works on the loop."""
    secrets: frozenset[str]
    """The credentials that it names."""
    _resolvable: Value = field(repr=False)
    _raw: Mapping[str, Any] = field(repr=False)

    def resolve(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        """The config with its expressions evaluated, but for the fields that the node evaluates itself."""
        resolved: dict[str, Any] = self._resolvable.resolve(scope)
        if self._raw:
            resolved.update(self._raw)
        return resolved


@dataclass(frozen=True, slots=True)
class Graph:
    nodes: Mapping[str, GraphNode]
    """In an order in which each node stands behind all that lead to it."""
    edges: tuple[Edge, ...]
    roots: tuple[GraphNode, ...]
    answering: tuple[str, ...]
    """The nodes that declare the output."""
    has_effects: bool
    may_open: bool
    """Something in it asks people, or starts other executions."""
    is_instant: bool
    """Nothing in it waits or reaches outside: it can be run to its end at once."""
    keeps_steps: bool
    """Not where it is run on `craftai-1-fast` and can be run again: then of one that completes the result is kept, and how many steps it took."""
    secrets: tuple[SecretUse, ...] = ()
    """Where it names credentials."""


def compile_graph(
    definition: Mapping[str, Any], catalogue: Mapping[str, Node]
) -> Graph:
    """Raises a GraphError with every fault of the definition."""
    compiler = _Compiler(catalogue)
    graph = compiler.compile(definition)
    if graph is None:
        raise GraphError(compiler.faults)
    return graph


def steps_to_graph(steps: Any, output: Any = None) -> dict[str, Any]:
    """The nodes and edges of a pipeline. Raises a GraphError whose paths speak of steps."""
    definition, faults = draw_steps(steps, output)
    if faults:
        raise GraphError(faults)
    return definition


def compile_steps(
    steps: Any,
    output: Any,
    variables: Mapping[str, Any],
    catalogue: Mapping[str, Node],
) -> tuple[dict[str, Any], Graph]:
    """A pipeline's definition and its graph. Raises a GraphError with every fault, whose paths speak of steps."""
    drawn, faults = draw_steps(steps, output)
    definition = {**drawn, "variables": variables}
    compiler = _Compiler(catalogue)
    graph = compiler.compile(definition)
    faults = {**in_steps_words(compiler.faults, definition, steps), **faults}
    if faults or graph is None:
        raise GraphError(faults)
    return definition, graph


@dataclass(slots=True)
class _Draft:
    """A node on its way to become a GraphNode."""

    index: int
    path: str
    given: Mapping[str, Any]
    id: str
    node: Node | None
    config: dict[str, Any]
    model: str | None
    handles: frozenset[str] | None
    """None where they can't be known, because the config is at fault."""
    raw: dict[str, Any]
    references: list[tuple[str, Any, frozenset[tuple[str, ...]]]]
    """What refers to something: where it stands, itself, and what it refers to."""
    secrets: list[SecretUse] = field(default_factory=list)
    resolvable: Value | None = None
    run_if: Value | None = None
    incoming: list[Edge] = field(default_factory=list)
    outgoing: list[Edge] = field(default_factory=list)


class _Compiler:
    """One compilation. Each method finds what faults it can and goes on."""

    def __init__(self, catalogue: Mapping[str, Node]) -> None:
        self.faults: dict[str, str] = {}
        self._catalogue = catalogue
        self._drafts: dict[str, _Draft] = {}
        self._edges: list[Edge] = []
        self._inside: dict[str, tuple[str, ...]] = {}
        """By node: what it stands inside of, from the outermost."""

    def compile(self, definition: Mapping[str, Any]) -> Graph | None:
        nodes, _ = self._listed(definition, "nodes", MAX_NODES)
        edges, edges_path = self._listed_edges(definition)
        if definition.get("variables") is not None and not isinstance(
            definition["variables"], Mapping
        ):
            self._fault("variables", "Must be an object.")
        broken_ids = self._read_nodes(nodes)
        self._read_edges(edges, edges_path, broken_ids)
        order = self._order(edges_path)
        self._check_reach(order)
        self._find_bodies(order, edges_path)
        self._check_references(order)
        return None if self.faults else self._build(order)

    def _fault(self, path: str, sentence: str) -> None:
        self.faults.setdefault(path, sentence)

    def _suggestion(self, name: str, known: Iterable[str]) -> str:
        """A guess takes milliseconds where there are thousands of names: only the first faults get one."""
        return suggestion(name, known) if len(self.faults) < MAX_SUGGESTIONS else ""

    def _listed(
        self, definition: Mapping[str, Any], name: str, most: int
    ) -> tuple[list[Any], str]:
        given = definition.get(name)
        if given is None:
            return [], name
        if not isinstance(given, list):
            self._fault(name, "Must be a list.")
            return [], name
        if len(given) > most:
            self._fault(name, f"There may be {most:,}, not {len(given):,}.")
            return [], name
        return given, name

    def _listed_edges(self, definition: Mapping[str, Any]) -> tuple[list[Any], str]:
        if not definition.get("connections"):
            return self._listed(definition, "edges", MAX_EDGES)
        if definition.get("edges"):
            self._fault("connections", "Give edges or connections, not both.")
        return self._listed(definition, "connections", MAX_EDGES)

    # Nodes

    def _read_nodes(self, nodes: list[Any]) -> set[str]:
        """Fills the drafts. What it gives are ids that are there, but on nodes at fault: no edge to them is blamed."""
        broken: set[str] = set()
        for index, given in enumerate(nodes):
            path = f"nodes.{index}"
            if not isinstance(given, dict):
                self._fault(path, "Must be an object.")
                broken.add("")
                continue
            draft = self._read_node(index, path, given)
            if draft is not None:
                self._drafts[draft.id] = draft
            elif isinstance(given.get("id"), str):
                broken.add(given["id"])
            else:
                broken.add("")
        return broken - self._drafts.keys()

    def _read_node(self, index: int, path: str, given: dict[str, Any]) -> _Draft | None:
        identity = self._read_id(path, given)
        node = self._read_type(path, given)
        config = given.get("config")
        if config is not None and not isinstance(config, dict):
            self._fault(f"{path}.config", "Must be an object.")
            config, node = None, None
        name = given.get("name")
        if name is not None and (not isinstance(name, str) or len(name) > 255):
            self._fault(f"{path}.name", "Must be a string of at most 255 characters.")
        self._check_engine_keys(path, given)
        if identity is None:
            return None
        draft = _Draft(
            index, path, given, identity, node, config or {}, None, None, {}, []
        )
        self._read_run_if(draft)
        if node is not None:
            self._read_model(draft, node)
            self._read_config(draft, node)
        return draft

    def _read_id(self, path: str, given: dict[str, Any]) -> str | None:
        identity = given.get("id")
        if identity is None:
            self._fault(f"{path}.id", "This field is required.")
        elif not isinstance(identity, str) or not _ID.fullmatch(identity):
            self._fault(
                f"{path}.id",
                "Must begin with a letter or _ and go on with letters, digits, _ and -, at most 64 in all.",
            )
        elif (twin := self._drafts.get(identity)) is not None:
            self._fault(f"{path}.id", f"'{identity}' is already the id of {twin.path}.")
        else:
            return identity
        return None

    def _read_type(self, path: str, given: dict[str, Any]) -> Node | None:
        kind = given.get("type")
        if kind is None:
            self._fault(f"{path}.type", "This field is required.")
            return None
        node = self._catalogue.get(kind) if isinstance(kind, str) else None
        if node is None:
            shown = str(kind)[:100]
            self._fault(
                f"{path}.type",
                f"There is no node type '{shown}'.{self._suggestion(shown, self._catalogue)}",
            )
        return node

    def _check_engine_keys(self, path: str, given: dict[str, Any]) -> None:
        more = given.keys() - _PLAIN_NODE_KEYS
        if not more:
            return
        for key in more - ENGINE_PROPERTIES.keys():
            if not str(key).startswith("x-"):
                self._fault(f"{path}.{key}", unknown_field(key, _NODE_KEYS))
        known = {key: given[key] for key in given if key in more}
        for where, sentence in _ENGINE_CHECKER.faults(known).items():
            self._fault(f"{path}.{where}", sentence)

    def _read_run_if(self, draft: _Draft) -> None:
        run_if = draft.given.get("run_if")
        path = f"{draft.path}.run_if"
        if isinstance(run_if, str) and "{{" not in run_if:
            self._fault(path, "Must be an expression in {{ … }}, true or false.")
        elif isinstance(run_if, str | bool):
            draft.run_if = self._compiled(draft, run_if, path)
            self._refuse_secrets(draft.run_if, path)
        cache = draft.given.get("cache")
        if isinstance(cache, dict) and "key" in cache:
            path = f"{draft.path}.cache.key"
            self._refuse_secrets(self._compiled(draft, cache["key"], path), path)

    def _refuse_secrets(self, value: Value | None, path: str) -> None:
        if value is not None and any(each[0] == "secrets" for each in value.references):
            self._fault(path, MISPLACED_SECRET)

    def _read_model(self, draft: _Draft, node: Node) -> None:
        model = draft.given.get("model")
        if not isinstance(model, str):
            return
        draft.model = model
        if "model" in node.config_schema.get("properties", {}):
            draft.config = {"model": model, **draft.config}
        elif model not in TIERS:
            self._fault(
                f"{draft.path}.model",
                f"'{node.type}' takes no model. (The engine's own {', '.join(sorted(TIERS))} may stand on any node.)",
            )

    def _read_config(self, draft: _Draft, node: Node) -> None:
        path = f"{draft.path}.config"
        resolved = {}
        for key, value in draft.config.items():
            if key in node.raw_fields:
                draft.raw[key] = value
                self._check_raw(draft, node, key, value)
            else:
                resolved[key] = value
        draft.resolvable = self._compiled_config(draft, node, resolved)
        self._read_credential(draft, node)
        faults = self._config_faults(draft, node)
        for where, sentence in faults.items():
            self._fault(f"{path}.{where}" if where else path, sentence)

    def _config_faults(self, draft: _Draft, node: Node) -> dict[str, str]:
        try:
            faults = check_config(node, draft.config)
            if not faults:
                draft.handles = frozenset(node.handles_for(draft.config))
        except (TypeError, LookupError, AttributeError):
            # The schema lets an expression stand anywhere; a node type may have to look into what it stands for.
            if not any("{{" in text for _, text in _strings_in(draft.config, "")):
                raise
            return {
                "": f"An expression stands for something that '{node.type}' has to know beforehand."
            }
        return faults

    def _compiled_config(
        self, draft: _Draft, node: Node, config: dict[str, Any]
    ) -> Value | None:
        value = self._compiled(draft, config, f"{draft.path}.config")
        if value is not None and any(path[0] == "secrets" for path in value.references):
            self._check_secrets(draft, node, config)
        return value

    def _check_secrets(self, draft: _Draft, node: Node, config: dict[str, Any]) -> None:
        properties = node.config_schema.get("properties", {})
        for key, value in config.items():
            path = f"{draft.path}.config.{key}"
            for where, text in _strings_in(value, path):
                for reference in sorted(compile_value(text).references):
                    if reference[0] != "secrets":
                        continue
                    if not properties.get(key, {}).get("x-secret"):
                        self._fault(path, MISPLACED_SECRET)
                    elif len(reference) < 2:
                        self._fault(
                            where,
                            "Say which secret, as secrets.name: it has to be known beforehand.",
                        )
                    else:
                        within = reference[2] if len(reference) > 2 else None
                        draft.secrets.append(SecretUse(where, reference[1], within))

    def _read_credential(self, draft: _Draft, node: Node) -> None:
        """By the field that a node type marks with the types that it can use."""
        properties = node.config_schema.get("properties", {})
        for key, name in draft.config.items():
            schema = properties.get(key, {})
            if "x-credential" not in schema or not isinstance(name, str):
                continue
            path = f"{draft.path}.config.{key}"
            if "{{" in name:
                self._fault(
                    path, "Name the credential itself: it has to be known beforehand."
                )
            elif name:
                types = tuple(schema["x-credential"])
                draft.secrets.append(SecretUse(path, name, types=types))

    def _check_raw(self, draft: _Draft, node: Node, key: str, value: Any) -> None:
        if node.config_schema.get("properties", {}).get(key, {}).get("x-literal"):
            return
        path = f"{draft.path}.config.{key}"
        if self._compiled(draft, value, path) is not None:
            self._check_secrets(draft, node, {key: value})
        for where, conditions in _conditions_in(key, value):
            for fault, sentence in check_conditions(
                conditions, f"{draft.path}.config.{where}"
            ).items():
                self._fault(fault, sentence)

    def _compiled(self, draft: _Draft, value: Any, path: str) -> Value | None:
        """The compiled value, or None and all its faults. What refers to something is kept, to be judged once the graph is known."""
        try:
            compiled = compile_value(value)
        except ExpressionError as error:
            self._fault(_joined(path, error), error.reason)
            self._read_texts(draft, value, path)
            return None
        if compiled.references:
            draft.references.append((path, value, compiled.references))
        return compiled

    def _read_texts(self, draft: _Draft, value: Any, path: str) -> None:
        """One by one, so that a fault in one does not hide those in the others."""
        for where, text in _strings_in(value, path):
            try:
                references = compile_value(text).references
            except ExpressionError as error:
                self._fault(where, error.reason)
            else:
                draft.references.append((where, text, references))

    # Edges

    def _read_edges(self, edges: list[Any], name: str, broken: set[str]) -> None:
        seen: dict[tuple[str, str, str], str] = {}
        for index, given in enumerate(edges):
            path = f"{name}.{index}"
            if not isinstance(given, dict):
                self._fault(path, "Must be an object.")
                continue
            edge = self._read_edge(index, path, given, broken)
            if edge is None:
                continue
            twin = seen.setdefault((edge.source, edge.target, edge.handle), path)
            if twin != path:
                self._fault(path, f"It is the same as {twin}.")
            elif edge.source in self._drafts and edge.target in self._drafts:
                self._edges.append(edge)
                self._drafts[edge.source].outgoing.append(edge)
                self._drafts[edge.target].incoming.append(edge)

    def _read_edge(
        self, index: int, path: str, given: dict[str, Any], broken: set[str]
    ) -> Edge | None:
        for key in given:
            if key not in EDGE_SCHEMA["properties"] and not str(key).startswith("x-"):
                self._fault(f"{path}.{key}", unknown_field(key, _EDGE_KEYS))
        source = self._read_end(path, given, "source", "from", broken)
        target = self._read_end(path, given, "target", "to", broken)
        if source is None or target is None:
            return None
        if source == target:
            self._fault(path, f"'{source}' leads to itself.")
            return None
        handle_key = "sourceHandle" if given.get("sourceHandle") else "source_handle"
        handle = given.get(handle_key)
        if handle is not None and not isinstance(handle, str):
            self._fault(f"{path}.{handle_key}", "Must be a string.")
            return None
        edge = Edge(index, source, target, handle or "main")
        self._check_handle(edge, f"{path}.{handle_key}")
        return edge

    def _read_end(
        self, path: str, given: dict[str, Any], name: str, alias: str, broken: set[str]
    ) -> str | None:
        key = alias if alias in given else name
        if name in given and alias in given:
            self._fault(f"{path}.{alias}", f"Give {name} or {alias}, not both.")
        identity = given.get(key)
        if identity is None:
            self._fault(f"{path}.{name}", "This field is required.")
        elif not isinstance(identity, str):
            self._fault(f"{path}.{key}", "Must be the id of a node.")
        elif identity not in self._drafts and identity not in broken:
            shown = identity[:100]
            self._fault(
                f"{path}.{key}",
                f"There is no node '{shown}'.{self._suggestion(shown, self._drafts)}",
            )
        else:
            return identity
        return None

    def _check_handle(self, edge: Edge, path: str) -> None:
        source = self._drafts.get(edge.source)
        if source is None or source.handles is None or edge.handle in source.handles:
            return
        if edge.handle != "error":
            shown = ", ".join(sorted(source.handles))
            self._fault(
                path,
                f"'{edge.source}' has no handle '{edge.handle[:100]}'. Its handles are: {shown or 'none'}.",
            )
        elif source.given.get("on_error") != "branch":
            self._fault(
                path,
                f"'{edge.source}' has the handle 'error' only with on_error: branch.",
            )

    # The whole

    def _order(self, edges_path: str) -> list[_Draft]:
        """Each node behind all that lead to it, else as in the definition. Edges that close a circle are faults, and left out."""
        open_edges = {draft.id: len(draft.incoming) for draft in self._drafts.values()}
        ready = [
            (draft.index, draft.id)
            for draft in self._drafts.values()
            if not draft.incoming
        ]
        heapify(ready)
        order: list[_Draft] = []
        while ready:
            draft = self._drafts[heappop(ready)[1]]
            order.append(draft)
            for edge in draft.outgoing:
                open_edges[edge.target] -= 1
                if not open_edges[edge.target]:
                    heappush(ready, (self._drafts[edge.target].index, edge.target))
        if len(order) < len(self._drafts):
            order += self._order_circles({draft.id for draft in order}, edges_path)
        return order

    def _order_circles(self, ordered: set[str], edges_path: str) -> list[_Draft]:
        left: list[_Draft] = []
        done = set(ordered)
        for start in self._drafts:
            if start not in done:
                self._walk(start, done, left, edges_path)
        return left[::-1]

    def _walk(
        self, start: str, done: set[str], left: list[_Draft], edges_path: str
    ) -> None:
        """From node to node and back again; an edge to a node of the trail itself closes a circle."""
        trail = {start: iter(self._drafts[start].outgoing)}
        while trail:
            current, edges = next(reversed(trail.items()))
            edge = next(edges, None)
            if edge is None:
                del trail[current]
                done.add(current)
                left.append(self._drafts[current])
            elif edge.target in trail:
                names = list(trail)
                circle = [*names[names.index(edge.target) :], edge.target]
                self._fault(
                    f"{edges_path}.{edge.index}",
                    f"It closes a circle: {_arrows(circle)}.",
                )
            elif edge.target not in done:
                trail[edge.target] = iter(self._drafts[edge.target].outgoing)

    def _check_reach(self, order: list[_Draft]) -> None:
        """An execution begins at the input nodes, or, in a graph without one, wherever no edge leads to."""
        entries = {
            draft.id for draft in order if draft.node and draft.node.family == "input"
        }
        if not entries:
            self._check_lone_nodes(order)
            return
        reached: set[str] = set()
        for draft in order:
            if draft.id in entries or any(
                edge.source in reached for edge in draft.incoming
            ):
                reached.add(draft.id)
            else:
                self._fault(
                    draft.path,
                    f"'{draft.id}' is never reached: no path leads to it from an input node.",
                )

    def _check_lone_nodes(self, order: list[_Draft]) -> None:
        if not self._edges:
            return
        for draft in order:
            if not draft.incoming and not draft.outgoing:
                self._fault(
                    draft.path,
                    f"'{draft.id}' is never reached: no edge leads to it.",
                )

    def _find_bodies(self, order: list[_Draft], edges_path: str) -> None:
        """What stands behind a handle `item` is inside of that node; an edge must not lead in or out by another way."""
        repeating = {d.id for d in order if d.node is not None and d.node.repeats}
        if not repeating:
            return
        for draft in order:
            if draft.id in repeating:
                self._check_repeating(draft)
            ways = {
                (*self._inside.get(edge.source, ()), edge.source)
                if edge.source in repeating and edge.handle == ITEM
                else self._inside.get(edge.source, ()): edge
                for edge in draft.incoming
            }
            if len(ways) > 1:
                self._blame_way(draft, ways, edges_path)
            self._inside[draft.id] = max(ways, key=len, default=())

    def _check_repeating(self, draft: _Draft) -> None:
        for key in NOT_WHILE_REPEATING:
            if draft.given.get(key):
                self._fault(
                    f"{draft.path}.{key}",
                    f"'{draft.id}' repeats other nodes: give this to the nodes that it repeats.",
                )

    def _blame_way(
        self, draft: _Draft, ways: dict[tuple[str, ...], Edge], edges_path: str
    ) -> None:
        deepest = max(ways, key=len)
        for inside, edge in ways.items():
            if inside != deepest:
                self._fault(
                    f"{edges_path}.{edge.index}",
                    f"'{draft.id}' is inside '{deepest[-1]}', which runs it once for each item, and '{edge.source}' is not. What follows all items leaves '{deepest[-1]}' by the handle done.",
                )

    def _check_references(self, order: list[_Draft]) -> None:
        before = _ancestors(order)
        for draft in order:
            for path, value, references in draft.references:
                if any(self._judge(draft, each, before) for each in references):
                    self._blame(draft, value, path, before)

    def _blame(
        self, draft: _Draft, value: Any, path: str, before: Callable[[str, str], bool]
    ) -> None:
        for where, text in _strings_in(value, path):
            for reference in sorted(compile_value(text).references):
                fault = self._judge(draft, reference, before)
                if fault is not None:
                    self._fault(where, fault)

    def _judge(
        self,
        draft: _Draft,
        reference: tuple[str, ...],
        before: Callable[[str, str], bool],
    ) -> str | None:
        root = reference[0]
        if root not in ROOT_NAMES:
            return f"'{root}' is unknown.{self._suggestion(root, ROOT_NAMES)} There are: {', '.join(sorted(ROOT_NAMES))}."
        if root != "nodes" or len(reference) < 2:
            return None
        target = reference[1]
        if target == draft.id:
            return f"'{target}' can't read its own output."
        if target not in self._drafts:
            return f"There is no node '{target}'.{self._hint(target)}"
        if not self._is_around(target, draft.id):
            return f"'{target}' runs once for each item of '{self._inside[target][-1]}': read what came out of all of them, nodes.{self._inside[target][-1]}."
        if not before(target, draft.id):
            return (
                f"'{target}' can't have run yet: no path leads from it to '{draft.id}'."
            )
        return None

    def _is_around(self, target: str, reader: str) -> bool:
        """Whether the target stands in the same body, or in one around it."""
        inside = self._inside.get(target, ())
        return self._inside.get(reader, ())[: len(inside)] == inside

    def _hint(self, target: str) -> str:
        """`nodes.fetch-data` is a subtraction."""
        if len(self.faults) >= MAX_SUGGESTIONS:
            return ""
        for identity in self._drafts:
            if identity.startswith(f"{target}-"):
                return f" Write nodes['{identity}']."
        return self._suggestion(target, self._drafts)

    def _is_fast(self, order: list[_Draft]) -> bool:
        """Whether every node that names one of the engine's tiers names the fast one."""
        return {draft.model for draft in order if draft.model in TIERS} == {FAST}

    def _build(self, order: list[_Draft]) -> Graph:
        bodies: dict[str, list[str]] = {}
        for identity, around in self._inside.items():
            for outer in around:
                bodies.setdefault(outer, []).append(identity)
        nodes = {
            draft.id: _finished(draft, tuple(bodies.get(draft.id, ())))
            for draft in order
        }
        effects = any(node.node.effect != "pure" for node in nodes.values())
        waits = any(
            node.suspends or node.node.may_wait or node.body for node in nodes.values()
        )
        return Graph(
            nodes=MappingProxyType(nodes),
            edges=tuple(self._edges),
            roots=tuple(node for node in nodes.values() if not node.incoming),
            answering=tuple(
                node.id for node in nodes.values() if node.type in ANSWERING
            ),
            has_effects=effects,
            may_open=any(node.node.opens for node in nodes.values()),
            is_instant=not effects and not waits,
            keeps_steps=effects or waits or not self._is_fast(order),
            secrets=tuple(use for draft in order for use in draft.secrets),
        )


def _finished(draft: _Draft, body: tuple[str, ...]) -> GraphNode:
    given = draft.given
    node, resolvable = draft.node, draft.resolvable
    if node is None or resolvable is None:
        raise AssertionError(f"{draft.path} is at fault, and no fault was named")
    retry = given.get("retry", node.default_retry(draft.config))
    is_pure = node.effect == "pure"
    # A cached one may have to wait for an equal call that is under way.
    suspends = is_pure and (
        given.get("cache") is not None or node.suspends(draft.config)
    )
    return GraphNode(
        id=draft.id,
        type=node.type,
        name=given.get("name") or draft.id,
        index=draft.index,
        node=node,
        config=MappingProxyType(draft.config),
        model=draft.model,
        incoming=tuple(draft.incoming),
        outgoing=tuple(draft.outgoing),
        leading_on=tuple(
            edge for edge in draft.outgoing if not body or edge.handle != ITEM
        ),
        body=body,
        onward=DONE if node.repeats else "main",
        join=given.get("join", "all_decided"),
        on_error=given.get("on_error", "fail"),
        retry=None if retry is None else RetryPolicy.from_config(retry),
        timeout_seconds=given.get("timeout_seconds"),
        run_if=draft.run_if,
        cache=given.get("cache"),
        disabled=given.get("disabled", False),
        suspends=suspends,
        is_inline=is_pure and not suspends,
        secrets=frozenset(use.name for use in draft.secrets),
        _resolvable=resolvable,
        _raw=draft.raw,
    )


def _ancestors(order: list[_Draft]) -> Callable[[str, str], bool]:
    """Says whether a path leads from one node to another. The sets are the bits of integers: 2,000 of 2,000 are half a megabyte."""
    bits = {draft.id: 1 << place for place, draft in enumerate(order)}
    before: dict[str, int] = {}
    for draft in order:
        seen = 0
        for edge in draft.incoming:
            seen |= before.get(edge.source, 0) | bits[edge.source]
        before[draft.id] = seen
    return lambda source, target: bool(before[target] & bits[source])


def _arrows(circle: list[str]) -> str:
    if len(circle) > 12:
        circle = [*circle[:6], "…", *circle[-6:]]
    return " → ".join(circle)


def _joined(path: str, error: ExpressionError) -> str:
    return ".".join([path, *map(str, error.path)])


def _strings_in(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _strings_in(item, f"{path}.{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _strings_in(item, f"{path}.{place}")


def _conditions_in(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each list of conditions within a raw field, by its path within the config."""
    if key.rpartition(".")[2] == "conditions":
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _conditions_in(f"{key}.{name}", item)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _conditions_in(f"{key}.{place}", item)
