"""What is too large for its row stands apart, and nobody notices but lists."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import make_person, make_workflow
from tests.workflows.test_executions import drain, start
from workflows.engine import payloads
from workflows.engine.payloads import LIMIT
from workflows.models import Execution, Payload, Step
from workflows.services import reruns

GRAPH = {
    "nodes": [
        {"id": "start", "type": "input"},
        {"id": "wait", "type": "delay", "config": {"seconds": "{{ input.seconds }}"}},
        {"id": "end", "type": "transform", "config": {"set": {"more": "{{ input.text }}", "n": 1}}},
    ],
    "edges": [
        {"source": "start", "target": "wait"},
        {"source": "wait", "target": "end"},
    ],
}  # fmt: skip
LARGE = {"text": "ä" * LIMIT, "seconds": 0}
SMALL = {"text": "small", "seconds": 0}


@pytest.fixture
def workflow(alice):
    return make_workflow(alice, **GRAPH)


def whole(client, execution):
    return client.get(f"/v1/executions/{execution.pk}").json()["data"]


def stored(model, **where):
    """What stands in the rows themselves."""
    rows = model.unscoped if model is Execution else model.objects
    return rows.filter(**where).values_list("input", "output", "apart").get()


def test_large_values_are_not_in_the_rows_but_in_the_answer(api, alice, workflow):
    execution = start(alice, workflow, input=LARGE)
    assert stored(Execution, pk=execution.pk) == (None, None, "input")
    drain()
    assert stored(Execution, pk=execution.pk) == (None, None, "input,output")
    assert stored(Step, execution=execution, node_id="end") == (None, None, "input,output")  # fmt: skip
    shown = whole(api(alice), execution)
    assert shown["status"] == "completed"
    assert shown["input"] == LARGE
    assert shown["output"] == {**LARGE, "more": LARGE["text"], "n": 1}
    assert shown["apart"] == ["input", "output"]
    assert [step["output"]["text"] == LARGE["text"] for step in shown["steps"]] == [True] * 3  # fmt: skip


def test_small_values_stay_and_cost_no_query(api, alice, workflow):
    execution = start(alice, workflow, input=SMALL)
    drain()
    assert stored(Execution, pk=execution.pk)[2] == ""
    assert not Payload.objects.exists()
    with CaptureQueriesContext(connection) as queries:
        assert whole(api(alice), execution)["apart"] == []
    assert not any("payload" in query["sql"] for query in queries)


def test_lists_never_read_them(api, alice, workflow):
    execution = start(alice, workflow, input=LARGE)
    with CaptureQueriesContext(connection) as queries:
        (row,) = api(alice).get("/v1/executions").json()["data"]
    assert (row["id"], row["input"], row["apart"]) == (execution.pk, None, ["input"])
    assert not any("payload" in query["sql"] for query in queries)


def test_a_synchronous_answer_holds_them(api, alice, workflow):
    path = f"/api/v1/workflows/{workflow.pk}/execute"
    done = api(alice).post(path, {"input": LARGE}, format="json").json()
    assert done["output"]["more"] == LARGE["text"]
    assert done["steps"][-1]["output"]["more"] == LARGE["text"]
    assert stored(Execution, pk=done["id"]) == (None, None, "input,output")


def test_another_process_goes_on_with_them(api, alice, workflow):
    execution = start(alice, workflow, input={**LARGE, "seconds": 3600})
    drain()
    Step.objects.update(started_at="2020-01-01T00:00:00Z")
    Step.objects.filter(node_id="wait").update(wake_at="2020-01-01T00:00:00Z")
    Execution.unscoped.update(next_attempt_at="2020-01-01T00:00:00Z")
    drain()
    assert whole(api(alice), execution)["output"]["more"] == LARGE["text"]


def test_what_goes_on_from_another_takes_them_along(api, alice, workflow):
    execution = start(alice, workflow, input=LARGE)
    drain()
    execution.refresh_from_db()
    again = reruns.rerun_execution(execution, user=None, start="end", version="same")
    execution.delete()
    drain()
    shown = whole(api(alice), again)
    assert (shown["status"], shown["input"]) == ("completed", LARGE)
    assert shown["output"]["more"] == LARGE["text"]
    assert shown["steps"][0]["output"] == LARGE


def test_they_go_with_their_execution(alice, workflow):
    execution = start(alice, workflow, input=LARGE)
    drain()
    assert Payload.objects.filter(execution=execution).count() == 8
    execution.delete()
    assert not Payload.objects.exists()


def test_a_callers_own_words_are_not_taken_for_ours(api, alice, workflow):
    odd = {**SMALL, "apart": "input", "text": {"$payload": 1}}
    execution = start(alice, workflow, input=odd)
    assert whole(api(alice), execution)["input"] == odd


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_another_workflow_as_a_step_gets_and_gives_them_in_its_line():
    alice = make_person()
    inner = make_workflow(alice, settings={"concurrency": {"limit": 1}}, **GRAPH)
    config = {"workflow": inner.pk, "input": "{{ input }}"}
    node = {"id": "sub", "type": "subworkflow", "config": config}
    outer = make_workflow(alice, nodes=[node], edges=[])
    started = [start(alice, outer, input=LARGE) for _ in range(2)]
    drain()
    for execution in started:
        execution.refresh_from_db()
        assert execution.error is None
        payloads.load([execution])
        assert execution.output["more"] == LARGE["text"]
        child = Execution.unscoped.get(parent=execution)
        assert stored(Execution, pk=child.pk) == (None, None, "input,output")
        assert child.concurrency_key == ""
