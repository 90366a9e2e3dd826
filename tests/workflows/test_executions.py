"""Executions as rows: started, claimed, carried on, fenced, cancelled, lost and found."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from craft.exceptions import ConflictError
from craft.leases import LEASE, Status, claim, recover, renew
from tests.factories import make_workflow
from workflows.engine import journal, slices
from workflows.engine.executor import Ending
from workflows.engine.journal import Write
from workflows.models import Execution, Step
from workflows.services import executions
from workflows.services.executions import NotPublishedError
from workflows.services.workflows import update_workflow

CHAIN = {
    "nodes": [
        {"id": "start", "type": "input"},
        {
            "id": "double",
            "type": "transform",
            "config": {"set": {"twice": "{{ input.n * 2 }}"}},
        },
        {"id": "end", "type": "output", "config": {"value": "{{ input.twice }}"}},
    ],
    "edges": [
        {"source": "start", "target": "double"},
        {"source": "double", "target": "end"},
    ],
}
LATER = {
    "nodes": [
        {"id": "wait", "type": "delay", "config": {"seconds": 3600}},
        {"id": "end", "type": "output"},
    ],
    "edges": [{"source": "wait", "target": "end"}],
}


def start(person, workflow, **more):
    fields = {"input": {"n": 4}, "trigger": {"type": "api"}, **more}
    return executions.start_execution(
        workflow=workflow, company=person.company, user=person.user, **fields
    )


def drain():
    while executions.run_due():
        pass


def lose(execution, *, times):
    """As if the process that held it had died."""
    for _ in range(times):
        assert any(claim(Execution, limit=5, lost=n) for n in range(3))
        Execution.unscoped.filter(pk=execution.pk).update(
            lease_expires_at=Now() - timedelta(seconds=1)
        )
        lost = recover(Execution)
    return lost


def test_a_queued_execution_is_carried_to_its_end(alice):
    workflow = make_workflow(alice, **CHAIN)
    execution = start(alice, workflow)
    assert execution.status == "pending"
    drain()
    execution.refresh_from_db()
    assert (execution.status, execution.output, execution.error) == (
        "completed",
        8,
        None,
    )
    assert execution.started_at <= execution.completed_at
    assert (
        execution.lease_owner,
        execution.lease_expires_at,
        execution.next_attempt_at,
    ) == ("", None, None)
    assert list(execution.steps.values_list("node_id", "status")) == [
        ("start", "completed"),
        ("double", "completed"),
        ("end", "completed"),
    ]


def test_counts_are_kept(alice):
    workflow = make_workflow(alice, **CHAIN)
    for _ in range(3):
        start(alice, workflow)
    workflow.refresh_from_db()
    assert (
        workflow.usage_count,
        workflow.ended_count,
        workflow.metrics["avg_latency_ms"],
    ) == (3, 0, None)
    drain()
    workflow.refresh_from_db()
    assert (workflow.usage_count, workflow.ended_count) == (3, 3)
    assert workflow.metrics["avg_latency_ms"] > 0


def test_a_batch_costs_few_queries(alice, django_assert_max_num_queries):
    workflow = make_workflow(alice, **CHAIN)
    for _ in range(40):
        start(alice, workflow)
    with django_assert_max_num_queries(30):
        drain()
    assert (
        Execution.objects.for_company(alice.company).filter(status="completed").count()
        == 40
    )


def test_an_inline_execution_of_an_instant_graph_is_one_commit(alice):
    workflow = make_workflow(alice, **CHAIN)
    execution = executions.run_execution(
        workflow=workflow,
        company=alice.company,
        user=alice.user,
        input={"n": 1},
        trigger={"type": "api"},
        timeout_seconds=5,
    )
    kept = Execution.objects.for_company(alice.company).get()
    assert (kept.pk, kept.status, kept.output) == (execution.pk, "completed", 2)
    assert kept.steps.count() == 3


def test_a_wait_lets_go_and_is_claimed_when_due(alice):
    execution = start(alice, make_workflow(alice, **LATER))
    drain()
    execution.refresh_from_db()
    assert execution.status == "waiting"
    assert execution.next_attempt_at > timezone.now() + timedelta(minutes=59)
    assert execution.lease_owner == ""
    Step.objects.filter(execution=execution, node_id="wait").update(
        started_at=timezone.now() - timedelta(hours=2)
    )
    Execution.unscoped.filter(pk=execution.pk).update(next_attempt_at=timezone.now())
    drain()
    execution.refresh_from_db()
    assert (execution.status, execution.output) == ("completed", {"n": 4})


def test_a_claimed_row_is_nobody_elses(alice):
    start(alice, make_workflow(alice, **CHAIN))
    assert len(claim(Execution, limit=5)) == 1
    assert claim(Execution, limit=5) == []


def test_a_late_write_is_refused(alice):
    execution = start(alice, make_workflow(alice, **CHAIN))
    (mine,) = claim(Execution, limit=5)
    lose_lease = {"lease_expires_at": Now() - timedelta(seconds=1)}
    Execution.unscoped.filter(pk=execution.pk).update(**lose_lease)
    assert recover(Execution) == []
    assert journal.commit(
        [Write(mine, mine.lease_epoch, [], Ending("completed", output="late"))]
    ) == [False]
    (theirs,) = claim(Execution, limit=5, lost=1)
    assert journal.commit(
        [Write(mine, mine.lease_epoch, [], Ending("completed", output="late"))]
    ) == [False]
    assert journal.commit(
        [Write(theirs, theirs.lease_epoch, [], Ending("completed", output="right"))]
    ) == [True]
    execution.refresh_from_db()
    assert execution.output == "right"


def test_a_terminal_status_is_final(alice):
    execution = start(alice, make_workflow(alice, **CHAIN))
    (mine,) = claim(Execution, limit=5)
    assert journal.commit([Write(mine, mine.lease_epoch, [], Ending("cancelled"))]) == [
        True
    ]
    assert journal.commit([Write(mine, mine.lease_epoch, [], Ending("completed"))]) == [
        False
    ]
    with pytest.raises(ConflictError, match="cancelled already"):
        executions.cancel_execution(
            Execution.objects.for_company(alice.company).get(pk=execution.pk)
        )


def test_what_kills_its_worker_three_times_fails(alice):
    execution = start(alice, make_workflow(alice, **CHAIN))
    (lost,) = lose(execution, times=3)
    assert lost.pk == execution.pk
    executions.sweep()
    execution.refresh_from_db()
    assert execution.status == "failed"
    assert execution.error["code"] == "worker_lost"


def test_a_suspect_is_claimed_alone(alice):
    workflow = make_workflow(alice, **CHAIN)
    suspect = start(alice, workflow)
    lose(suspect, times=2)
    others = [start(alice, workflow) for _ in range(3)]
    assert {row.pk for row in claim(Execution, limit=50)} == {row.pk for row in others}
    assert [row.pk for row in claim(Execution, limit=50, lost=2)] == [suspect.pk]


def test_a_suspect_still_gets_its_chance(alice, monkeypatch):
    monkeypatch.setattr(slices, "SETTLED_SECONDS", 0)
    execution = start(alice, make_workflow(alice, **CHAIN))
    lose(execution, times=2)
    drain()
    execution.refresh_from_db()
    assert (execution.status, execution.attempts) == ("completed", 0)


def test_leases_are_renewed_by_one_statement(alice, django_assert_num_queries):
    workflow = make_workflow(alice, **CHAIN)
    for _ in range(5):
        start(alice, workflow)
    claimed = claim(Execution, limit=50)
    Execution.unscoped.update(lease_expires_at=Now())
    ids = [row.pk for row in claimed]
    with django_assert_num_queries(1):
        assert renew(Execution, ids) == len(claimed)
    assert all(
        row.lease_expires_at > timezone.now() + LEASE / 2
        for row in Execution.unscoped.all()
    )


def test_cancel_ends_what_waits_at_once(alice):
    execution = start(alice, make_workflow(alice, **LATER))
    drain()
    execution.refresh_from_db()
    assert executions.cancel_execution(execution).status == "cancelled"
    assert execution.steps.get(node_id="wait").status == "cancelled"
    drain()
    execution.refresh_from_db()
    assert execution.status == "cancelled"


def test_a_cancel_that_came_before_the_claim_is_obeyed(alice):
    execution = start(alice, make_workflow(alice, **CHAIN))
    Execution.unscoped.filter(pk=execution.pk).update(
        cancel_requested_at=timezone.now()
    )
    drain()
    execution.refresh_from_db()
    assert execution.status == "cancelled"


def test_the_same_key_starts_one_execution(alice):
    workflow = make_workflow(alice, **CHAIN)
    first = start(alice, workflow, idempotency_key="k")
    second = start(alice, workflow, idempotency_key="k")
    assert first.pk == second.pk
    workflow.refresh_from_db()
    assert workflow.usage_count == 1


def test_a_draft_is_not_triggered(alice):
    workflow = make_workflow(alice, status="draft", **CHAIN)
    with pytest.raises(NotPublishedError):
        executions.trigger_workflow(
            workflow=workflow,
            company=alice.company,
            user=None,
            input={},
            trigger={"type": "webhook"},
        )


def test_an_execution_keeps_the_version_that_it_began_with(alice):
    workflow = make_workflow(alice, **LATER)
    execution = start(alice, workflow)
    drain()
    update_workflow(workflow, user=alice.user, nodes=[], edges=[])
    execution.refresh_from_db()
    workflow.refresh_from_db()
    assert (execution.version.number, workflow.version.number) == (1, 2)


def test_what_the_store_can_not_hold_is_replaced():
    assert journal.storable({"a\0": ["x\0y", "\ud800", 1, None]}) == {
        "a\ufffd": ["x\ufffdy", "?", 1, None]
    }


def test_a_broken_engine_ends_the_execution(alice, monkeypatch):
    execution = start(alice, make_workflow(alice, **CHAIN))

    async def explode(self):
        raise RuntimeError("bug")

    monkeypatch.setattr(slices.Run, "execute", explode)
    drain()
    execution.refresh_from_db()
    assert (execution.status, execution.error["code"]) == ("failed", "internal_error")


def test_status_words_are_the_shared_ones():
    assert Status("waiting").is_terminal is False
    assert Status("failed").is_terminal is True


def test_a_synchronous_execution_was_asked_for_before_it_ended(alice):
    execution = executions.run_execution(
        workflow=make_workflow(alice, **CHAIN),
        company=alice.company,
        user=alice.user,
        input={"n": 4},
        trigger={"type": "api"},
        timeout_seconds=10,
    )
    kept = Execution.unscoped.get(pk=execution.pk)
    assert kept.created_at <= kept.started_at <= kept.completed_at
