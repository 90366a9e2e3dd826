"""So many at once: lines of executions, their rules, what becomes of them when processes die; priority and budgets."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from werkzeug import Response

from craft.exceptions import InvalidError
from craft.leases import claim
from tests.factories import make_person, make_workflow
from tests.workflows.test_executions import CHAIN, LATER, drain, lose, start
from tests.workflows.test_executor import CATALOGUE, Memory, chain, compiled, node
from workflows.engine.executor import Job, Run, StepRecord, utcnow
from workflows.models import Execution
from workflows.services import batches, executions
from workflows.services.workflows import update_workflow

BY_CUSTOMER = {"limit": 1, "key": "{{ input.customer }}"}


def make_line(alice, graph=LATER, **more):
    settings = {"concurrency": {**BY_CUSTOMER, **more}}
    return make_workflow(alice, settings=settings, **graph)


def queue(alice, workflow, *customers):
    return [start(alice, workflow, input={"customer": each}) for each in customers]


def states(*started):
    """`due` has a place and waits for a worker, `in line` has none."""
    found = []
    for execution in started:
        execution.refresh_from_db()
        in_line = execution.status == "pending" and execution.next_attempt_at is None
        due = execution.status == "pending" and not in_line
        found.append("in line" if in_line else "due" if due else execution.status)
    return found


def test_a_key_queues_in_order_and_others_do_not_wait_for_it(alice):
    workflow = make_line(alice)
    first, second, third, other = queue(alice, workflow, 1, 1, 1, 2)
    assert states(first, second, third, other) == ["due", "in line", "in line", "due"]
    drain()
    assert states(first, second, third, other) == ["waiting", "in line", "in line", "waiting"]  # fmt: skip
    executions.cancel_execution(first)
    assert states(first, second, third) == ["cancelled", "due", "in line"]
    executions.cancel_execution(second)
    assert states(second, third) == ["cancelled", "due"]


def test_an_end_makes_room_in_its_own_commit(alice):
    started = queue(alice, make_line(alice, CHAIN, limit=2, key=""), 1, 2, 3, 4, 5)
    assert states(*started) == ["due", "due", "in line", "in line", "in line"]
    drain()
    assert states(*started) == ["failed"] * 5  # their input has no `n`
    ended = [execution.started_at for execution in started]
    assert ended == sorted(ended)


def test_with_skip_the_newcomer_is_over_at_once(api, alice):
    workflow = make_line(alice, rule="skip")
    first, second = queue(alice, workflow, 1, 1)
    assert states(first, second) == ["due", "cancelled"]
    assert second.error["code"] == "concurrency_limit"
    answer = api(alice).post(
        f"/api/v1/workflows/{workflow.pk}/execute",
        {"input": {"customer": 1}},
        format="json",
    )
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    workflow.refresh_from_db()
    assert (workflow.usage_count, workflow.ended_count) == (3, 2)


def test_with_cancel_oldest_the_newest_runs(alice, django_capture_on_commit_callbacks):
    workflow = make_line(alice, rule="cancel_oldest")
    with django_capture_on_commit_callbacks(execute=True):
        (first,) = queue(alice, workflow, 1)
    drain()
    with django_capture_on_commit_callbacks(execute=True):
        second, third, other = queue(alice, workflow, 1, 1, 2)
    assert states(first, second, third, other) == ["cancelled", "cancelled", "due", "due"]  # fmt: skip


def test_the_sweep_cancels_the_oldest_where_the_process_that_asked_died(alice):
    workflow = make_line(alice, rule="cancel_oldest")
    first, second = queue(alice, workflow, 1, 1)
    assert states(first, second) == ["due", "in line"]
    executions.sweep()
    assert states(first, second) == ["cancelled", "due"]


def test_a_lost_process_keeps_the_place_and_gives_it_up_with_its_execution(alice):
    workflow = make_line(alice)
    first, second = queue(alice, workflow, 1, 1)
    lost = lose(first, times=1)
    assert not lost
    assert states(first, second) == ["due", "in line"]
    (given_up,) = lose(first, times=2)
    error = executions.WORKER_LOST
    executions.journal.end_unclaimed(given_up, status="failed", error=error)
    assert states(first, second) == ["failed", "due"]


def test_the_sweep_gives_places_that_nobody_gave(alice):
    workflow = make_line(alice)
    started = queue(alice, workflow, 1, 1, 1)
    update_workflow(workflow, user=None, settings={"concurrency": {"limit": 2}})
    Execution.unscoped.filter(pk=started[0].pk).update(concurrency_key="elsewhere")
    executions.sweep()
    assert states(*started) == ["due", "due", "due"]
    (late,) = queue(alice, workflow, 9)
    update_workflow(workflow, user=None, settings={"concurrency": None})
    executions.sweep()
    assert states(late) == ["due"]


def test_a_key_that_can_not_be_told_fails_the_execution_with_its_reason(alice):
    workflow = make_line(alice, key="{{ input.customer.nobody.there }}")
    (execution,) = queue(alice, workflow, 1)
    assert states(execution) == ["failed"]
    assert "concurrency" in execution.error["message"]
    workflow.refresh_from_db()
    assert (workflow.usage_count, workflow.ended_count) == (1, 1)


def test_a_synchronous_call_waits_in_line_too(alice):
    workflow = make_line(alice, CHAIN)
    queue(alice, workflow, 1)
    execution = executions.run_execution(
        workflow=workflow,
        company=alice.company,
        user=None,
        input={"customer": 1},
        trigger={"type": "api"},
        timeout_seconds=0.1,
    )
    assert states(execution) == ["in line"]


def test_a_batch_stands_in_line_each_input_in_its_own(alice):
    started = batches.start_batch(
        workflow=make_line(alice, CHAIN),
        company=alice.company,
        user=None,
        inputs=[{"customer": 1, "n": 1}, {"customer": 1, "n": 2}, {"customer": 2, "n": 3}],
    )  # fmt: skip
    assert states(*started) == ["due", "in line", "due"]
    drain()
    assert states(*started) == ["completed"] * 3


def test_who_sets_no_limit_pays_nothing_for_it(alice):
    workflow = make_workflow(alice, **CHAIN)
    with CaptureQueriesContext(connection) as queries:
        start(alice, workflow)
        drain()
    sentences = [query["sql"] for query in queries if not query["sql"].startswith("INSERT")]  # fmt: skip
    assert not any("concurrency_key\" IS" in sql or "concurrency_key\" =" in sql for sql in sentences)  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"concurrency": {}}, "settings.concurrency.limit"),
        ({"concurrency": {"limit": 0}}, "settings.concurrency.limit"),
        ({"concurrency": {"limit": 1, "rule": "x"}}, "settings.concurrency.rule"),
        ({"concurrency": {"limit": 1, "key": "{{"}}, "settings.concurrency.key"),
        ({"concurrency": {"limit": 1, "kee": ""}}, "settings.concurrency.kee"),
        ({"concurrency": 1}, "settings.concurrency"),
        ({"priority": 11}, "settings.priority"),
        ({"priority": True}, "settings.priority"),
        ({"budget": {"tokens": 0}}, "settings.budget.tokens"),
        ({"budget": {"token": 1}}, "settings.budget.token"),
        ({"retention": {"days": 0}}, "settings.retention.days"),
        ({"colour": 1}, "settings.colour"),
    ],
)
def test_faulty_settings_are_named(alice, settings, path):
    with pytest.raises(InvalidError) as caught:
        make_workflow(alice, settings=settings, **CHAIN)
    assert set(caught.value.details) == {path}


def test_settings_are_changed_key_by_key(api, alice):
    workflow = make_workflow(alice, settings={"priority": 3, "budget": {"cost": 1}}, **CHAIN)  # fmt: skip
    body = {"settings": {"priority": None, "retention": {"days": 7}}}
    answer = api(alice).patch(f"/v1/workflows/{workflow.pk}", body, format="json")
    expected = {"budget": {"cost": 1}, "retention": {"days": 7}}
    assert answer.json()["data"]["settings"] == expected


# --- Several processes at once ---


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_no_more_run_at_once_than_may_whoever_starts_and_carries_them(
    httpserver, settings
):
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    alice = make_person()
    lock, at_work, most, order = threading.Lock(), [0], [0], []
    everybody_in = threading.Event()

    def answer(request):
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
            order.append(request.json["n"])
        everybody_in.wait(0.01)
        with lock:
            at_work[0] -= 1
        return Response("{}", content_type="application/json")

    httpserver.expect_request("/").respond_with_handler(answer)
    call = {"method": "POST", "url": httpserver.url_for("/"), "json": {"n": "{{ input.n }}"}}  # fmt: skip
    workflow = make_workflow(
        alice,
        settings={"concurrency": {"limit": 2}},
        nodes=[{"id": "call", "type": "http", "config": call}],
        edges=[],
    )

    def begin(n):
        try:
            start(alice, workflow, input={"n": n})
        finally:
            connection.close()

    def work(_):
        try:
            for _ in range(40):
                executions.run_due()
                if len(order) == 12:
                    return
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(begin, range(12)))
        list(pool.map(work, range(2)))
    drain()
    assert sorted(order) == list(range(12))
    assert most[0] <= 2
    assert set(Execution.unscoped.values_list("status", flat=True)) == {"completed"}


# --- Priority ---


def test_what_is_more_urgent_is_claimed_first_and_nobody_starves(alice):
    plain = make_workflow(alice, **CHAIN)
    urgent = make_workflow(alice, settings={"priority": 5}, **CHAIN)
    old, new = start(alice, plain), start(alice, plain)
    late = start(alice, urgent)
    Execution.unscoped.filter(pk=old.pk).update(
        next_attempt_at=Now() - timedelta(minutes=6)
    )
    claimed = [claim(Execution, limit=1)[0].pk for _ in range(3)]
    assert claimed == [old.pk, late.pk, new.pk]


def test_priority_counts_in_a_line_too(alice):
    settings = {"concurrency": {"limit": 1}, "priority": 2}
    (execution,) = queue(alice, make_workflow(alice, settings=settings, **LATER), 1)
    execution.refresh_from_db()
    assert execution.next_attempt_at < timezone.now() - timedelta(seconds=100)


# --- Budgets ---


def spend(budget, *, graph=None, usage=None, seconds=0.0):
    graph = graph or chain(node("a", "add"), node("b", "outside"), node("c", "add"))
    began = utcnow() - timedelta(seconds=seconds)
    job = Job("exec_1", 1, 1, 1, {}, {}, {"id": "wf_1"}, budget=budget, started_at=began)  # fmt: skip
    earlier = StepRecord(
        "earlier", "ask", "", 0, "completed", began, completed_at=began, usage=usage
    )
    run = Run(job, graph, [earlier], Memory())
    return run, asyncio.run(run.execute())


@pytest.mark.parametrize(
    ("budget", "usage", "seconds"),
    [
        ({"tokens": 100}, {"input_tokens": 60, "output_tokens": 40}, 0),
        ({"cost": 0.5}, {"cost_micros": 500_000}, 0),
        ({"seconds": 10}, {}, 11),
    ],
)
def test_a_spent_budget_stops_the_run_before_the_next_effect(budget, usage, seconds):
    calls = CATALOGUE["outside"].calls
    before = len(calls)
    _, ending = spend(budget, usage=usage, seconds=seconds)
    assert (ending.status, ending.error["code"]) == ("failed", "budget_exceeded")
    assert ending.error["node_id"] == "b"
    assert len(calls) == before


def test_an_error_branch_does_not_get_round_a_budget():
    graph = compiled([node("b", "outside", on_error="continue")], [])
    _, ending = spend({"tokens": 1}, graph=graph, usage={"output_tokens": 1})
    assert ending.status == "failed"


def test_what_is_left_of_a_budget_may_be_spent():
    pure = chain(node("a", "add"))
    usage = {"input_tokens": 99}
    assert spend({"tokens": 1}, graph=pure, usage=usage)[1].status == "completed"
    graph = compiled([node("b", "outside")], [])
    ending = spend({"tokens": 100}, graph=graph, usage=usage)[1]
    assert ending.output == {"sent": 1}
