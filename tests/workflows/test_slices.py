"""The engine's threads on a real database: the deadline of a synchronous call, cancels in flight, many callers at once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from werkzeug import Response

from tests.factories import make_person, make_workflow
from workflows.models import Execution
from workflows.services import executions

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)

SLOW = {
    "nodes": [
        {
            "id": "call",
            "type": "http",
            "config": {
                "method": "POST",
                "url": "{{ variables.url }}",
                "json": {"n": 1},
            },
        },
        {"id": "after", "type": "transform", "config": {"set": {"after": True}}},
    ],
    "edges": [{"source": "call", "target": "after"}],
}


@pytest.fixture
def alice(transactional_db):
    return make_person()


@pytest.fixture
def slow(httpserver, settings, alice):
    """A workflow that calls a server which takes its time, and the times it was called."""
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    answered = []

    def answer(request):
        time.sleep(0.6)
        answered.append(request.headers["Idempotency-Key"])
        return {"ok": True}

    httpserver.expect_request("/slow").respond_with_handler(
        lambda request: Response(str(answer(request)))
    )
    return make_workflow(
        alice, variables={"url": httpserver.url_for("/slow")}, **SLOW
    ), answered


def run(alice, workflow, seconds):
    return executions.run_execution(
        workflow=workflow,
        company=alice.company,
        user=alice.user,
        input={},
        trigger={"type": "api"},
        timeout_seconds=seconds,
    )


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def status_of(execution):
    return Execution.unscoped.values_list("status", flat=True).get(pk=execution.pk)


def test_a_synchronous_call_waits_for_the_outside(alice, slow):
    workflow, answered = slow
    execution = run(alice, workflow, 5)
    assert execution.status == "completed"
    assert len(answered) == 1


def test_at_the_deadline_the_caller_leaves_and_a_worker_goes_on_without_repeating(
    alice, slow
):
    workflow, answered = slow
    begun = time.monotonic()
    execution = run(alice, workflow, 0.2)
    assert time.monotonic() - begun < 0.5
    assert execution.status == "running"
    assert until(lambda: status_of(execution) == "pending")
    executions.run_due()
    execution.refresh_from_db()
    assert execution.status == "completed"
    assert execution.output["after"] is True
    assert answered == [f"{execution.pk}:call:"]


def test_a_cancel_breaks_off_a_call_in_flight(alice, slow):
    workflow, _ = slow
    execution = executions.start_execution(
        workflow=workflow,
        company=alice.company,
        user=None,
        input={},
        trigger={"type": "api"},
    )

    def work():
        try:
            executions.run_due()
        finally:
            connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    assert until(lambda: status_of(execution) == "running")
    begun = time.monotonic()
    cancelled = executions.cancel_execution(Execution.unscoped.get(pk=execution.pk))
    assert cancelled.status == "cancelled"
    assert time.monotonic() - begun < 1
    worker.join()
    assert status_of(execution) == "cancelled"


def test_starts_that_come_at_once_share_commits_and_all_are_kept(alice):
    workflow = make_workflow(alice, nodes=[], edges=[])

    def start(number):
        try:
            return executions.start_execution(
                workflow=workflow,
                company=alice.company,
                user=None,
                input=number,
                trigger={"type": "api"},
            ).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(16) as pool:
        ids = set(pool.map(start, range(64)))
    assert len(ids) == 64
    workflow.refresh_from_db()
    assert workflow.usage_count == Execution.unscoped.filter(pk__in=ids).count() == 64


def test_two_workers_share_a_queue_and_nothing_runs_twice(alice):
    workflow = make_workflow(
        alice,
        nodes=[{"id": "a", "type": "transform", "config": {"set": {"x": 1}}}],
        edges=[],
    )
    for number in range(120):
        executions.start_execution(
            workflow=workflow,
            company=alice.company,
            user=None,
            input={"n": number},
            trigger={"type": "api"},
        )

    def work(_):
        try:
            while executions.run_due():
                pass
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    workflow.refresh_from_db()
    assert (
        workflow.ended_count
        == Execution.unscoped.filter(status="completed").count()
        == 120
    )
    assert not Execution.unscoped.exclude(lease_epoch=1).exists()
