"""Graphs: what is compiled, and every fault by its path."""

import contextlib
import copy
import threading
import time
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from typing import Any, ClassVar

import pytest
from jsonschema import Draft202012Validator

from workflows.engine.graph import (
    WORKFLOW_SCHEMA,
    Edge,
    Graph,
    GraphError,
    compile_graph,
    compile_steps,
    steps_to_graph,
)
from workflows.engine.retry import RetryPolicy
from workflows.nodes import NODES
from workflows.nodes.base import Node

CONDITIONS = {"type": "array", "items": {"type": "object"}}


class Set(Node):
    type = "set"
    family = "processing"
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "values": {"type": "object"},
            "count": {"type": "integer", "minimum": 1},
            "format": {"enum": ["json", "csv"]},
            "when": {"type": "string", "format": "date"},
            "target": {
                "oneOf": [
                    {"type": "string", "pattern": "^s3://"},
                    {"type": "object", "required": ["url"]},
                ]
            },
        },
        "additionalProperties": False,
    }


class Start(Node):
    type = "input"
    family = "input"
    config_schema: ClassVar[dict[str, Any]] = {"type": "object"}


class Fetch(Node):
    type = "fetch"
    family = "integrations"
    effect = "effect"
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "url": {"type": "string", "minLength": 1},
            "headers": {"type": "object", "x-secret": True},
        },
        "required": ["url"],
        "additionalProperties": False,
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        if config["url"].startswith("http://10."):
            return {"url": "This address is private."}
        return {}


class Decide(Node):
    type = "condition"
    family = "conditional"
    handles = ("true", "false")
    raw_fields = frozenset({"conditions"})
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "conditions": CONDITIONS,
            "combine": {"enum": ["all", "any"]},
        },
        "required": ["conditions"],
        "additionalProperties": False,
    }


class Route(Decide):
    type = "route"
    handles = ("main", "else")
    raw_fields = frozenset({"conditions", "cases"})
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {
            "conditions": CONDITIONS,
            "combine": {"enum": ["all", "any"]},
            "cases": {"type": "array"},
        },
        "additionalProperties": False,
    }

    def handles_for(self, config: dict[str, Any]) -> tuple[str, ...]:
        if "cases" not in config:
            return self.handles
        return (*(f"case:{case['name']}" for case in config["cases"]), "default")


class Ask(Node):
    type = "ask"
    family = "ai"
    effect = "effect"
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"model": {"type": "string"}, "prompt": {"type": "string"}},
        "required": ["model"],
        "additionalProperties": False,
    }


class Code(Node):
    type = "code"
    family = "processing"
    raw_fields = frozenset({"source"})
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"source": {"type": "string", "x-literal": True}},
        "additionalProperties": False,
    }


class Delay(Node):
    type = "delay"
    may_wait = True
    family = "flow"
    config_schema: ClassVar[dict[str, Any]] = {"type": "object"}


class Store(Node):
    type = "store"
    family = "output"
    effect = "effect"
    config_schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"target": {"type": "string"}},
        "required": ["target"],
        "additionalProperties": False,
    }


FAKES: dict[str, Node] = {
    kind.type: kind()
    for kind in (Set, Start, Fetch, Decide, Route, Ask, Code, Delay, Store)
}
REAL: dict[str, Node] = {name: kind() for name, kind in NODES.items()}


def node(id: str, type: str = "set", **given: Any) -> dict[str, Any]:
    return {"id": id, "type": type, **given}


def edge(source: str, target: str, handle: str | None = None) -> dict[str, Any]:
    drawn = {"source": source, "target": target}
    return drawn if handle is None else {**drawn, "source_handle": handle}


def graph(*nodes: dict[str, Any], edges: Any = ()) -> Graph:
    return compile_graph({"nodes": list(nodes), "edges": list(edges)}, FAKES)


def faults(*nodes: Any, edges: Any = (), **given: Any) -> dict[str, str]:
    with pytest.raises(GraphError) as caught:
        compile_graph({"nodes": list(nodes), "edges": list(edges), **given}, FAKES)
    return caught.value.faults


def chain(length: int, expression: str = "{{ input.value }}") -> dict[str, Any]:
    return {
        "nodes": [
            node(f"n{n}", config={"values": {"value": expression}})
            for n in range(length)
        ],
        "edges": [edge(f"n{n}", f"n{n + 1}") for n in range(length - 1)],
    }


# --- What is compiled ---


def test_an_empty_graph_is_no_fault() -> None:
    for definition in [{}, {"nodes": [], "edges": [], "variables": {}}]:
        compiled = compile_graph(definition, FAKES)
        assert len(compiled.nodes) == 0
        assert compiled.roots == ()
        assert compiled.is_instant


def test_a_node_carries_all_that_the_engine_needs() -> None:
    compiled = graph(
        node("start"),
        node(
            "work",
            "fetch",
            name="Fetch it",
            config={"url": "https://example.com/{{ input.id }}"},
            retry={"max_attempts": 5, "on": ["timeout"]},
            timeout_seconds=20,
            on_error="branch",
            run_if="{{ input.wanted }}",
            join="any",
            cache={"ttl_seconds": 60, "key": "{{ input.id }}"},
            disabled=False,
            notes="why",
            label="x",
            position={"x": 1, "y": 2},
            **{"x-colour": "red"},
        ),
        node("after"),
        node("failed"),
        edges=[
            edge("start", "work"),
            edge("work", "after"),
            edge("work", "failed", "error"),
        ],
    )
    work = compiled.nodes["work"]
    assert (work.id, work.type, work.name, work.index) == (
        "work",
        "fetch",
        "Fetch it",
        1,
    )
    assert work.node is FAKES["fetch"]
    assert work.retry == RetryPolicy(max_attempts=5, on=frozenset({"timeout"}))
    assert (work.timeout_seconds, work.on_error, work.join) == (20, "branch", "any")
    assert work.cache == {"ttl_seconds": 60, "key": "{{ input.id }}"}
    assert work.run_if is not None
    assert work.run_if.resolve({"input": {"wanted": 1}}) == 1
    assert work.resolve({"input": {"id": 7}}) == {"url": "https://example.com/7"}
    assert work.incoming == (Edge(0, "start", "work"),)
    assert work.outgoing == (
        Edge(1, "work", "after"),
        Edge(2, "work", "failed", "error"),
    )
    assert compiled.edges == (*work.incoming, *work.outgoing)
    assert compiled.roots == (compiled.nodes["start"],)
    start = compiled.nodes["start"]
    assert (start.name, start.join, start.on_error) == ("start", "all_decided", "fail")
    assert (start.retry, start.run_if, start.cache) == (None, None, None)
    assert start.disabled is False


def test_raw_fields_stay_as_they_are() -> None:
    conditions = [{"field": "a", "op": "eq", "value": "{{ item.b }}"}]
    compiled = graph(node("a", "condition", config={"conditions": conditions}))
    assert compiled.nodes["a"].resolve({}) == {"conditions": conditions}


def test_the_order_is_that_of_the_edges_and_else_of_the_definition() -> None:
    compiled = graph(
        node("d"), node("b"), node("c"), node("a"),
        edges=[edge("a", "b"), edge("a", "c"), edge("b", "d"), edge("c", "d")],
    )  # fmt: skip
    assert list(compiled.nodes) == ["a", "b", "c", "d"]
    assert [node.id for node in compiled.roots] == ["a"]


def test_effects_and_waits_say_whether_it_can_be_run_at_once() -> None:
    assert graph(node("a")).is_instant
    assert not graph(node("a", "delay")).is_instant
    assert not graph(node("a", "delay")).has_effects
    fetching = graph(node("a", "fetch", config={"url": "https://a"}))
    assert fetching.has_effects
    assert not fetching.is_instant


def test_edges_are_read_in_every_spelling() -> None:
    compiled = compile_graph(
        {
            "nodes": [node("a", "condition", config={"conditions": []}), node("b"), node("c"), node("d")],
            "connections": [
                {"from": "a", "to": "b", "sourceHandle": "true", "id": "e1", "label": "yes"},
                {"source": "a", "target": "c", "source_handle": "false", "x-style": 1},
                {"source": "b", "to": "d", "sourceHandle": None, "position": None},
            ],
        },
        FAKES,
    )  # fmt: skip
    assert compiled.edges == (
        Edge(0, "a", "b", "true"),
        Edge(1, "a", "c", "false"),
        Edge(2, "b", "d", "main"),
    )


def test_a_compiled_graph_can_not_be_changed() -> None:
    definition = {"nodes": [node("a", config={"values": {"x": 1}})]}
    compiled = compile_graph(definition, FAKES)
    with pytest.raises(FrozenInstanceError):
        compiled.nodes["a"].name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        compiled.nodes["b"] = compiled.nodes["a"]  # type: ignore[index]
    compiled.nodes["a"].resolve({})["values"]["x"] = 2
    definition["nodes"][0]["config"]["values"]["x"] = 3
    assert compiled.nodes["a"].resolve({}) == {"values": {"x": 1}}


def test_one_graph_serves_many_threads() -> None:
    compiled = compile_graph(chain(20, "{{ input.value + 1 }}"), FAKES)
    wrong: list[int] = []

    def work(value: int) -> None:
        for each in list(compiled.nodes.values()) * 20:
            found = each.resolve({"input": {"value": value}})
            if found != {"values": {"value": value + 1}}:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(value,)) for value in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_model_goes_into_the_config_of_a_node_that_takes_one() -> None:
    compiled = graph(
        node("a", "ask", model="gpt-4o", config={"prompt": "hi"}),
        node("b", model="craftai-1-fast"),
        node("c", "ask", model="craftai-1", config={"model": "gpt-4o-mini"}),
        edges=[edge("a", "b"), edge("b", "c")],
    )
    assert compiled.nodes["a"].resolve({}) == {"model": "gpt-4o", "prompt": "hi"}
    assert compiled.nodes["b"].resolve({}) == {}
    assert compiled.nodes["b"].model == "craftai-1-fast"
    assert compiled.nodes["c"].resolve({}) == {"model": "gpt-4o-mini"}
    assert faults(node("a", model="gpt-4o")) == {
        "nodes.0.model": "'set' takes no model. (The engine's own craftai-1, craftai-1-fast, craftai-1-pro may stand on any node.)"
    }


def test_an_expression_passes_wherever_a_value_is_expected() -> None:
    config = {
        "values": "{{ input.values }}",
        "count": "{{ input.count }}",
        "format": "{{ input.format }}",
        "when": "{{ now | date }}",
        "target": "{{ input.target }}",
    }
    compiled = graph(node("a", config=config))
    scope = {
        "input": {"values": {"a": 1}, "count": 2, "format": "csv", "target": "s3://b"},
        "now": "2026-03-01T10:00:00Z",
    }
    assert compiled.nodes["a"].resolve(scope) == {
        "values": {"a": 1},
        "count": 2,
        "format": "csv",
        "when": "2026-03-01",
        "target": "s3://b",
    }


# --- Faults ---


def test_a_fault_free_chain_has_no_fault() -> None:
    assert len(compile_graph(chain(5), FAKES).nodes) == 5


def test_nodes_need_an_id_and_a_type() -> None:
    assert faults({}, {"id": None, "type": 7}, "x", node("a", "fetsh")) == {
        "nodes.0.type": "This field is required.",
        "nodes.0.id": "This field is required.",
        "nodes.1.id": "This field is required.",
        "nodes.1.type": "There is no node type '7'.",
        "nodes.2": "Must be an object.",
        "nodes.3.type": "There is no node type 'fetsh'. Did you mean 'fetch'?",
    }


@pytest.mark.parametrize(
    "id", ["", "1a", "-a", "a b", "a.b", "ä", "a" * 65, "a\n", "{{ x }}", 7]
)
def test_a_bad_id_is_refused(id: Any) -> None:
    assert faults(node(id)) == {
        "nodes.0.id": "Must begin with a letter or _ and go on with letters, digits, _ and -, at most 64 in all."
    }


def test_a_duplicate_id_names_its_twin() -> None:
    assert faults(node("a"), node("b"), node("a"), edges=[edge("a", "b")]) == {
        "nodes.2.id": "'a' is already the id of nodes.0."
    }


def test_edges_to_nowhere_are_named() -> None:
    assert faults(
        node("fetch"),
        node("b"),
        edges=[
            edge("fetch", "b"),
            edge("fetsh", "b"),
            edge("fetch", "x"),
            {"source": "fetch"},
            {"source": "fetch", "target": 3},
            {"source": "fetch", "from": "b", "target": "b"},
            edge("b", "b"),
            edge("fetch", "b", "main"),
            edge("fetch", "b", "true"),
            {**edge("fetch", "b"), "colour": "red"},
            "a -> b",
        ],
    ) == {
        "edges.1.source": "There is no node 'fetsh'. Did you mean 'fetch'?",
        "edges.2.target": "There is no node 'x'.",
        "edges.3.target": "This field is required.",
        "edges.4.target": "Must be the id of a node.",
        "edges.5.from": "Give source or from, not both.",
        "edges.5": "'b' leads to itself.",
        "edges.6": "'b' leads to itself.",
        "edges.7": "It is the same as edges.0.",
        "edges.8.source_handle": "'fetch' has no handle 'true'. Its handles are: main.",
        "edges.9.colour": "Unknown field. Known are: id, source, from, target, to, source_handle, sourceHandle, position, notes, label.",
        "edges.9": "It is the same as edges.0.",
        "edges.10": "Must be an object.",
    }


def test_handles_follow_the_node_and_its_config() -> None:
    route = node("r", "route", config={"cases": [{"name": "big"}]})
    assert graph(route, node("a"), edges=[edge("r", "a", "case:big")]).edges
    assert faults(
        route,
        node("c", "condition", config={"conditions": []}),
        node("a"),
        node("b", on_error="branch"),
        edges=[
            edge("r", "c", "case:small"),
            edge("c", "a"),
            edge("a", "b", "error"),
            edge("r", "b", "default"),
        ],
    ) == {
        "edges.0.source_handle": "'r' has no handle 'case:small'. Its handles are: case:big, default.",
        "edges.1.source_handle": "'c' has no handle 'main'. Its handles are: false, true.",
        "edges.2.source_handle": "'a' has the handle 'error' only with on_error: branch.",
    }


def test_circles_are_named() -> None:
    found = faults(
        *(node(id) for id in "sabcde"),
        edges=[
            edge("s", "a"), edge("a", "b"), edge("b", "c"), edge("c", "a"), edge("c", "d"), edge("d", "e"), edge("e", "d"),
        ],
    )  # fmt: skip
    assert found == {
        "edges.3": "It closes a circle: a → b → c → a.",
        "edges.6": "It closes a circle: d → e → d.",
    }


def test_a_long_circle_is_named_in_short() -> None:
    definition = chain(1_500)
    definition["edges"].append(edge("n1499", "n0"))
    with pytest.raises(GraphError) as caught:
        compile_graph(definition, FAKES)
    assert caught.value.faults == {
        "edges.1499": "It closes a circle: n0 → n1 → n2 → n3 → n4 → n5 → … → n1495 → n1496 → n1497 → n1498 → n1499 → n0."
    }


def test_what_no_path_from_an_input_leads_to_is_named() -> None:
    assert faults(
        node("start", "input"),
        node("a"),
        node("lonely"),
        node("child"),
        edges=[edge("start", "a"), edge("lonely", "child")],
    ) == {
        "nodes.2": "'lonely' is never reached: no path leads to it from an input node.",
        "nodes.3": "'child' is never reached: no path leads to it from an input node.",
    }


def test_without_an_input_node_every_beginning_counts() -> None:
    two_roots = [edge("a", "c"), edge("b", "c")]
    assert len(graph(node("a"), node("b"), node("c"), edges=two_roots).roots) == 2
    assert len(graph(node("a"), node("b")).roots) == 2
    assert faults(node("a"), node("b"), node("c"), edges=[edge("a", "b")]) == {
        "nodes.2": "'c' is never reached: no edge leads to it."
    }


def test_a_config_is_held_against_its_schema() -> None:
    found = faults(
        node(
            "a",
            config={
                "values": [],
                "count": 0,
                "fromat": "json",
                "format": "xml",
                "target": "https://x",
            },
        ),
        node("b", "fetch", config={"headers": {}}),
        node("c", "fetch", config={"url": "http://10.0.0.1"}),
        node("d", config=[]),
        node("e", "fetch", config={"url": ""}),
    )
    assert found == {
        "nodes.0.config.values": "Must be an object.",
        "nodes.0.config.count": "Must be at least 1.",
        "nodes.0.config.fromat": "Unknown field. Did you mean 'format'? Known are: values, count, format, when, target.",
        "nodes.0.config.format": "Must be 'json' or 'csv'.",
        "nodes.0.config.target": "Must match ^s3://.",
        "nodes.1.config.url": "This field is required.",
        "nodes.2.config.url": "This address is private.",
        "nodes.3.config": "Must be an object.",
        "nodes.4.config.url": "Must not be empty.",
    }


def test_the_engines_own_keys_are_checked_too() -> None:
    found = faults(
        node(
            "a",
            name=7,
            retry={"max_attempts": 0, "backof": "fixed", "jitter": 2},
            timeout_seconds=0,
            on_error="ignore",
            join="some",
            cache={"key": "x"},
            disabled="no",
            run_if="input.x > 3",
            wait=True,
        ),
        node("b", run_if="{{ 1 + }}", cache={"ttl_seconds": 1, "key": "{{ qqq }}"}),
    )
    keys = "id, type, name, config, retry, timeout_seconds, on_error, cache, run_if, join, disabled, model, position, notes, label"
    assert found == {
        "nodes.0.name": "Must be a string of at most 255 characters.",
        "nodes.0.wait": f"Unknown field. Known are: {keys}.",
        "nodes.0.retry.max_attempts": "Must be at least 1.",
        "nodes.0.retry.jitter": "Must be at most 1.",
        "nodes.0.retry.backof": "Unknown field. Did you mean 'backoff'? Known are: max_attempts, backoff, initial_seconds, factor, max_seconds, jitter, on.",
        "nodes.0.timeout_seconds": "Must be more than 0.",
        "nodes.0.on_error": "Must be 'fail' or 'continue' or 'branch'.",
        "nodes.0.cache.ttl_seconds": "This field is required.",
        "nodes.0.join": "Must be 'all_decided' or 'any' or 'all'.",
        "nodes.0.disabled": "Must be true or false.",
        "nodes.0.run_if": "Must be an expression in {{ … }}, true or false.",
        "nodes.1.run_if": "{{ 1 + }}: Unexpected end.",
        "nodes.1.cache.key": "'qqq' is unknown. There are: error, execution, index, input, item, nodes, now, secrets, trigger, variables, workflow.",
    }


def test_every_faulty_expression_is_named_where_it_stands() -> None:
    found = faults(
        node("a", config={"values": {"x": ["{{ 1 + }}", {"y": "{{ input.x() }}"}], "z": "{{ inptu.x }}"}}),
        node("b", config={"values": {"{{ k }}": 1}}),
        node("c", "condition", config={"conditions": [{"field": "a", "op": "ge", "value": "{{ | }}"}]}),
        node("d", "route", config={"cases": [{"name": "a", "conditions": [{"field": "a"}]}]}),
    )  # fmt: skip
    assert found == {
        "nodes.0.config.values.x.0": "{{ 1 + }}: Unexpected end.",
        "nodes.0.config.values.x.1.y": "{{ input.x() }}: Only functions can be called; to change a value, put a filter after it: value|filter.",
        "nodes.0.config.values.z": "'inptu' is unknown. Did you mean 'input'? There are: error, execution, index, input, item, nodes, now, secrets, trigger, variables, workflow.",
        "nodes.1.config.values": "An expression can't stand in a key: '{{ k }}'.",
        "nodes.2.config.conditions.0.value": "{{ | }}: Unexpected '|'.",
        "nodes.2.config.conditions.0.op": "Unknown op 'ge'. Did you mean 'gte'? Known are: eq, ne, gt, gte, lt, lte, in, not_in, contains, not_contains, starts_with, ends_with, matches, exists, not_exists, empty, between.",
        "nodes.3.config.cases.0.conditions.0.op": "This field is required: one of eq, ne, gt, gte, lt, lte, in, not_in, contains, not_contains, starts_with, ends_with, matches, exists, not_exists, empty, between.",
    }


def test_a_node_reads_only_what_has_run_before_it() -> None:
    def reads(source: str) -> dict[str, Any]:
        return {"values": {"x": f"{{{{ {source} }}}}"}}

    found = faults(
        node("start"),
        node("left", config=reads("nodes.start.x")),
        node("right", config=reads("nodes.left.x")),
        node("end-node", config=reads("nodes['end-node'].x")),
        node("last", config=reads("nodes.end-node.x + nodes.strat")),
        edges=[
            edge("start", "left"),
            edge("start", "right"),
            edge("left", "end-node"),
            edge("end-node", "last"),
        ],
    )
    assert found == {
        "nodes.2.config.values.x": "'left' can't have run yet: no path leads from it to 'right'.",
        "nodes.3.config.values.x": "'end-node' can't read its own output.",
        "nodes.4.config.values.x": "'node' is unknown. Did you mean 'nodes'? There are: error, execution, index, input, item, nodes, now, secrets, trigger, variables, workflow.",
    }
    assert faults(node("a", config=reads("nodes.b-c"))) == {
        "nodes.0.config.values.x": "'c' is unknown. There are: error, execution, index, input, item, nodes, now, secrets, trigger, variables, workflow."
    }
    dashed = node("b", config=reads("nodes.fetch-data"))
    assert "Write nodes['fetch-data']." in " ".join(
        faults(node("fetch-data"), {**dashed, "config": reads("nodes.fetch")}, edges=[edge("fetch-data", "b")]).values()
    )  # fmt: skip


def test_a_default_does_not_excuse_a_node_that_is_not_there() -> None:
    config = {"values": {"x": "{{ nodes.nope.x | default(1) }}"}}
    assert faults(node("a", config=config)) == {
        "nodes.0.config.values.x": "There is no node 'nope'."
    }


def test_secrets_stand_only_in_secret_fields() -> None:
    headers = {"Authorization": "Bearer {{ secrets.token }}"}
    assert graph(node("a", "fetch", config={"url": "https://a", "headers": headers}))
    url = "https://a/?key={{ secrets.token }}"
    assert faults(node("a", "fetch", config={"url": url})) == {
        "nodes.0.config.url": "A secret can only stand in a field that is kept secret."
    }


def test_a_literal_field_may_hold_anything() -> None:
    source = "x = {{1 + }} {% for %}"
    compiled = graph(node("a", "code", config={"source": source}))
    assert compiled.nodes["a"].resolve({}) == {"source": source}


def test_an_expression_where_the_handles_are_decided_is_a_fault() -> None:
    assert faults(node("a", "route", config={"cases": "{{ input.cases }}"})) == {
        "nodes.0.config": "An expression stands for something that 'route' has to know beforehand."
    }


def test_everything_at_once() -> None:
    found = faults(
        node("a", "input"),
        node("a"),
        node("b", "nope"),
        node("c", "fetch", config={"url": ""}),
        node("d", config={"values": {"x": "{{ nodes.c.x }}", "y": "{{ ( }}"}}),
        node("e", config={"values": {"x": "{{ nodes.c.x }}"}}),
        node("f"),
        edges=[edge("a", "b"), edge("b", "d"), edge("d", "b"), edge("a", "zz"), edge("a", "e"), edge("a", "c")],
        variables=[],
    )  # fmt: skip
    assert set(found) == {
        "nodes.1.id",
        "nodes.2.type",
        "nodes.3.config.url",
        "nodes.4.config.values.x",
        "nodes.4.config.values.y",
        "nodes.5.config.values.x",
        "nodes.6",
        "edges.2",
        "edges.3.target",
        "variables",
    }


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ({"nodes": {}}, {"nodes": "Must be a list."}),
        ({"edges": {"a": "b"}}, {"edges": "Must be a list."}),
        ({"connections": {"A": {"main": []}}}, {"connections": "Must be a list."}),
        (
            {"nodes": [{}] * 2_001},
            {"nodes": "There may be 2,000, not 2,001."},
        ),
        (
            {"edges": [{}] * 10_001},
            {"edges": "There may be 10,000, not 10,001."},
        ),
    ],
)
def test_lists_are_lists_and_not_too_long(
    definition: dict[str, Any], expected: dict[str, str]
) -> None:
    with pytest.raises(GraphError) as caught:
        compile_graph(definition, FAKES)
    assert caught.value.faults == expected


# --- Pipelines ---

DOCUMENTED = [
    {"type": "transform", "model": "craftai-1", "config": {"format": "json"}},
    {"type": "route", "conditions": [{"field": "priority", "op": "gte", "value": 8}]},
]


def step(type: str = "set", **given: Any) -> dict[str, Any]:
    return {"type": type, **given}


def arrows(definition: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (edge["source"], edge.get("source_handle", "main"), edge["target"])
        for edge in definition["edges"]
    ]


def pipeline_faults(steps: Any, output: Any = None) -> dict[str, str]:
    with pytest.raises(GraphError) as caught:
        compile_steps(steps, output, {}, FAKES)
    return caught.value.faults


def test_the_documented_pipeline_is_a_chain() -> None:
    assert steps_to_graph(DOCUMENTED, "s3://my-bucket/processed/") == {
        "nodes": [
            {
                "id": "step_1",
                "type": "transform",
                "model": "craftai-1",
                "config": {"format": "json"},
            },
            {
                "id": "step_2",
                "type": "route",
                "config": {
                    "conditions": [{"field": "priority", "op": "gte", "value": 8}]
                },
            },
            {
                "id": "output",
                "type": "store",
                "config": {"target": "s3://my-bucket/processed/"},
            },
        ],
        "edges": [
            {"source": "step_1", "target": "step_2"},
            {"source": "step_2", "target": "output"},
        ],
    }
    assert steps_to_graph([{"type": "transform", "model": "craftai-1"}], None) == {
        "nodes": [
            {"id": "step_1", "type": "transform", "model": "craftai-1", "config": {}}
        ],
        "edges": [],
    }


def test_the_documented_pipeline_compiles_with_the_real_node_types() -> None:
    definition, compiled = compile_steps(
        DOCUMENTED, "s3://my-bucket/processed/", {}, REAL
    )
    assert list(compiled.nodes) == ["step_1", "step_2", "output"]
    assert list(compile_graph(definition, REAL).nodes) == list(compiled.nodes)


def test_deciding_steps_go_on_along_their_yes() -> None:
    definition = steps_to_graph(
        [
            step("condition", conditions=[], combine="any"),
            step("approval"),
            step("map"),
            step("wait"),
            step("route", conditions=[]),
            step(),
        ]
    )
    assert arrows(definition) == [
        ("step_1", "true", "step_2"),
        ("step_2", "approved", "step_3"),
        ("step_3", "done", "step_4"),
        ("step_4", "main", "step_5"),
        ("step_5", "main", "step_6"),
    ]
    assert definition["nodes"][0]["config"] == {"conditions": [], "combine": "any"}


def test_then_and_else_name_steps() -> None:
    definition = steps_to_graph(
        [
            step("route", conditions=[], **{"else": "Too small"}),
            step(name="Big", then="step_4"),
            step(name="Too small", then=None),
            step(),
        ],
        "https://example.com/results",
    )
    assert arrows(definition) == [
        ("step_1", "main", "step_2"),
        ("step_1", "else", "step_3"),
        ("step_2", "main", "step_4"),
        ("step_3", "main", "output"),
        ("step_4", "main", "output"),
    ]
    assert definition["nodes"][2]["name"] == "Too small"


def test_a_stop_is_not_followed() -> None:
    steps = [step("route", conditions=[], **{"else": "step_3"}), step(then=None), step("stop")]  # fmt: skip
    assert arrows(steps_to_graph(steps, "s3://b/")) == [
        ("step_1", "main", "step_2"),
        ("step_1", "else", "step_3"),
        ("step_2", "main", "output"),
    ]
    with pytest.raises(GraphError) as caught:
        steps_to_graph([step("stop"), step()])
    assert caught.value.faults == {
        "steps.1": "It is never reached: no step leads to it."
    }


def test_a_step_keeps_the_engines_keys() -> None:
    given = {
        "retry": {"max_attempts": 2},
        "timeout_seconds": 5,
        "on_error": "continue",
        "name": "N",
        "run_if": "{{ input.x }}",
        "x-note": 1,
    }
    definition, compiled = compile_steps([step(**given)], None, {"a": 1}, FAKES)
    assert definition["nodes"] == [
        {"id": "step_1", "type": "set", "config": {}, **given}
    ]
    assert definition["variables"] == {"a": 1}
    assert compiled.nodes["step_1"].on_error == "continue"


def test_a_pipelines_faults_speak_of_steps() -> None:
    known = "type, name, config, retry, timeout_seconds, on_error, cache, run_if, join, disabled, model, position, notes, label, conditions, combine, then, else"
    assert pipeline_faults(
        [
            step("nope", **{"else": "step_2"}),
            step(config={"values": {"x": "{{ nodes.step_3.x }}"}}, modle="x"),
            step("route", conditions=[{"field": "a", "op": "ge", "value": 1}]),
            step("route", config={"conditions": [{"field": "a"}]}, combine="some"),
            step(retry={"max_attempts": 0}, then="step_9"),
            "step",
            step("condition", config={"conditions": []}, conditions=[], then="step_1"),
        ],
        "ftp://example.com",
    ) == {
        "steps.0.type": "There is no node type 'nope'.",
        "steps.0.else": "Only these types of step take an else: route, condition, approval, wait.",
        "steps.1.modle": f"Unknown field. Did you mean 'model'? Known are: {known}.",
        "steps.1.config.values.x": "'step_3' can't have run yet: no path leads from it to 'step_2'.",
        "steps.2.conditions.0.op": "Unknown op 'ge'. Did you mean 'gte'? Known are: eq, ne, gt, gte, lt, lte, in, not_in, contains, not_contains, starts_with, ends_with, matches, exists, not_exists, empty, between.",
        "steps.3.config.conditions.0.op": "This field is required: one of eq, ne, gt, gte, lt, lte, in, not_in, contains, not_contains, starts_with, ends_with, matches, exists, not_exists, empty, between.",
        "steps.3.combine": "Must be 'all' or 'any'.",
        "steps.4.retry.max_attempts": "Must be at least 1.",
        "steps.4.then": "There is no step 'step_9'. Did you mean 'step_7'?",
        "steps.5": "Must be an object.",
        "steps.6.conditions": "Give it here or in the config, not both.",
        "steps.6.then": "Must be a later step: a pipeline does not go back.",
        "output": "Must be an address that begins with s3://, https://, http://, file://.",
    }


def test_a_step_that_is_passed_by_is_named() -> None:
    assert pipeline_faults([step(then="step_3"), step(), step()]) == {
        "steps.1": "It is never reached: no step leads to it."
    }


def test_names_that_several_steps_have_lead_nowhere() -> None:
    assert pipeline_faults(
        [step("route", conditions=[], **{"else": "A"}), step(name="A"), step(name="A")]
    ) == {"steps.0.else": "Several steps are called 'A'; use the id."}


@pytest.mark.parametrize("steps", [None, {}, "steps"])
def test_steps_are_a_list(steps: Any) -> None:
    with pytest.raises(GraphError) as caught:
        steps_to_graph(steps)
    assert caught.value.faults == {"steps": "Must be a list."}


def test_a_faulty_output_is_its_own_fault() -> None:
    with pytest.raises(GraphError) as caught:
        compile_steps([step("input")], "https://127.0.0.1/x", {}, REAL)
    assert list(caught.value.faults) == ["output"]


# --- The schema, and the real node types ---


def test_the_published_schema_is_one_and_takes_what_compiles() -> None:
    Draft202012Validator.check_schema(WORKFLOW_SCHEMA)
    validator = Draft202012Validator(WORKFLOW_SCHEMA)
    assert validator.is_valid(chain(3))
    assert validator.is_valid(
        {**steps_to_graph(DOCUMENTED, "s3://b/"), "variables": {}}
    )
    assert validator.is_valid({"connections": [{"from": "a", "to": "b"}]})
    for faulty in [
        {"nodes": [{"id": "a"}]},
        {"nodes": [node("1")]},
        {"nodes": [node("a", retries=3)]},
        {"nodes": [node("a", retry={"max_attempts": 0})]},
        {"edges": [{"source": "a"}]},
        {"edges": [{"source": "a", "from": "a", "target": "b"}]},
    ]:
        assert not validator.is_valid(faulty)


@pytest.mark.parametrize("name", sorted(REAL))
def test_the_example_of_each_node_type_compiles(name: str) -> None:
    example = copy.deepcopy(REAL[name].example["config"])
    compiled = compile_graph({"nodes": [node("a", name, config=example)]}, REAL)
    assert compiled.nodes["a"].config == example


@pytest.mark.parametrize("name", sorted(REAL))
def test_an_expression_anywhere_in_a_config_is_taken_or_a_fault(name: str) -> None:
    example = REAL[name].example["config"]
    for config in _with_an_expression(example):
        with contextlib.suppress(GraphError):
            compile_graph({"nodes": [node("a", name, config=config)]}, REAL)


def _with_an_expression(value: Any) -> Iterator[Any]:
    """The value with each of its parts, one after the other, replaced by an expression."""
    yield "{{ input.x }}"
    parts: Any = ()
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in parts:
        for changed in _with_an_expression(part):
            fresh = copy.copy(value)
            fresh[key] = changed
            yield fresh


# --- Speed ---


def test_thousands_of_faults_are_found_soon() -> None:
    definition = chain(2_000)
    for n, each in enumerate(definition["nodes"]):
        each["config"] = {"values": [f"{{{{ nodes.m{n}.x }}}}"], "fromat": n}
    definition["edges"] += [edge(f"n{n}", f"m{n}") for n in range(1_999)]
    definition["edges"] += [edge(f"n{n + 1}", "n0") for n in range(1_999)]
    began = time.thread_time()
    with pytest.raises(GraphError) as caught:
        compile_graph(definition, FAKES)
    assert time.thread_time() - began < 5
    assert len(caught.value.faults) > 9_000


def test_a_graph_of_two_thousand_nodes_compiles_quickly() -> None:
    definition, took = chain(2_000), []
    for _ in range(4):
        began = time.thread_time()
        compiled = compile_graph(definition, FAKES)
        took.append(time.thread_time() - began)
    assert min(took) < 0.25
    assert len(compiled.nodes) == 2_000
