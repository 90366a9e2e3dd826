"""What a builder does with runs: pinned outputs, dry runs, one node by itself."""

import asyncio
from datetime import timedelta

import pytest

from tests.factories import make_workflow
from tests.workflows.calls import CATALOGUE
from workflows.engine.executor import Job, Run
from workflows.engine.graph import compile_graph
from workflows.models import Execution, Workflow

GRAPH = {
    "nodes": [
        {
            "id": "fetch",
            "type": "http",
            "config": {"method": "POST", "url": "https://nowhere.invalid/", "json": 1},
        },
        {
            "id": "big",
            "type": "condition",
            "config": {
                "conditions": [{"field": "body.total", "op": "gt", "value": 10}]
            },
        },
        {
            "id": "yes",
            "type": "transform",
            "config": {"set": {"doubled": "{{ nodes.fetch.body.total * 2 }}"}},
        },
        {"id": "no", "type": "transform", "config": {"set": {"small": True}}},
    ],
    "edges": [
        {"source": "fetch", "target": "big"},
        {"source": "big", "target": "yes", "source_handle": "true"},
        {"source": "big", "target": "no", "source_handle": "false"},
    ],
}
FETCHED = {"status": 200, "headers": {}, "body": {"total": 21}}


class Nothing:
    """A journal that must not be asked for anything but to forget."""

    async def progress(self, run, steps, *, advanced):
        raise AssertionError("nothing is at stake, so nothing is written in between")

    def recall(self, key):
        return None

    def remember(self, key, value, seconds):
        raise AssertionError("what was made up must not be remembered")


def walk(definition, *, input=None, **job):
    graph = compile_graph({"variables": {}, **definition}, CATALOGUE)
    made = Job("exec_1", 1, 1, input, {"input": input}, {}, {"id": "wf_1"}, **job)
    run = Run(made, graph, [], Nothing())
    ending = asyncio.run(asyncio.wait_for(run.execute(), 5))
    return {step.node_id: step for step in run.unsaved}, ending


# --- In the engine ---


def test_a_pinned_node_does_not_run_and_the_rest_goes_on_from_its_pin():
    steps, ending = walk(GRAPH, pins={"fetch": FETCHED})
    assert ending.status == "completed"
    assert ending.output["doubled"] == 42
    assert (steps["fetch"].status, steps["fetch"].origin) == ("completed", "pinned")
    assert {steps[name].origin for name in ("big", "yes", "no")} == {""}


def test_a_pin_of_a_deciding_node_says_where_it_leaves():
    pins = {"fetch": FETCHED, "big": {"handle": "false", "output": FETCHED}}
    steps, ending = walk(GRAPH, pins=pins)
    assert ending.output["small"] is True
    assert steps["yes"].status == "skipped"


def test_a_dry_run_mocks_effects_and_says_so():
    steps, ending = walk(GRAPH, is_dry=True)
    assert steps["fetch"].origin == "mocked"
    assert steps["fetch"].output == CATALOGUE["http"].example["output"]
    assert ending.output["small"] is True


def test_a_dry_run_remembers_nothing_of_what_it_made_up():
    cached = {**GRAPH["nodes"][0], "cache": {"ttl_seconds": 60}}
    _, ending = walk({"nodes": [cached], "edges": []}, is_dry=True)
    assert ending.status == "completed"


def test_nobody_waits_in_a_dry_run():
    wait = {"id": "wait", "type": "delay", "config": {"seconds": 86_400}}
    steps, ending = walk({"nodes": [wait], "edges": []}, is_dry=True, input={"a": 1})
    assert (ending.status, ending.output) == ("completed", {"a": 1})
    took = steps["wait"].completed_at - steps["wait"].started_at
    assert took < timedelta(seconds=1)


def test_of_all_nodes_only_one_runs():
    steps, ending = walk(GRAPH, only="yes", input={"a": 1}, pins={"fetch": FETCHED})
    assert list(steps) == ["yes"]
    assert ending.output == {"a": 1, "doubled": 42}


def test_a_node_of_several_edges_is_given_its_input_by_source():
    graph = {
        "nodes": [
            {"id": "a", "type": "input"},
            {"id": "b", "type": "input"},
            {"id": "both", "type": "merge", "config": {"mode": "append"}},
        ],
        "edges": [
            {"source": "a", "target": "both"},
            {"source": "b", "target": "both"},
        ],
    }
    _, ending = walk(graph, only="both", input={"a": [1], "b": [2]})
    assert ending.output == [1, 2]


def test_in_a_dry_run_nobody_is_asked_and_nothing_is_waited_for():
    kinds = ("approval", "wait")
    nodes = [
        {"id": kind, "type": kind, "config": CATALOGUE[kind].example["config"]}
        for kind in kinds
    ]
    given = CATALOGUE["approval"].example["input"]
    steps, ending = walk({"nodes": nodes, "edges": []}, is_dry=True, input=given)
    assert ending.error is None
    assert {kind: steps[kind].origin for kind in kinds} == dict.fromkeys(
        kinds, "mocked"
    )
    assert steps["approval"].handles == ["approved"]
    assert not any(steps[kind].opening for kind in kinds)


def test_a_map_runs_alone_with_what_is_in_its_turns_and_is_pinned_as_a_whole():
    graph = {
        "nodes": [
            {"id": "each", "type": "map", "config": {"items": "{{ input }}"}},
            {"id": "add", "type": "transform", "config": {"expression": "{{ item + 1 }}"}},
            {"id": "sum", "type": "transform", "config": {"expression": "{{ input | sum }}"}},
        ],
        "edges": [
            {"source": "each", "target": "add", "source_handle": "item"},
            {"source": "each", "target": "sum", "source_handle": "done"},
        ],
    }  # fmt: skip
    assert walk(graph, only="each", input=[1, 2])[1].output == [2, 3]
    steps, ending = walk(graph, pins={"each": [4, 5]})
    assert ending.output == 9
    assert set(steps) == {"each", "sum"}


# --- By the API ---


@pytest.fixture
def workflow(alice):
    return make_workflow(alice, **GRAPH)


def test_pins_are_kept_with_the_execution_and_shown(api, alice, workflow):
    body = {"pins": {"fetch": FETCHED}, "mode": "sync"}
    done = api(alice).post(
        f"/api/v1/workflows/{workflow.pk}/execute", body, format="json"
    )
    assert done.status_code == 200
    assert done.json()["output"]["doubled"] == 42
    shown = api(alice).get(f"/api/v1/executions/{done.json()['id']}").json()
    assert shown["execution"]["pins"] == {"fetch": FETCHED}
    assert [step["origin"] for step in shown["execution"]["steps"]] == [
        "pinned",
        "",
        "",
        "",
    ]


def test_a_worker_sees_the_pins_too(api, alice, workflow):
    body = {"pins": {"fetch": FETCHED}, "dry_run": True, "mode": "async"}
    started = api(alice).post(f"/v1/workflows/{workflow.pk}/execute", body, "json")
    execution = Execution.unscoped.get(pk=started.json()["data"]["id"])
    assert (execution.pins, execution.is_dry) == ({"fetch": FETCHED}, True)


def test_pins_that_fit_no_node_are_named(api, alice, workflow):
    body = {"pins": {"fetsch": 1, "big": {"handle": "maybe"}, "yes": 1}}
    answer = api(alice).post(f"/v1/workflows/{workflow.pk}/execute", body, "json")
    assert answer.status_code == 400
    details = answer.json()["error"]["details"]
    assert set(details) == {"pins.fetsch", "pins.big"}
    assert "true, false" in details["pins.big"]
    assert not Execution.unscoped.exists()


def run_node(client, workflow, node_id, **body):
    path = f"/api/v1/workflows/{workflow.pk}/nodes/{node_id}/run"
    return client.post(path, body, format="json")


def test_one_node_runs_by_itself_with_what_the_others_put_out(api, alice, workflow):
    answer = run_node(
        api(alice), workflow, "yes", input={"a": 1}, nodes={"fetch": FETCHED}
    )
    assert answer.status_code == 200
    done = answer.json()
    assert done["output"] == {"a": 1, "doubled": 42}
    assert done["trigger"] == {"type": "node", "node_id": "yes"}
    assert [step["node_id"] for step in done["steps"]] == ["yes"]
    workflow.refresh_from_db()
    assert workflow.usage_count == 1


def test_one_effect_runs_dry(api, alice, workflow):
    done = run_node(api(alice), workflow, "fetch", dry_run=True).json()
    assert (done["status"], done["dry_run"]) == ("completed", True)
    assert done["output"] == CATALOGUE["http"].example["output"]
    assert done["steps"][0]["origin"] == "mocked"


def test_one_nodes_failure_is_the_answer(api, alice, workflow):
    done = run_node(api(alice), workflow, "yes", input={}).json()
    assert done["status"] == "failed"
    assert done["error"]["node_id"] == "yes"


def test_a_node_that_is_not_there_is_not_found(api, alice, workflow):
    assert run_node(api(alice), workflow, "other").status_code == 404
    answer = run_node(api(alice), workflow, "yes", nodes={"other": 1})
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {"nodes.other"}
    assert Workflow.unscoped.get(pk=workflow.pk).usage_count == 0
