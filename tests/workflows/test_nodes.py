"""Each node type by itself: its example, what it does, and what it says when it can't."""

import base64
import contextlib
import hashlib
import hmac
import importlib.util
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import boto3
import jsonschema_rs
import pytest
import yaml
from jsonschema import Draft202012Validator
from moto.server import ThreadedMotoServer
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from craft.egress import EgressError
from tests.workflows.calls import (
    CATALOGUE,
    EXECUTION_ID,
    error_of,
    faults_of,
    handles_of,
    output_of,
    run,
)
from workflows.engine.executor import Job, Run, drive
from workflows.engine.graph import Graph, GraphError, compile_graph, steps_to_graph
from workflows.nodes import NODES
from workflows.nodes.base import Iterating, Node, NodeError, Output, Stop, Waiting


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    return "127.0.0.1", 0


@pytest.fixture
def server(httpserver: HTTPServer, settings) -> HTTPServer:
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    return httpserver


class NoJournal:
    """For graphs that write nothing down."""

    async def progress(self, run, steps, *, advanced) -> None:
        raise AssertionError(steps)

    def recall(self, key: str) -> None:
        return None


def output_of_graph(graph: Graph, input: object) -> object:
    job = Job(EXECUTION_ID, 1, 1, input, {"input": input}, {}, {"id": "wf_1"})
    ending = drive(Run(job, graph, [], NoJournal(), can_sleep=False).execute())
    assert ending.status == "completed", ending.error
    return ending.output


def branching(kind: str, config: dict, *edges: tuple[str, str, str]) -> Graph:
    """`input`, the node in question as `n`, and two nodes that set a field."""
    nodes = [
        {"id": "in", "type": "input"},
        {"id": "n", "type": kind, "config": config},
        {"id": "a", "type": "transform", "config": {"set": {"a": 1}}},
        {"id": "b", "type": "transform", "config": {"set": {"b": 2}}},
    ]
    drawn = [
        {"source": source, "target": target, "source_handle": handle}
        for source, handle, target in edges
    ]
    named = {end for source, _, target in edges for end in (source, target)}
    return compile_graph(
        {"nodes": [node for node in nodes if node["id"] in named], "edges": drawn},
        CATALOGUE,
    )


# --- The catalogue ---


@pytest.mark.parametrize("kind", NODES)
def test_a_node_type_is_described(kind) -> None:
    node = CATALOGUE[kind]
    assert node.type == kind
    assert node.summary.endswith(".")
    schema = node.config_schema
    Draft202012Validator.check_schema(schema)
    assert schema["additionalProperties"] is False
    assert all("description" in field for field in schema["properties"].values())
    assert node.raw_fields <= schema["properties"].keys()
    other_validator = jsonschema_rs.Draft202012Validator(schema)
    assert other_validator.is_valid(node.example["config"])
    assert not other_validator.is_valid({"no_such_field": 1})


def taken_turn_by_turn(turns, results) -> Output:
    """Each turn has the result that the example says."""
    for index, value in enumerate(results):
        assert turns.begin() is not None
        turns.finish(index, value)
    assert turns.begin() is None
    return Output(turns.result(), ("done",))


@pytest.mark.parametrize("kind", sorted(NODES.keys() - {"http", "email", "notify"}))
def test_a_node_types_example_runs(kind) -> None:
    example = NODES[kind].example
    assert faults_of(kind, example["config"]) == {}
    given = {key: example[key] for key in ("inputs", "answer") if key in example}
    if "signal" in example:
        given["signals"] = {example["config"]["signal"]: example["signal"]}
    if "turns" in example:
        given["leaving"] = frozenset({"item", "done"})
    outcome = run(kind, example["config"], example["input"], **given)
    if isinstance(outcome, Iterating):
        outcome = taken_turn_by_turn(outcome.turns, example["turns"])
    if isinstance(outcome, Stop):
        assert outcome.output == example["output"]
        return
    assert isinstance(outcome, Output)
    assert outcome.value == example["output"]
    assert list(outcome.handles) == example.get("handles", ["main"])


def test_the_example_of_http_runs(server) -> None:
    example = NODES["http"].example
    expected = example["output"]
    server.expect_request(
        "/orders", method="POST", json={"order": 7}
    ).respond_with_json(expected["body"], status=expected["status"])
    config = example["config"] | {"url": server.url_for("/orders")}
    output = output_of("http", config, example["input"])
    assert (output["status"], output["body"]) == (201, expected["body"])
    assert output["headers"]["content-type"] == "application/json"


def test_the_pipeline_of_the_first_document_compiles_and_runs() -> None:
    definition = steps_to_graph(
        [
            {"type": "transform", "model": "craftai-1", "config": {"format": "json"}},
            {
                "type": "route",
                "conditions": [{"field": "priority", "op": "gte", "value": 8}],
            },
        ],
        "s3://my-bucket/processed/",
    )
    graph = compile_graph(definition, CATALOGUE)
    assert [node.type for node in graph.nodes.values()] == [
        "transform",
        "route",
        "store",
    ]
    assert output_of("transform", {"format": "json"}, '{"priority": 9}') == {
        "priority": 9
    }
    assert output_of("transform", {}, {"priority": 9}) == {"priority": 9}
    bare = steps_to_graph([{"type": "transform", "model": "craftai-1"}], None)
    assert compile_graph(bare, CATALOGUE).is_instant


NEW_NODE = """
from workflows.nodes.base import Call, Node, Output


class Shout(Node):
    type = "shout"
    family = "processing"
    summary = "Says it louder."
    config_schema = {
        "type": "object",
        "properties": {"marks": {"type": "integer", "description": "How loud."}},
        "additionalProperties": False,
    }
    example = {"config": {"marks": 1}, "input": "hi", "output": "HI!"}

    async def run(self, call: Call) -> Output:
        return Output(call.input.upper() + "!" * call.config.get("marks", 0))
"""


def test_a_new_node_type_is_one_file_and_one_line(tmp_path, monkeypatch) -> None:
    (tmp_path / "shout.py").write_text(NEW_NODE)
    spec = importlib.util.spec_from_file_location("shout", tmp_path / "shout.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "shout", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(NODES, "shout", module.Shout)
    catalogue: dict[str, Node] = {kind: node() for kind, node in NODES.items()}

    graph = compile_graph(
        {
            "nodes": [
                {"id": "in", "type": "input"},
                {"id": "loud", "type": "shout", "config": {"marks": 2}},
                {"id": "out", "type": "output"},
            ],
            "edges": [
                {"source": "in", "target": "loud"},
                {"source": "loud", "target": "out"},
            ],
        },
        catalogue,
    )

    assert output_of_graph(graph, "hello") == "HELLO!!"
    example = module.Shout.example
    assert output_of("shout", example["config"], example["input"]) == example["output"]
    with pytest.raises(GraphError) as caught:
        compile_graph(
            {"nodes": [{"id": "x", "type": "shout", "config": {"mark": 1}}]}, catalogue
        )
    assert "marks" in caught.value.faults["nodes.0.config.mark"]


# --- input ---


def test_input_without_a_config_passes_everything_on() -> None:
    for value in (None, 5, "text", [1], {"a": 1}):
        assert output_of("input", {}, value) == value


def test_input_fills_in_defaults_before_it_checks() -> None:
    config = {"defaults": {"a": 1}, "schema": {"required": ["a"]}}
    assert output_of("input", config, None) == {"a": 1}
    assert output_of("input", config, {"a": 2, "b": 3}) == {"a": 2, "b": 3}
    assert error_of("input", config, [1]).code == "invalid_input"


def test_input_says_what_does_not_fit() -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "tags": {"uniqueItems": True}},
        "required": ["name"],
    }
    error = error_of("input", {"schema": schema}, {"n": "x", "tags": [{}, {}]})
    assert error.code == "invalid_input"
    assert "n: 'x' is not of type 'integer'" in error.message
    assert "'name' is a required property" in error.message
    assert "tags: holds the same item twice" in error.message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        "not a schema",
        {"$ref": "http://127.0.0.1/schema.json"},
        {"properties": {"a": {"$ref": "#"}}},
        {"patternProperties": {"(a+)+$": {}}},
        {"pattern": "(?=lookahead)"},
        {"pattern": "("},
        {"items": {"$schema": "https://json-schema.org/draft/2020-12/schema"}},
        {"unevaluatedProperties": False},
        {"description": "x" * 60_000},
    ],
)
def test_a_schema_that_can_not_be_used_is_a_fault(schema) -> None:
    assert faults_of("input", {"schema": schema}).keys() == {"schema"}


def test_a_schema_with_a_dialect_is_read_as_the_current_one() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "properties": {"a": {"pattern": "^(a+)+$"}},
    }
    assert faults_of("input", {"schema": schema}) == {}
    began = time.process_time()
    assert (
        "does not match"
        in error_of("input", {"schema": schema}, {"a": "a" * 5_000 + "!"}).message
    )
    assert time.process_time() - began < 0.5


def test_a_schema_can_not_take_for_ever() -> None:
    schema = {"items": {"anyOf": [{"const": number} for number in range(500)]}}
    began = time.process_time()
    error = error_of("input", {"schema": schema}, [-1] * 100_000)
    assert "too long" in error.message or "not valid under any" in error.message
    schema = {"items": {"allOf": [{"not": {"const": n}} for n in range(500)]}}
    assert "too long" in error_of("input", {"schema": schema}, [-1] * 100_000).message
    assert time.process_time() - began < 5


# --- transform ---


def test_transform_keeps_renames_and_sets_in_this_order() -> None:
    config = {
        "keep": ["a", "b"],
        "rename": {"a": "x"},
        "set": {"b": "{{ input.c + 1 }}", "deep": {"n": ["{{ input.a }}"]}},
    }
    assert output_of("transform", config, {"a": 1, "b": 2, "c": 3}) == {
        "x": 1,
        "b": 4,
        "deep": {"n": [1]},
    }


def test_transform_shapes_each_object_of_a_list() -> None:
    config = {"keep": ["a"], "set": {"z": 0}}
    assert output_of("transform", config, [{"a": 1, "b": 2}, {"b": 3}]) == [
        {"a": 1, "z": 0},
        {"z": 0},
    ]


def test_transform_sets_on_nothing() -> None:
    assert output_of("transform", {"set": {"a": 1}}, None) == {"a": 1}


def test_transform_refuses_to_shape_what_is_no_object() -> None:
    error = error_of("transform", {"keep": ["a"]}, [1])
    assert (error.code, error.retryable) == ("invalid_input", False)
    assert "this is a number" in error.message


def test_transform_by_an_expression_is_its_value() -> None:
    config = {"expression": "{{ input.items | length }}", "format": "text"}
    assert output_of("transform", {"expression": "{{ input.n }}"}, {"n": 5}) == 5
    assert output_of("transform", config, {"items": [1, 2]}) == "2"
    faults = faults_of("transform", {"expression": 1, "set": {"a": 1}, "keep": []})
    assert faults.keys() == {"set", "keep"}


def test_transform_to_json_reads_text_and_leaves_the_rest() -> None:
    assert output_of("transform", {"format": "json"}, '[1, {"a": null}]') == [
        1,
        {"a": None},
    ]
    assert output_of("transform", {"format": "json"}, {"a": 1}) == {"a": 1}
    for text in ("{", "", "NaN", "{'a': 1}", "[" * 100_000):
        error = error_of("transform", {"format": "json"}, text)
        assert error.code in ("invalid_json", "invalid_input")


ROWS = [
    {"name": "Ada, L.", "total": -5, "note": '=HYPERLINK("http://evil")'},
    {"name": "Grüße|\n<b>", "tags": ["x"], "note": "-5"},
]


def test_transform_to_csv_marks_formulas_as_text() -> None:
    lines = output_of("transform", {"format": "csv"}, ROWS)
    assert lines == (
        "name,total,note,tags\r\n"
        '"Ada, L.",-5,"\'=HYPERLINK(""http://evil"")",\r\n'
        '"Grüße|\n<b>",,-5,"[""x""]"\r\n'
    )
    for cell in ("=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1"):
        assert f"'{cell}" in output_of("transform", {"format": "csv"}, [{"a": cell}])
        assert f"'{cell}" in output_of("transform", {"format": "csv"}, [{cell: "a"}])
    for cell in ("-5", "+49.5", "-1,5", "a=b", "1-1"):
        assert f"'{cell}" not in output_of(
            "transform", {"format": "csv"}, [{"a": cell}]
        )


def test_transform_to_csv_of_other_values() -> None:
    as_csv = {"format": "csv"}
    assert output_of("transform", as_csv, {"a": 1, "b": None}) == "a,b\r\n1,\r\n"
    assert output_of("transform", as_csv, [[1, "x"], [2, True]]) == "1,x\r\n2,true\r\n"
    assert output_of("transform", as_csv, [1, "x"]) == "value\r\n1\r\nx\r\n"
    assert output_of("transform", as_csv, []) == ""
    assert error_of("transform", as_csv, 5).code == "invalid_input"


def test_transform_to_xml_is_well_formed_whatever_the_names() -> None:
    value = {
        "a b": "<x>&\x00\ud800",
        "1": [1, {"c": None}],
        "xmlns": "evil",
        "ü": "]]>",
    }
    text = output_of("transform", {"format": "xml"}, value)
    root = ElementTree.fromstring(text)  # noqa: S314
    assert [child.tag for child in root] == ["a_b", "_1", "_xmlns", "_"]
    assert root[0].text == "<x>&"
    assert [child.tag for child in root[1]] == ["item", "item"]


def test_transform_to_yaml_reads_back_as_the_same_value() -> None:
    shared = {"deep": [1, None, True, "no", "2026-01-01", "ü\n"]}
    value = {"one": shared, "two": shared, "!!python/object": "x"}
    text = output_of("transform", {"format": "yaml"}, value)
    assert yaml.safe_load(text) == value
    assert "&" not in text


def test_transform_to_html_escapes_everything() -> None:
    evil = "<script>alert('x')</script>"
    for value in (evil, [evil], {evil: evil}, [{evil: evil}], [[evil]], {"a": [evil]}):
        text = output_of("transform", {"format": "html"}, value)
        assert "<script" not in text
        assert "&lt;script" in text
    assert output_of("transform", {"format": "html"}, [{"a": 1}]) == (
        "<table><tr><th>a</th></tr><tr><td>1</td></tr></table>"
    )


def test_transform_to_markdown_is_a_table_or_a_list() -> None:
    text = output_of("transform", {"format": "markdown"}, ROWS)
    assert text.splitlines()[:2] == [
        "| name | total | note | tags |",
        "| --- | --- | --- | --- |",
    ]
    assert "| Grüße\\| &lt;b&gt; |  | -5 |" in text
    assert (
        output_of("transform", {"format": "markdown"}, {"a_b": 1}) == "- **a\\_b**: 1\n"
    )
    assert output_of("transform", {"format": "markdown"}, ["x", None]) == "- x\n- \n"
    assert output_of("transform", {"format": "markdown"}, "# Title") == "# Title"


def test_transform_to_text() -> None:
    as_text = {"format": "text"}
    assert output_of("transform", as_text, {"a": 1, "b": [2]}) == "a: 1\nb: [2]"
    assert output_of("transform", as_text, ["x", 2.5, None]) == "x\n2.5\n"
    assert output_of("transform", as_text, True) == "true"


@pytest.mark.parametrize("format", ["csv", "xml", "yaml", "text", "html", "markdown"])
def test_a_value_of_any_depth_ends_in_a_sentence_or_a_text(format) -> None:
    deep: object = 1
    for _ in range(900):
        deep = {"a": [deep]}
    with contextlib.suppress(NodeError):
        assert isinstance(output_of("transform", {"format": format}, deep), str)


# --- condition, route, switch ---

HIGH = [{"field": "priority", "op": "gte", "value": 8}]


def test_condition_passes_its_input_on_to_one_side() -> None:
    config = {"conditions": HIGH}
    assert run("condition", config, {"priority": 8}) == Output(
        {"priority": 8}, ("true",)
    )
    assert run("condition", config, {"priority": 7}) == Output(
        {"priority": 7}, ("false",)
    )


def test_condition_combines_and_takes_expressions() -> None:
    conditions = [*HIGH, {"field": "owner", "op": "eq", "value": "{{ variables.me }}"}]
    scope = {"variables": {"me": "ada"}}
    value = {"priority": 1, "owner": "ada"}
    assert handles_of("condition", {"conditions": conditions}, value, scope=scope) == (
        "false",
    )
    either = {"conditions": conditions, "combine": "any"}
    assert handles_of("condition", either, value, scope=scope) == ("true",)


def test_route_goes_on_or_ends_unmatched() -> None:
    config = {"conditions": HIGH}
    assert run("route", config, {"priority": 9}) == Output({"priority": 9}, ("main",))
    assert run("route", config, {"priority": 1}) == Output(
        {"matched": False}, ("else",)
    )


def test_route_passes_its_input_on_where_an_else_is_drawn() -> None:
    outcome = run(
        "route",
        {"conditions": HIGH},
        {"priority": 1},
        leaving=frozenset({"main", "else"}),
    )
    assert outcome == Output({"priority": 1}, ("else",))


def test_an_else_is_told_from_none_in_a_graph() -> None:
    ways = ("in", "main", "n"), ("n", "main", "a"), ("n", "else", "b")
    with_else = branching("route", {"conditions": HIGH}, *ways)
    without = branching("route", {"conditions": HIGH}, *ways[:2])
    assert output_of_graph(with_else, {"priority": 1}) == {"priority": 1, "b": 2}
    assert output_of_graph(with_else, {"priority": 9}) == {"priority": 9, "a": 1}
    assert output_of_graph(without, {"priority": 1}) == {"matched": False}
    assert output_of_graph(without, {"priority": 9}) == {"priority": 9, "a": 1}


CASES = [
    {"name": "high", "conditions": HIGH},
    {"name": "vip", "conditions": [{"field": "tier", "op": "eq", "value": "gold"}]},
]


@pytest.mark.parametrize(
    ("value", "mode", "handles"),
    [
        ({"priority": 9, "tier": "gold"}, "first", ("case:high",)),
        ({"priority": 9, "tier": "gold"}, "all", ("case:high", "case:vip")),
        ({"priority": 1, "tier": "gold"}, "first", ("case:vip",)),
        ({"priority": 1}, "first", ("default",)),
        ({"priority": 1}, "all", ("default",)),
    ],
)
def test_route_by_cases(value, mode, handles) -> None:
    outcome = run("route", {"cases": CASES, "mode": mode}, value)
    assert outcome == Output(value, handles)


def test_the_handles_of_a_node_follow_from_its_cases() -> None:
    assert CATALOGUE["route"].handles_for({"cases": CASES}) == (
        "case:high",
        "case:vip",
        "default",
    )
    assert CATALOGUE["route"].handles_for({"conditions": HIGH}) == ("main", "else")
    assert CATALOGUE["switch"].handles_for({"value": 1, "cases": ["a", 2]}) == (
        "case:a",
        "case:2",
        "default",
    )


@pytest.mark.parametrize(
    ("type", "config", "paths"),
    [
        ("route", {}, {"conditions"}),
        ("route", {"conditions": HIGH, "cases": CASES}, {"conditions"}),
        ("route", {"conditions": HIGH, "mode": "all"}, {"mode"}),
        ("route", {"cases": CASES, "combine": "any"}, {"combine"}),
        ("route", {"cases": [CASES[0], CASES[0]]}, {"cases.0.name", "cases.1.name"}),
        ("route", {"cases": "{{ input.cases }}"}, {"cases"}),
        ("route", {"cases": ["{{ input.case }}"]}, {"cases.0"}),
        (
            "route",
            {"cases": [{**CASES[0], "name": "{{ input.name }}"}]},
            {"cases.0.name"},
        ),
        ("route", {"cases": [{**CASES[0], "combine": "{{ input.how }}"}]}, {"cases.0"}),
        ("route", {"cases": [{**CASES[0], "name": "a b"}]}, {"cases.0.name"}),
        ("switch", {"value": 1}, {"cases"}),
        ("switch", {"value": 1, "cases": [1, "1"]}, {"cases.0.name", "cases.1.name"}),
        ("switch", {"value": 1, "cases": "{{ input.cases }}"}, {"cases"}),
        ("switch", {"value": 1, "cases": ["{{ input.case }}"]}, {"cases.0.name"}),
        ("condition", {}, {"conditions"}),
        ("condition", {"conditions": []}, {"conditions"}),
        (
            "condition",
            {"conditions": [{"field": "a", "op": "like"}]},
            {"conditions.0.op"},
        ),
        ("merge", {"mode": "by_key"}, {"key"}),
        ("merge", {"mode": "zip", "key": "id"}, {"key"}),
        ("delay", {}, {"config"}),
        ("delay", {"seconds": 1, "until": "2027-01-01"}, {"config"}),
        ("delay", {"seconds": -1}, {"seconds"}),
        ("delay", {"seconds": 366 * 86400}, {"seconds"}),
        ("delay", {"until": "tomorrow"}, {"until"}),
        ("transform", {"format": "docx"}, {"format"}),
        ("transform", {"fromat": "csv"}, {"fromat"}),
        ("http", {}, {"url"}),
        ("http", {"url": "http://169.254.169.254/latest"}, {"url"}),
        ("http", {"url": "https://localhost/"}, {"url"}),
        ("http", {"url": "https://a.example", "json": 1, "body": "x"}, {"body"}),
        ("http", {"url": "https://a.example", "method": "TRACE"}, {"method"}),
        (
            "http",
            {"url": "https://a.example", "timeout_seconds": 0},
            {"timeout_seconds"},
        ),
        ("store", {}, {"target"}),
        ("store", {"target": "ftp://a.example/"}, {"target"}),
        ("store", {"target": "https://10.0.0.1/"}, {"target"}),
        ("store", {"target": "file:///etc/../../passwd"}, {"target"}),
        ("store", {"target": "s3://UPPER/x"}, {"target"}),
        ("store", {"target": "file://a/", "name": "../x"}, {"name"}),
        ("stop", {"status": "done"}, {"status"}),
        ("stop", {"code": "Not Good"}, {"code"}),
        ("output", {"valeu": 1}, {"valeu"}),
    ],
)
def test_a_bad_config_is_a_fault_where_it_stands(type, config, paths) -> None:
    assert faults_of(type, config).keys() == paths


@pytest.mark.parametrize(
    ("type", "config"),
    [
        ("merge", {"mode": "{{ input.mode }}"}),
        ("delay", {"until": "{{ input.at }}"}),
        ("delay", {"seconds": "{{ input.seconds }}"}),
        ("http", {"url": "{{ input.url }}", "headers": {"A": "{{ secrets.key }}"}}),
        ("http", {"url": "https://{{ input.host }}/"}),
        ("store", {"target": "{{ input.target }}"}),
        (
            "store",
            {"target": "https://a.example/", "headers": {"A": "{{ secrets.key }}"}},
        ),
        ("stop", {"status": "{{ input.status }}"}),
        ("transform", {"keep": "{{ input.keep }}", "format": "{{ input.format }}"}),
    ],
)
def test_an_expression_may_stand_where_a_value_is_not_known_yet(type, config) -> None:
    assert faults_of(type, config) == {}


def test_switch_compares_as_json() -> None:
    config = {
        "value": "{{ input.v }}",
        "cases": [
            "de",
            1,
            {"name": "yes", "equals": True},
            {"name": "list", "equals": [1]},
        ],
    }
    for value, handle in (
        ("de", "case:de"),
        (1, "case:1"),
        (True, "case:yes"),
        ([1], "case:list"),
        ("fr", "default"),
        ("1", "default"),
        (None, "default"),
    ):
        assert run("switch", config, {"v": value}) == Output({"v": value}, (handle,))


# --- merge ---


@pytest.mark.parametrize(
    ("mode", "inputs", "merged"),
    [
        (
            "append",
            {"a": [1, 2], "b": [3], "c": {"x": 1}, "d": None},
            [1, 2, 3, {"x": 1}],
        ),
        ("append", {"only": {"a": [1], "b": [2]}}, [{"a": [1], "b": [2]}]),
        ("zip", {"a": [{"x": 1}, {"x": 2}], "b": [{"y": 3}]}, [{"x": 1, "y": 3}]),
        ("zip", {"a": [1, 2], "b": ["x", "y"]}, [[1, "x"], [2, "y"]]),
        ("append", {}, []),
    ],
)
def test_merge(mode, inputs, merged) -> None:
    assert output_of("merge", {"mode": mode}, inputs=inputs) == merged


def test_merge_by_key_keeps_what_one_side_lacks() -> None:
    inputs = {
        "a": [{"id": 1, "x": 1}, {"id": True, "x": 2}],
        "b": [{"id": 2, "y": 3}, {"id": 1, "y": 4}],
    }
    assert output_of("merge", {"mode": "by_key", "key": "id"}, inputs=inputs) == [
        {"id": 1, "x": 1, "y": 4},
        {"id": True, "x": 2},
        {"id": 2, "y": 3},
    ]


def test_merge_takes_what_came_of_the_branches_that_ran() -> None:
    ends = ("a", "main", "n"), ("b", "main", "n")
    both = branching("merge", {}, ("in", "main", "a"), ("in", "main", "b"), *ends)
    assert output_of_graph(both, {"x": 0}) == [{"x": 0, "a": 1}, {"x": 0, "b": 2}]
    one = branching("merge", {}, ("in", "main", "a"), ends[0])
    assert output_of_graph(one, {"x": 0}) == [{"x": 0, "a": 1}]


@pytest.mark.parametrize("item", [5, {"name": "x"}, {"id": [1]}])
def test_merge_by_key_names_what_has_no_key(item) -> None:
    config = {"mode": "by_key", "key": "id"}
    assert error_of("merge", config, inputs={"a": [item]}).code == "invalid_input"


def test_merge_of_a_node_without_edges_takes_its_input() -> None:
    assert output_of("merge", {}, [1, 2], inputs={}) == [1, 2]


# --- delay ---


def test_delay_waits_from_when_it_was_begun() -> None:
    began = datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert run("delay", {"seconds": 60}, "x", started_at=began) == Output("x")
    began = datetime.now(UTC)
    outcome = run("delay", {"seconds": 3600}, "x", started_at=began)
    assert outcome == Waiting(began + timedelta(hours=1))


def test_delay_until_a_time() -> None:
    soon = datetime.now(UTC) + timedelta(days=2)
    assert run("delay", {"until": soon.isoformat()}) == Waiting(soon)
    naive = soon.replace(tzinfo=None)
    assert run("delay", {"until": naive.isoformat()}) == Waiting(soon)
    assert run("delay", {"until": "2020-01-01T00:00:00Z"}, 7) == Output(7)
    assert run("delay", {"until": "2020-01-01"}, 7) == Output(7)


def test_delay_is_bounded_whatever_an_expression_gives() -> None:
    far = (datetime.now(UTC) + timedelta(days=400)).isoformat()
    for config in (
        {"until": far},
        {"seconds": 10**9},
        {"seconds": -1},
        {"seconds": True},
        {"seconds": "x"},
        {"until": 5},
    ):
        assert error_of("delay", config).code == "invalid_config"


# --- output, stop ---


def test_output_may_be_null() -> None:
    assert output_of("output", {"value": None}, 5) is None
    assert output_of("output", {}, 5) == 5


def test_stop_ends_as_completed_or_as_failed() -> None:
    assert run("stop", {}, 5) == Stop(5)
    outcome = run(
        "stop", {"status": "failed", "message": "No stock.", "code": "no_stock"}, 5
    )
    assert isinstance(outcome, Stop)
    assert (outcome.output, outcome.error.message, outcome.error.code) == (
        5,
        "No stock.",
        "no_stock",
    )
    assert not outcome.error.retryable


# --- http ---


def test_http_sends_query_headers_and_body(server) -> None:
    def answer(request: Request) -> Response:
        assert request.query_string == b"a=1&tag=x&tag=y&q=%C3%BC"
        assert request.headers["X-Key"] == "5"
        assert request.headers["Content-Type"] == "text/plain"
        return Response(request.get_data(), mimetype="text/plain")

    server.expect_request("/x", method="PUT").respond_with_handler(answer)
    config = {
        "method": "PUT",
        "url": server.url_for("/x?a=1"),
        "query": {"tag": ["x", "y"], "q": "{{ input.q }}"},
        "headers": {"X-Key": 5, "Content-Type": "text/plain"},
        "body": "hello {{ input.q }}",
    }
    assert output_of("http", config, {"q": "ü"})["body"] == "hello ü"
    server.check_assertions()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_http_sends_the_same_idempotency_key_at_each_attempt(method, server) -> None:
    server.expect_request("/x").respond_with_data("")
    config = {"method": method, "url": server.url_for("/x")}
    for attempt in (1, 2):
        run("http", config, attempt=attempt)
    run("http", config | {"headers": {"idempotency-key": "mine"}})
    run("http", {"url": server.url_for("/x")})
    keys = [request.headers.get("Idempotency-Key") for request, _ in server.log]
    assert keys == [f"{EXECUTION_ID}:node:"] * 2 + ["mine", None]


@pytest.mark.parametrize(
    ("content", "content_type", "response", "body"),
    [
        (b'{"a": 1}', "application/json", "auto", {"a": 1}),
        (b'{"a": 1}', "application/problem+json; charset=utf-8", "auto", {"a": 1}),
        (b"", "application/json", "auto", None),
        (b"<a/>", "application/xml", "auto", "<a/>"),
        (b"\xff", "text/plain; charset=latin-1", "auto", "ÿ"),
        (b"\x89PNG", "image/png", "auto", base64.b64encode(b"\x89PNG").decode()),
        (b'{"a": 1}', "text/plain", "json", {"a": 1}),
        (b'{"a": 1}', "application/json", "text", '{"a": 1}'),
        (b"hi", "text/plain", "bytes-base64", "aGk="),
    ],
)
def test_http_reads_the_answer(content, content_type, response, body, server) -> None:
    server.expect_request("/x").respond_with_data(content, content_type=content_type)
    config = {"url": server.url_for("/x"), "response": response}
    assert output_of("http", config)["body"] == body


def test_http_says_when_json_is_none(server) -> None:
    server.expect_request("/x").respond_with_data(
        "<html>", content_type="application/json"
    )
    assert error_of("http", {"url": server.url_for("/x")}).code == "invalid_json"


@pytest.mark.parametrize(
    ("status", "headers", "retryable", "retry_after"),
    [
        (400, {}, False, None),
        (404, {}, False, None),
        (408, {}, True, None),
        (429, {"Retry-After": "7"}, True, 7),
        (500, {}, True, None),
        (503, {"Retry-After": "999999999"}, True, 86400),
        (503, {"Retry-After": "soon"}, True, None),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, True, 0),
    ],
)
def test_http_fails_on_an_error_status(
    status, headers, retryable, retry_after, server
) -> None:
    server.expect_request("/x").respond_with_data(
        "no such\n thing", status=status, headers=headers
    )
    error = error_of("http", {"url": server.url_for("/x?token=secret")})
    assert (error.code, error.retryable, error.retry_after) == (
        "http_status",
        retryable,
        retry_after,
    )
    assert (
        error.message
        == f"127.0.0.1:{server.port} answered with status {status}: no such thing"
    )


def test_http_takes_the_statuses_that_are_expected(server) -> None:
    server.expect_request("/x").respond_with_data("gone", status=404)
    config = {"url": server.url_for("/x")}
    assert (
        output_of("http", config | {"expected_statuses": [200, 404]})["status"] == 404
    )
    assert error_of("http", config | {"expected_statuses": [200]}).code == "http_status"


def test_http_does_not_take_a_redirect_for_an_answer(server) -> None:
    server.expect_request("/old").respond_with_data(
        status=302, headers={"Location": "/new"}
    )
    server.expect_request("/new").respond_with_data("here")
    config = {"url": server.url_for("/old")}
    assert error_of("http", config).code == "http_redirected"
    assert output_of("http", config | {"redirects": 1})["body"] == "here"


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"url": "{{ input.none }}"}, "invalid_config"),
        ({"url": "https://a.example", "method": "{{ input.none }}"}, "invalid_config"),
        ({"url": "https://a.example", "headers": "{{ input.list }}"}, "invalid_config"),
        (
            {"url": "https://a.example", "query": {"a": "{{ input.list }}", "b": {}}},
            "invalid_config",
        ),
        ({"url": "https://a.example", "timeout_seconds": 301}, "invalid_config"),
        (
            {"url": "https://a.example", "headers": {"A": "{{ input.none }}"}},
            "invalid_config",
        ),
        (
            {"url": "https://a.example", "method": "POST", "body": "{{ input.list }}"},
            "invalid_config",
        ),
    ],
)
def test_http_says_when_an_expression_gave_the_wrong_kind(config, code) -> None:
    assert error_of("http", config, {"none": None, "list": [1]}).code == code


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/",
        "https://127.0.0.1:1/",
        "https://localhost/",
        "https://[::1]/",
    ],
)
def test_http_and_store_leave_by_the_guarded_door(url, settings) -> None:
    for type, config in (
        ("http", {"url": "{{ input }}"}),
        ("store", {"target": "{{ input }}"}),
    ):
        with pytest.raises(EgressError):
            run(type, config, url)


# --- store ---


def test_store_writes_a_file_into_the_companys_folder(settings) -> None:
    output = output_of(
        "store", {"target": "file://reports/2026/"}, {"a": "ü"}, company_id=7
    )
    assert output == {"stored": f"file://reports/2026/{EXECUTION_ID}.json", "bytes": 10}
    folder = Path(settings.MEDIA_ROOT) / "7/outputs/reports/2026"
    assert (folder / f"{EXECUTION_ID}.json").read_text() == '{"a":"ü"}'
    assert [path.name for path in folder.iterdir()] == [f"{EXECUTION_ID}.json"]
    again = output_of(
        "store",
        {"target": "file:///reports/2026", "format": "csv", "name": "x"},
        [{"a": 1}],
        company_id=7,
    )
    assert again["stored"] == "file://reports/2026/x.csv"


@pytest.mark.parametrize(
    "target",
    [
        "file://",
        "file:///",
        "file://../x/",
        "file://a/../../x/",
        "file://a//b/",
        "file://./x/",
        "file://.hidden/",
        "file://a/..%2f..%2fx/",
        "file://a\\..\\x/",
        "file://a\x00b/",
        "file://a b/",
        "file://" + "a/" * 20,
        "file://" + "a" * 300,
    ],
)
def test_store_can_not_leave_its_folder(target, settings) -> None:
    assert error_of("store", {"target": "{{ input }}"}, target).code == "invalid_config"
    assert not list(Path(settings.MEDIA_ROOT).rglob("*.json"))


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".x", "x\x00", "a" * 101])
def test_store_takes_no_name_that_is_a_path(name) -> None:
    config = {"target": "file://a/", "name": "{{ input }}"}
    assert error_of("store", config, name).code == "invalid_config"


def test_store_does_not_follow_a_link_out_of_its_folder(settings, tmp_path) -> None:
    root = Path(settings.MEDIA_ROOT) / "1/outputs"
    root.mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    run_error = error_of("store", {"target": "file://link/"}, 1)
    assert "not inside" in run_error.message
    assert not list(tmp_path.glob("*.json"))


def test_store_puts_or_posts_to_a_url(server) -> None:
    server.expect_request(
        f"/in/{EXECUTION_ID}.json", method="PUT", data='{"a":1}'
    ).respond_with_data("")
    server.expect_request("/hook", method="POST", data="a\r\n1\r\n").respond_with_data(
        "", status=201
    )
    url = server.url_for("/in/")
    assert output_of("store", {"target": url}, {"a": 1}) == {
        "stored": f"{url}{EXECUTION_ID}.json",
        "bytes": 7,
    }
    config = {
        "target": server.url_for("/hook"),
        "method": "POST",
        "format": "csv",
        "headers": {"Authorization": "Bearer x"},
    }
    output_of("store", config, [{"a": 1}])
    sent = server.log[1][0].headers
    assert sent["Content-Type"] == "text/csv; charset=utf-8"
    assert sent["Authorization"] == "Bearer x"
    assert sent["Idempotency-Key"] == f"{EXECUTION_ID}:node:"


def test_store_fails_as_http_does(server) -> None:
    server.expect_request("/hook").respond_with_data("", status=503)
    error = error_of("store", {"target": server.url_for("/hook")}, 1)
    assert (error.code, error.retryable) == ("http_status", True)


def test_store_refuses_what_is_too_large() -> None:
    error = error_of("store", {"target": "file://a/"}, "x" * 11_000_000)
    assert error.code == "invalid_input"


@pytest.fixture
def s3(settings) -> Iterator[boto3.resources.base.ServiceResource]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    settings.S3_ENDPOINT_URL = f"http://{host}:{port}"
    settings.S3_ACCESS_KEY_ID = "test-key"
    settings.S3_SECRET_ACCESS_KEY = "test-secret"
    settings.S3_REGION = "eu-central-1"
    settings.S3_BUCKETS = ["my-bucket"]
    settings.OUTBOUND_ALLOW = [f"{host}:{port}"]
    client = boto3.resource(
        "s3",
        endpoint_url=settings.S3_ENDPOINT_URL,
        aws_access_key_id="test-key",
        aws_secret_access_key="test-secret",
        region_name="eu-central-1",
    )
    client.Bucket("my-bucket").create(
        CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
    )
    yield client
    client.Bucket("my-bucket").objects.all().delete()
    client.Bucket("my-bucket").delete()
    server.stop()


def test_store_puts_an_object_into_a_bucket(s3) -> None:
    target = "s3://my-bucket/processed/"
    output = output_of("store", {"target": target}, {"priority": 9})
    key = f"processed/{EXECUTION_ID}.json"
    assert output == {"stored": f"s3://my-bucket/{key}", "bytes": 14}
    stored = s3.Object("my-bucket", key).get()
    assert stored["Body"].read() == b'{"priority":9}'
    assert stored["ContentType"] == "application/json"
    output_of("store", {"target": target}, {"priority": 10})
    assert len(list(s3.Bucket("my-bucket").objects.all())) == 1
    for key in ("a b/ü+&.json", "top.json"):
        output_of("store", {"target": f"s3://my-bucket/{key}"}, 1)
        assert s3.Object("my-bucket", key).get()["Body"].read() == b"1"


def test_store_says_which_setting_is_missing(s3, settings) -> None:
    error = error_of("store", {"target": "s3://other-bucket/x"}, 1)
    assert error.code == "store_not_configured"
    assert "CRAFT_S3_BUCKETS" in error.message
    assert "other-bucket" in error.message
    settings.S3_SECRET_ACCESS_KEY = ""
    error = error_of("store", {"target": "s3://my-bucket/x"}, 1)
    assert (error.code, error.retryable) == ("store_not_configured", False)
    assert "AWS_ACCESS_KEY_ID" in error.message


def test_store_says_what_a_bucket_answered(s3, settings) -> None:
    settings.S3_BUCKETS = ["missing-bucket"]
    error = error_of("store", {"target": "s3://missing-bucket/x"}, 1)
    assert (error.code, error.retryable) == ("store_refused", False)
    assert "NoSuchBucket" in error.message


def test_an_s3_endpoint_is_judged_like_any_address(s3, settings) -> None:
    settings.OUTBOUND_ALLOW = []
    with pytest.raises(EgressError):
        run("store", {"target": "s3://my-bucket/x"}, 1)


@pytest.mark.parametrize(
    "target",
    [
        "s3://",
        "s3:///key",
        "s3://Bucket/key",
        "s3://a/key",
        "s3://my-bucket/../other/key",
        "s3://my-bucket/a/./b",
        "s3://my-bucket//a",
        "s3://my-bucket/a\nb",
        "s3://my-bucket@evil.example/key",
        "s3://my-bucket/" + "a" * 1000,
    ],
)
def test_a_key_is_spelled_plainly(target) -> None:
    assert error_of("store", {"target": "{{ input }}"}, target).code == "invalid_config"


def test_what_is_signed_is_what_is_sent(server, settings) -> None:
    """The signature, made again from the request as it arrived, by AWS's description of Signature Version 4."""
    settings.S3_ENDPOINT_URL = server.url_for("/").rstrip("/")
    settings.S3_ACCESS_KEY_ID, settings.S3_SECRET_ACCESS_KEY = "key", "secret"
    settings.S3_REGION, settings.S3_BUCKETS = "eu-central-1", ["my-bucket"]
    arrived: list[tuple[str, dict[str, str], bytes]] = []

    def keep(request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers}
        arrived.append((request.environ["REQUEST_URI"], headers, request.get_data()))
        return Response()

    server.expect_request("/my-bucket/a b/ü~.json").respond_with_handler(keep)
    run("store", {"target": "s3://my-bucket/a b/ü~.json"}, {"a": 1})
    [(path, headers, body)] = arrived
    assert path == "/my-bucket/" + quote("a b/ü~.json")
    assert "secret" not in json.dumps(headers)

    credential, names, signature = (
        part.partition("=")[2]
        for part in headers["authorization"].partition(" ")[2].split(", ")
    )
    scope = credential.partition("/")[2]
    digest = hashlib.sha256(body).hexdigest()
    assert headers["x-amz-content-sha256"] == digest
    signed = "".join(f"{name}:{headers[name]}\n" for name in names.split(";"))
    canonical = f"PUT\n{path}\n\n{signed}\n{names}\n{digest}"
    to_sign = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4secret"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    assert hmac.new(key, to_sign.encode(), "sha256").hexdigest() == signature
    assert "host" in names.split(";")
