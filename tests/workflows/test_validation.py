"""What an editor asks at every keystroke, and the JSON Schema that it may ask instead."""

import json
import time

import jsonschema_rs
import pytest

from tests.workflows.test_workflows_api import DOCUMENT_000, GRAPH, PIPELINE
from workflows.engine.journal import CATALOGUE
from workflows.library import templates
from workflows.models import Workflow
from workflows.views.validation import whole_schema

FAULTY = {
    "name": "Faulty",
    "nodes": [
        {"id": "a", "type": "nonsense"},
        {"id": "b", "type": "http", "config": {"method": "GET"}},
        {"id": "b", "type": "transform", "config": {"set": {"x": "{{ input. }}"}}},
    ],
    "edges": [{"source": "a", "target": "ghost"}],
}


@pytest.fixture
def caller(api, alice):
    return api(alice)


def judged(caller, body):
    answer = caller.post("/v1/workflows/validate", body, format="json")
    assert answer.status_code == 200, answer.content
    found = answer.json()["data"]
    return (
        found["valid"],
        {fault["path"]: fault["message"] for fault in found["faults"]},
        {warning["path"]: warning["message"] for warning in found["warnings"]},
    )


@pytest.mark.parametrize(
    "body",
    [
        GRAPH,
        PIPELINE,
        DOCUMENT_000,
        FAULTY,
        {"name": "Empty", "nodes": [], "edges": []},
        {"nodes": []},
        {"name": "x", "steps": [], "nodes": []},
        {"name": "x", "nodez": []},
        {"name": "x", "nodes": "none", "edges": [5]},
        {"name": "x", "variables": [], "nodes": [{"id": "a"}]},
        {"name": "x", "output": "s3://a/", "nodes": []},
        {"name": "x", "status": "active"},
        {"name": "x", "trigger": {"type": "cron", "schedule": "nope"}},
        {"name": "x", "steps": [{"type": "nonsense"}, 5]},
        {"name": "x", "connections": [{"source": "a", "target": "b"}]},
        {"name": "x", "edges": [], "connections": [{}]},
        {"name": "x", "error_workflow": "wf_none"},
    ],
)
def test_what_is_valid_is_what_would_be_created(caller, body):
    is_valid, faults, _ = judged(caller, body)
    assert not Workflow.unscoped.exists(), "nothing is saved"
    answer = caller.post("/v1/workflows", body, format="json")
    assert is_valid is (answer.status_code in {200, 201})
    assert is_valid is not bool(faults)
    if not is_valid:
        assert set(answer.json()["error"]["details"]) <= set(faults)


def test_all_faults_are_told_at_once_those_of_form_and_those_of_the_graph(caller):
    _, faults, _ = judged(caller, {**FAULTY, "name": "", "colour": "green"})
    assert {"name", "colour", "nodes.0.type", "nodes.2.id", "edges.0.target"} <= set(faults)  # fmt: skip
    assert "http" not in faults["nodes.0.type"]


@pytest.mark.parametrize("body", [[], "text", 5, None, [{}]])
def test_what_is_no_object_is_not_valid(caller, body):
    assert judged(caller, body)[0] is False


def test_what_is_most_likely_not_meant_is_a_warning(caller):
    body = {
        "name": "Odd",
        "nodes": [
            {"id": "check", "type": "condition", "config": {"conditions": [{"field": "n", "op": "gt", "value": "{{ variables.limit }}"}]}},
            {"id": "call", "type": "http", "config": {"method": "POST", "url": "https://a.example/{{ variables.place }}"}},
            {"id": "off", "type": "transform", "disabled": True},
        ],
        "edges": [{"source": "check", "target": "call", "source_handle": "true"}, {"source": "call", "target": "off"}],
        "variables": {"limit": 5, "unused": 1},
    }  # fmt: skip
    is_valid, _, warnings = judged(caller, body)
    assert is_valid is True
    assert set(warnings) == {"nodes.0", "nodes.1.config", "nodes.1", "nodes.2.disabled", "variables.unused"}  # fmt: skip
    assert "'false'" in warnings["nodes.0"]
    assert "variables.place" in warnings["nodes.1.config"]
    assert judged(caller, GRAPH)[2] == {}


def test_a_large_graph_is_judged_quickly_and_its_faults_have_an_end(caller):
    nodes = [{"id": f"n{place}", "type": "nonsense"} for place in range(2_000)]
    began = time.perf_counter()
    is_valid, faults, _ = judged(caller, {"name": "Large", "nodes": nodes})
    assert time.perf_counter() - began < 3
    assert (is_valid, len(faults)) == (False, 1_000)


def test_a_viewer_may_ask(api, vera):
    assert judged(api(vera, "read"), GRAPH)[0] is True


# --- The JSON Schema, by a validator that has nothing to do with us ---


@pytest.fixture(scope="module")
def validator():
    schema = json.loads(json.dumps(whole_schema()))
    jsonschema_rs.meta.validate(schema)
    return jsonschema_rs.validator_for(schema)


def holding(node):
    return {"name": "One", "nodes": [{"id": "n", **node}], "edges": []}


def test_the_schema_is_published(caller):
    answer = caller.get("/v1/workflows/schema")
    assert answer.json()["data"] == whole_schema()
    assert caller.get("/api/v1/workflows/schema").json() == whole_schema()


def test_the_schema_knows_every_type_of_node(validator):
    for kind, node in CATALOGUE.items():
        config = node.example["config"]
        assert validator.is_valid(holding({"type": kind, "config": config})), kind
        wrong = {"type": kind, "config": {**config, "colour_of_hope": 1}}
        assert not validator.is_valid(holding(wrong)), kind
        step = {"name": "One", "steps": [{"type": kind, "config": config}]}
        assert validator.is_valid(step), kind


def test_the_schema_accepts_all_templates_and_examples(validator):
    for template in templates().values():
        body = {
            "name": template.name,
            "nodes": template.nodes,
            "edges": template.edges,
            "variables": template.defaults,
        }
        assert validator.is_valid(body), template.id
    for body in (GRAPH, PIPELINE, DOCUMENT_000):
        assert validator.is_valid(body)


def test_what_was_read_may_be_sent_back(validator, caller):
    made = caller.post("/v1/workflows", GRAPH).json()["data"]
    assert validator.is_valid(made)


@pytest.mark.parametrize(
    "body",
    [
        FAULTY,
        {},
        {"name": ""},
        {"name": "x", "nodez": []},
        {"name": "x", "nodes": {}},
        {"name": "x", "nodes": [5]},
        {"name": "x", "edges": [{"source": "a"}]},
        {"name": "x", "edges": [{"source": "a", "from": "a", "target": "b"}]},
        {"name": "x", "steps": [{"type": "nonsense"}]},
        {"name": "x", "steps": [{"type": "transform", "colour": 1}]},
        holding({"type": "transform", "retry": {"max_attempts": "many"}}),
        holding({"type": "http"}),
        holding({"type": "http", "config": {"url": 5}}),
        holding({"type": "limit", "config": {"count": -1}}),
        holding({"type": "transform", "id": "1a"}),
        holding({"type": "transform", "on_error": "hope"}),
    ],
)
def test_the_schema_refuses_what_is_faulty(validator, body):
    assert not validator.is_valid(body)


def test_an_expression_passes_wherever_a_value_does(validator):
    for count in (5, "{{ input.n }}"):
        assert validator.is_valid(holding({"type": "limit", "config": {"count": count}}))  # fmt: skip
    assert not validator.is_valid(holding({"type": "limit", "config": {"count": "5"}}))
