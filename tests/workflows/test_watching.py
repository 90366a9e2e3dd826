"""The events of an execution, read off its rows."""

import gc
import json

import pytest

from tests.factories import make_workflow
from tests.workflows.test_executions import CHAIN, LATER, drain, lose, start
from workflows.engine import journal
from workflows.engine.executor import StepRecord, utcnow
from workflows.engine.journal import Write
from workflows.models import Execution
from workflows.services import executions, watching
from workflows.services.watching import Watcher

CHOICE = {
    "nodes": [
        {
            "id": "if",
            "type": "condition",
            "config": {"conditions": [{"field": "n", "op": "gt", "value": 10}]},
        },
        {"id": "yes", "type": "transform", "config": {"set": {"big": True}}},
        {"id": "no", "type": "transform", "config": {"expression": "{{ 1/0 }}"}},
    ],
    "edges": [
        {"source": "if", "target": "yes", "source_handle": "true"},
        {"source": "if", "target": "no", "source_handle": "false"},
    ],
}


def seen(execution, last=0):
    return [
        (event.number, event.type, event.data.get("node_id"))
        for event in Watcher(execution, last=last).look()
    ]


def watch(client, execution, **headers):
    answer = client.get(f"/v1/executions/{execution.pk}/events", headers=headers)
    assert answer.status_code == 200
    pieces = answer.getvalue().decode().split("\n\n")
    assert pieces.pop(0) == "retry: 1000"
    return [dict(line.split(": ", 1) for line in piece.split("\n")) for piece in pieces if piece]  # fmt: skip


def test_each_step_has_a_beginning_and_an_end(alice):
    execution = start(alice, make_workflow(alice, **CHOICE))
    assert seen(execution) == []
    drain()
    assert seen(execution) == [
        (1, "execution.started", None),
        (2, "step.started", "if"),
        (3, "step.completed", "if"),
        (5, "step.skipped", "yes"),
        (6, "step.started", "no"),
        (7, "step.failed", "no"),
        (8, "execution.failed", None),
    ]


def test_what_was_seen_is_not_told_again(api, alice):
    execution = start(alice, make_workflow(alice, **CHAIN))
    drain()
    everything = watch(api(alice), execution)
    assert [event["event"] for event in everything][-1] == "execution.completed"
    assert json.loads(everything[1]["data"])["node_id"] == "start"
    last = everything[3]["id"]
    assert watch(api(alice), execution, last_event_id=last) == everything[4:]
    assert watch(api(alice), execution, last_event_id="99999") == []
    answer = api(alice).get(f"/v1/executions/{execution.pk}/events", headers={"last-event-id": "x"})  # fmt: skip
    assert answer.status_code == 400
    assert "Last-Event-ID" in answer.json()["error"]["details"]


def test_live_and_afterwards_are_the_same_whatever_order_branches_end_in(alice):
    execution = start(alice, make_workflow(alice, **LATER))
    (claimed,) = executions.slices.claim_executions(limit=1)
    watcher, live = Watcher(claimed), []

    def write(*steps):
        assert journal.commit([Write(claimed, claimed.lease_epoch, list(steps))])[0]
        live.extend(watcher.look())

    live.extend(watcher.look())
    slow = StepRecord("slow", "http", "", 0, "running", utcnow(), begun=2)
    quick = StepRecord("quick", "http", "", 1, "running", utcnow(), begun=3)
    write(slow)
    write(quick)
    quick.status, quick.completed_at, quick.ended = "completed", utcnow(), 4
    write(quick)
    slow.status, slow.completed_at, slow.ended = "failed", utcnow(), 7
    write(slow)
    executions.slices._keep(
        [Write(claimed, claimed.lease_epoch, ending=executions.slices.broken())]
    )
    live.extend(watcher.look())
    assert watcher.is_over
    assert live == Watcher(execution).look()
    assert [event.number for event in live] == [1, 2, 3, 4, 7, 8]


def test_a_step_that_was_lost_ends_before_its_execution_does(alice):
    execution = start(alice, make_workflow(alice, **LATER))
    drain()
    executions.cancel_execution(execution)
    assert seen(execution)[1:] == [
        (2, "step.started", "wait"),
        (3, "step.cancelled", "wait"),
        (4, "execution.cancelled", None),
    ]


def test_one_that_never_began_only_ends(alice):
    execution = start(alice, make_workflow(alice, **LATER))
    executions.cancel_execution(execution)
    assert seen(execution) == [(2, "execution.cancelled", None)]


def test_numbers_go_on_where_a_lost_process_was(alice):
    execution = start(alice, make_workflow(alice, **LATER))
    drain()
    before = seen(execution)
    Execution.unscoped.filter(pk=execution.pk).update(next_attempt_at=utcnow())
    execution.steps.update(wake_at=utcnow(), started_at="2020-01-01T00:00:00Z")
    lose(execution, times=1)
    drain()
    assert before == [(1, "execution.started", None), (2, "step.started", "wait")]
    assert seen(execution, last=2) == [
        (3, "step.completed", "wait"),
        (4, "step.started", "end"),
        (5, "step.completed", "end"),
        (6, "execution.completed", None),
    ]


def test_a_watcher_that_goes_gives_up_its_place(api, alice, settings):
    settings.EVENT_STREAM_SECONDS = 60
    execution = start(alice, make_workflow(alice, **LATER))
    path = f"/api/v1/executions/{execution.pk}/events"
    client = api(alice)
    answers = [client.get(path) for _ in range(watching.MOST_OF_A_COMPANY + 1)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1]["Retry-After"] == "5"
    answers.clear()
    gc.collect()  # the test client ties a knot round each answer
    assert client.get(path).status_code == 200


def test_there_is_room_for_so_many_and_no_more(api, alice, monkeypatch):
    monkeypatch.setattr(watching, "MOST_WATCHERS", 0)
    execution = start(alice, make_workflow(alice, **LATER))
    answer = api(alice).get(f"/v1/executions/{execution.pk}/events")
    assert answer.status_code == 503


@pytest.mark.parametrize("looks", [1, 3])
def test_a_look_costs_two_queries(alice, django_assert_num_queries, looks):
    execution = start(alice, make_workflow(alice, **CHAIN))
    drain()
    watcher = Watcher(execution)
    with django_assert_num_queries(2 * looks):
        for _ in range(looks):
            watcher.look()
