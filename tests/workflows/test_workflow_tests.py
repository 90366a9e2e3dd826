"""Tests that are kept with a workflow."""

import pytest

from tests.factories import make_workflow
from workflows.models import Execution, SeenKey, Step, WorkflowTest

GRAPH = {
    "nodes": [
        {"id": "start", "type": "input", "config": {"schema": {"type": "object", "required": ["n"]}}},
        {"id": "ask", "type": "http", "config": {"url": "https://prices.example/{{ input.n }}"}},
        {"id": "later", "type": "delay", "config": {"seconds": 3600}},
        {"id": "end", "type": "transform", "config": {"set": {"total": "{{ nodes.ask.body.price * nodes.start.n }}"}}},
    ],
    "edges": [
        {"source": "start", "target": "ask"},
        {"source": "ask", "target": "later"},
        {"source": "later", "target": "end"},
    ],
}  # fmt: skip
PRICED = {"ask": {"body": {"price": 5}}}
TEST = {
    "name": "Three",
    "input": {"n": 3},
    "pins": PRICED,
    "expected": {"output": {"body": {"price": 5}, "total": 15}},
}


@pytest.fixture
def caller(api, alice):
    return api(alice)


@pytest.fixture
def path(alice):
    return f"/v1/workflows/{make_workflow(alice, status='draft', **GRAPH).pk}"


def add(caller, path, **fields):
    answer = caller.post(f"{path}/tests", {**TEST, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()["data"]


def run(caller, path, **body):
    answer = caller.post(f"{path}/tests/run", body)
    assert answer.status_code == 200, answer.content
    return answer.json()["data"]


def result(caller, path, **fields):
    made = add(caller, path, **fields)
    (found,) = run(caller, path, test_ids=[made["id"]])["results"]
    return found


def test_a_test_is_kept_and_shown_as_it_was_given(caller, path):
    made = add(caller, path)
    assert {name: made[name] for name in TEST} == TEST
    assert caller.get(f"{path}/tests/{made['id']}").json()["data"] == made
    changed = {"expected": {"error_code": "invalid_input"}}
    shown = caller.patch(f"{path}/tests/{made['id']}", changed).json()["data"]
    assert shown["expected"] == {"status": "failed", "error_code": "invalid_input"}
    assert shown["input"] == {"n": 3}


def test_tests_run_without_rows_without_effects_and_without_waiting(caller, path):
    add(caller, path)
    found = run(caller, path)
    assert (found["passed"], found["total"], found["failed"]) == (True, 1, 0)
    assert found["version"] == 1
    (one,) = found["results"]
    assert (one["status"], one["mocked"], one["differences"]) == ("completed", [], [])
    assert one["duration_ms"] < 5_000
    assert not Execution.unscoped.exists()
    assert not Step.objects.exists()


def test_an_effect_without_a_pin_gives_its_types_example(caller, alice):
    nodes = [{"id": "ask", "type": "http", "config": {"url": "https://a.example/"}}]
    path = f"/v1/workflows/{make_workflow(alice, nodes=nodes, edges=[]).pk}"
    found = result(caller, path, pins={}, expected={})
    assert found["mocked"] == ["ask"]
    assert found["output"]["status"] == 201


@pytest.mark.parametrize(
    ("fields", "differences"),
    [
        (
            {"expected": {"output": {"body": {"price": 5}, "total": 16}}},
            [{"path": "output.total", "expected": 16, "actual": 15}],
        ),
        (
            {"expected": {"output": {"total": 15, "more": 1}}},
            [
                {"path": "output.more", "expected": 1},
                {"path": "output.body", "actual": {"price": 5}},
            ],
        ),
        (
            {"input": {}},
            [{"path": "status", "expected": "completed", "actual": "failed"}],
        ),
        ({"input": {}, "expected": {"error_code": "invalid_input"}}, []),
        (
            {"input": {}, "expected": {"error_code": "timeout"}},
            [{"path": "error_code", "expected": "timeout", "actual": "invalid_input"}],
        ),
        (
            {"expected": {"status": "failed"}},
            [{"path": "status", "expected": "failed", "actual": "completed"}],
        ),
        (
            {"expected": {"conditions": [{"field": "total", "op": "gte", "value": 15}]}},
            [],
        ),
        ({"expected": {}}, []),
    ],
)  # fmt: skip
def test_a_result_says_what_differs(caller, path, fields, differences):
    found = result(caller, path, **fields)
    assert found["differences"] == differences
    assert found["passed"] is not bool(differences)


def test_a_condition_that_does_not_hold_is_a_difference(caller, path):
    wanted = [{"field": "total", "op": "lt", "value": 15}]
    found = result(caller, path, expected={"conditions": wanted})
    (difference,) = found["differences"]
    assert (difference["path"], difference["expected"]) == ("conditions", wanted)


def test_a_test_leaves_no_memory_behind(caller, alice):
    config = {"by": ["id"], "remember_seconds": 60}
    nodes = [{"id": "new", "type": "dedupe", "config": config}]
    path = f"/v1/workflows/{make_workflow(alice, nodes=nodes, edges=[]).pk}"
    items = [{"id": 1}, {"id": 1}]
    found = result(caller, path, input=items, pins={}, expected={"output": items[:1]})
    assert found["passed"] is True
    assert not SeenKey.unscoped.exists()


def test_a_pin_takes_the_handle_that_it_names(caller, alice):
    nodes = [
        {"id": "check", "type": "condition", "config": {"conditions": [{"field": "n", "op": "gt", "value": 0}]}},
        {"id": "yes", "type": "transform", "config": {"set": {"way": "yes"}}},
        {"id": "no", "type": "transform", "config": {"set": {"way": "no"}}},
    ]  # fmt: skip
    edges = [
        {"source": "check", "target": "yes", "source_handle": "true"},
        {"source": "check", "target": "no", "source_handle": "false"},
    ]
    path = f"/v1/workflows/{make_workflow(alice, nodes=nodes, edges=edges).pk}"
    pins = {"check": {"handle": "false", "output": {}}}
    found = result(caller, path, pins=pins, expected={"output": {"way": "no"}})
    assert found["differences"] == []


def test_tests_run_on_the_version_that_is_asked_for(caller, path):
    caller.patch(path, {"status": "published"})
    add(caller, path)
    nodes = [*GRAPH["nodes"][:3], {**GRAPH["nodes"][3], "config": {}}]
    caller.patch(path, {"nodes": nodes})
    assert run(caller, path)["passed"] is False
    assert run(caller, path, version="published")["passed"] is True
    assert run(caller, path, version=1)["version"] == 1
    assert run(caller, path, version=2)["failed"] == 1
    assert caller.post(f"{path}/tests/run", {"version": 7}).status_code == 404


# --- Before publishing ---


def test_what_fails_its_tests_is_not_published_unless_forced(caller, path):
    made = add(caller, path, expected={"output": 1})
    for answer in (
        caller.post(f"{path}/publish", {}),
        caller.patch(path, {"status": "published"}),
        caller.put(path, {"name": "New", "status": "published"}),
    ):
        assert answer.status_code == 409
        error = answer.json()["error"]
        assert set(error["details"]) == {f"tests.{made['id']}"}
        assert "Three" in error["message"]
        assert "expected 1" in error["details"][f"tests.{made['id']}"]
    shown = caller.get(path).json()["data"]
    assert (shown["status"], shown["name"]) != ("published", "New")
    answer = caller.post(f"{path}/publish", {"force": True})
    assert answer.json()["data"]["status"] == "published"
    caller.patch(path, {"description": "The status is not touched."})


def test_what_passes_its_tests_is_published(caller, path):
    add(caller, path)
    assert caller.post(f"{path}/publish", {}).status_code == 200
    nodes = [{**node, "name": "x"} for node in GRAPH["nodes"]]
    answer = caller.patch(path, {"nodes": nodes, "status": "published"})
    assert answer.json()["data"]["published_version"] == 2


def test_a_change_is_tested_before_it_is_made(caller, path):
    add(caller, path)
    answer = caller.patch(path, {"nodes": [], "edges": [], "status": "published"})
    assert answer.status_code == 409
    details = "".join(answer.json()["error"]["details"].values())
    assert "pins nodes that are gone: ask" in details
    assert caller.get(path).json()["data"]["version"] == 1


# --- What is refused ---


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"pins": {"ghost": 1}}, "pins.ghost"),
        ({"pins": [1]}, "pins"),
        ({"expected": {"outputs": 1}}, "expected.outputs"),
        ({"expected": {"status": "cancelled"}}, "expected.status"),
        ({"expected": {"conditions": []}}, "expected.conditions"),
        ({"expected": {"conditions": [{"field": "a", "op": "near"}]}}, "expected.conditions.0.op"),
        ({"name": ""}, "name"),
    ],
)  # fmt: skip
def test_a_test_that_can_not_be_run_is_refused(caller, path, body, field):
    answer = caller.post(f"{path}/tests", {**TEST, **body})
    assert answer.status_code == 400, answer.content
    assert field in answer.json()["error"]["details"]
    assert not WorkflowTest.unscoped.exists()


def test_tests_are_found_below_their_own_workflow_only(caller, path, alice, api, charlie):  # fmt: skip
    made = add(caller, path)
    other = f"/v1/workflows/{make_workflow(alice, **GRAPH).pk}"
    assert caller.get(f"{other}/tests/{made['id']}").status_code == 404
    assert caller.delete(f"{other}/tests/{made['id']}").status_code == 404
    assert caller.get(f"{other}/tests").json()["data"] == []
    answer = caller.post(f"{other}/tests/run", {"test_ids": [made["id"]]})
    assert set(answer.json()["error"]["details"]) == {"test_ids"}
    for answer in (api(charlie).get(f"{path}/tests"), api(charlie).post(f"{path}/tests", TEST)):  # fmt: skip
        assert answer.status_code == 404


def test_a_workflow_has_so_many_tests(caller, path, monkeypatch):
    monkeypatch.setattr("workflows.services.tests.MOST_TESTS", 1)
    add(caller, path)
    assert caller.post(f"{path}/tests", TEST).status_code == 409
