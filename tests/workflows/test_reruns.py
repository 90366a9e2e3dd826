"""Executions that go on from another: from what failed, from a node, on another version, with other data."""

import json

import pytest
from werkzeug import Response

from tests.factories import make_workflow
from workflows.models import Execution
from workflows.services import executions, reruns
from workflows.services.workflows import update_workflow

NODES = [
    {
        "id": "order",
        "type": "http",
        "config": {"method": "POST", "url": "{{ variables.url }}/order", "json": 1},
    },
    {
        "id": "sum",
        "type": "transform",
        "config": {"set": {"total": "{{ input.body.total }}"}},
    },
    {
        "id": "charge",
        "type": "http",
        "config": {
            "method": "POST",
            "url": "{{ variables.url }}/charge",
            "json": {"cents": "{{ input.total * 100 }}"},
        },
    },
    {
        "id": "end",
        "type": "transform",
        "config": {"set": {"paid": "{{ nodes.charge.body.paid }}"}},
    },
]
EDGES = [
    {"source": "order", "target": "sum"},
    {"source": "sum", "target": "charge"},
    {"source": "charge", "target": "end"},
]


class Shop:
    """Takes orders; charges once it `is_open`."""

    def __init__(self) -> None:
        self.is_open = False
        self.calls: list[tuple[str, str]] = []

    def answer(self, request):
        path = request.path.removeprefix("/")
        self.calls.append((path, request.headers["Idempotency-Key"]))
        if path == "order":
            body = '{"total": 21}'
        elif self.is_open:
            body = json.dumps({"paid": request.json["cents"]})
        else:
            return Response("closed", status=503)
        return Response(body, content_type="application/json")

    def called(self):
        return [path for path, _ in self.calls]


@pytest.fixture
def shop(httpserver, settings):
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    shop = Shop()
    for path in ("/order", "/charge"):
        httpserver.expect_request(path).respond_with_handler(shop.answer)
    return shop


@pytest.fixture
def workflow(alice, httpserver, shop):
    return make_workflow(
        alice,
        nodes=NODES,
        edges=EDGES,
        variables={"url": httpserver.url_for("").rstrip("/")},
    )


@pytest.fixture
def failed(alice, workflow, shop):
    execution = run(alice, workflow)
    assert (execution.status, shop.called()) == ("failed", ["order", "charge"])
    shop.is_open = True
    shop.calls.clear()
    return execution


def run(alice, workflow):
    return executions.run_execution(
        workflow=workflow,
        company=alice.company,
        user=alice.user,
        input={"a": 1},
        trigger={"type": "api"},
        timeout_seconds=10,
    )


def act(client, execution, action, **body):
    return client.post(f"/v1/executions/{execution.pk}/{action}", body, format="json")


def carried_out(answer) -> Execution:
    assert answer.status_code == 202, answer.content
    while executions.run_due():
        pass
    return Execution.unscoped.get(pk=answer.json()["data"]["id"])


def origins(execution):
    return dict(execution.steps.values_list("node_id", "origin"))


def test_from_what_failed_no_finished_effect_is_repeated(api, alice, failed, shop):
    again = carried_out(act(api(alice), failed, "rerun", **{"from": "failed"}))
    assert (again.status, again.output["paid"]) == ("completed", 2100)
    assert again.rerun_of_id == failed.pk
    assert again.trigger == {"type": "rerun", "of": failed.pk, "from": "failed"}
    assert origins(again) == {
        "order": "taken_over",
        "sum": "taken_over",
        "charge": "",
        "end": "",
    }
    assert shop.calls == [("charge", f"{again.pk}:charge:")]
    failed.refresh_from_db()
    assert failed.status == "failed"


def test_from_the_start_everything_runs_again(api, alice, failed, shop):
    again = carried_out(act(api(alice), failed, "rerun"))
    assert again.status == "completed"
    assert shop.called() == ["order", "charge"]


def test_from_a_node_what_stands_behind_it_runs_again(api, alice, failed, shop):
    done = carried_out(act(api(alice), failed, "rerun", **{"from": "failed"}))
    shop.calls.clear()
    again = carried_out(act(api(alice), done, "rerun", **{"from": "end"}))
    assert again.output["paid"] == 2100
    assert shop.called() == []
    assert again.rerun_of_id == done.pk


def test_on_the_newest_version_the_mended_node_runs(api, alice, workflow, failed, shop):
    mended = [dict(node) for node in NODES]
    mended[2] = {**mended[2], "config": {**mended[2]["config"], "json": {"cents": 7}}}
    update_workflow(workflow, user=None, nodes=mended)
    body = {"from": "failed", "version": "latest"}
    again = carried_out(act(api(alice), failed, "rerun", **body))
    assert (again.version.number, again.output["paid"]) == (2, 7)
    assert shop.called() == ["charge"]
    same = carried_out(act(api(alice), failed, "rerun", **{"from": "failed"}))
    assert (same.version.number, same.output["paid"]) == (1, 2100)


def test_a_node_that_has_changed_is_not_taken_over_but_named(
    api, alice, workflow, failed
):
    changed = [dict(node) for node in NODES]
    changed[0] = {**changed[0], "name": "Only its name"}
    changed[1] = {**changed[1], "config": {"set": {"total": 3}}}
    update_workflow(workflow, user=None, nodes=changed)
    body = {"from": "failed", "version": "latest"}
    answer = act(api(alice), failed, "rerun", **body)
    assert answer.status_code == 409
    assert set(answer.json()["error"]["details"]) == {"nodes.sum"}
    assert "version 2: sum" in answer.json()["error"]["message"]
    before = carried_out(act(api(alice), failed, "rerun", **{**body, "from": "sum"}))
    assert before.output["paid"] == 300


def test_what_is_under_way_and_what_did_not_fail_is_refused(api, alice, workflow, shop):
    shop.is_open = True
    done = run(alice, workflow)
    assert act(api(alice), done, "rerun", **{"from": "failed"}).status_code == 409
    assert act(api(alice), done, "rerun", **{"from": "nobody"}).status_code == 404
    Execution.unscoped.filter(pk=done.pk).update(status="running")
    assert act(api(alice), done, "rerun", **{"from": "sum"}).status_code == 409
    assert act(api(alice), done, "fork", node_id="sum", input=1).status_code == 409
    assert Execution.unscoped.count() == 1


def test_a_fork_with_another_input_runs_the_node_with_it(api, alice, failed, shop):
    forked = carried_out(
        act(api(alice), failed, "fork", node_id="charge", input={"total": 1})
    )
    assert (forked.status, forked.output["paid"]) == ("completed", 100)
    assert forked.trigger["type"] == "fork"
    assert shop.calls == [("charge", f"{forked.pk}:charge:")]


def test_a_fork_with_an_output_goes_on_behind_the_node(api, alice, failed, shop):
    forked = carried_out(
        act(api(alice), failed, "fork", node_id="charge", output={"body": {"paid": 5}})
    )
    assert forked.output["paid"] == 5
    assert shop.calls == []
    assert origins(forked)["charge"] == "pinned"


def test_a_fork_says_what_it_can_not_do(api, alice, failed):
    both = act(api(alice), failed, "fork", node_id="sum", input=1, output=1)
    neither = act(api(alice), failed, "fork", node_id="sum")
    assert (both.status_code, neither.status_code) == (400, 400)
    assert act(api(alice), failed, "fork", node_id="no", input=1).status_code == 404


def test_it_is_one_transaction(alice, failed, monkeypatch):
    def broken(*args, **more):
        raise RuntimeError

    monkeypatch.setattr(reruns.journal, "save_steps", broken)
    with pytest.raises(RuntimeError):
        reruns.rerun_execution(failed, user=None, start="failed", version="same")
    assert Execution.unscoped.count() == 1


def test_an_error_that_went_on_along_its_branch_is_no_failure(api, alice, shop):
    graph = {
        "nodes": [
            {"id": "bad", "type": "transform", "config": {"expression": "{{ 1/0 }}"}, "on_error": "continue"},
            {"id": "worse", "type": "transform", "config": {"expression": "{{ [][3].x }}"}},
        ],
        "edges": [{"source": "bad", "target": "worse"}],
    }  # fmt: skip
    execution = run(alice, make_workflow(alice, **graph))
    assert execution.status == "failed"
    again = carried_out(act(api(alice), execution, "rerun", **{"from": "failed"}))
    assert origins(again)["bad"] == "taken_over"
    assert again.error["node_id"] == "worse"


def test_turns_that_went_well_are_not_repeated(api, alice, shop, httpserver):
    url = httpserver.url_for("").rstrip("/")
    body = {"method": "POST", "url": "{{ variables.url }}/{{ item }}", "json": {"cents": 1}}  # fmt: skip
    graph = {
        "nodes": [
            {"id": "each", "type": "map", "config": {"items": ["order", "charge"], "at_once": 1}},
            {"id": "call", "type": "http", "config": body},
        ],
        "edges": [{"source": "each", "target": "call", "source_handle": "item"}],
    }  # fmt: skip
    execution = run(alice, make_workflow(alice, variables={"url": url}, **graph))
    assert (execution.status, shop.called()) == ("failed", ["order", "charge"])
    shop.is_open = True
    shop.calls.clear()
    again = carried_out(act(api(alice), execution, "rerun", **{"from": "failed"}))
    assert again.status == "completed"
    assert shop.calls == [("charge", f"{again.pk}:call:1")]
    assert len(again.output) == 2
    inside = act(api(alice), again, "rerun", **{"from": "call"})
    assert inside.status_code == 400
    assert "each" in inside.json()["error"]["message"]
