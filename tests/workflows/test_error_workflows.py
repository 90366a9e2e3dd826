"""A workflow may name another that is started when an execution of it fails."""

import pytest

from craft.leases import Status
from tests.factories import make_workflow
from workflows.engine import journal
from workflows.models import Execution
from workflows.services import executions
from workflows.services.workflows import delete_workflow, update_workflow

FAILS = {
    "nodes": [
        {"id": "begin", "type": "input"},
        {
            "id": "break",
            "type": "stop",
            "config": {"status": "failed", "message": "No stock."},
        },
    ],
    "edges": [{"source": "begin", "target": "break"}],
}
LATER = {
    "nodes": [{"id": "wait", "type": "delay", "config": {"seconds": 600}}],
    "edges": [],
}
PASSES_ON = {"nodes": [{"id": "all", "type": "transform"}], "edges": []}


def drain():
    while executions.run_due():
        pass


def start(person, workflow):
    return executions.start_execution(
        workflow=workflow,
        company=person.company,
        user=person.user,
        input={"n": 1},
        trigger={"type": "api"},
    )


@pytest.fixture
def notices(alice):
    """The error workflow."""
    return make_workflow(alice, name="Tell us", **PASSES_ON)


def naming(alice, notices, **graph):
    return make_workflow(alice, name="Orders", error_workflow=notices, **graph)


def test_a_failure_starts_the_error_workflow_once(alice, notices):
    workflow = naming(alice, notices, **FAILS)
    failed = start(alice, workflow)
    drain()
    failed.refresh_from_db()
    (notice,) = Execution.unscoped.filter(workflow=notices)
    assert (notice.status, notice.company_id) == ("completed", alice.company.pk)
    assert notice.idempotency_key == f"error:{failed.pk}"
    assert notice.trigger == {"type": "error", "execution_id": failed.pk}
    told = notice.output
    assert told["error"] == failed.error
    assert told["error"]["message"] == "No stock."
    assert told["workflow"] == {"id": workflow.pk, "name": "Orders"}
    assert told["execution"]["id"] == failed.pk
    assert told["execution"]["completed_at"].endswith("Z")
    assert told["url"].endswith(f"/v1/executions/{failed.pk}")
    notices.refresh_from_db()
    assert notices.usage_count == 1


def test_a_synchronous_failure_starts_it_too(api, alice, notices):
    workflow = naming(alice, notices, **FAILS)
    answer = api(alice).post(f"/api/v1/workflows/{workflow.pk}/execute", {})
    assert answer.json()["status"] == "failed"
    drain()
    assert Execution.unscoped.get(workflow=notices).status == "completed"


def test_the_ending_and_what_it_starts_stand_or_fall_together(
    alice, notices, monkeypatch
):
    execution = start(alice, naming(alice, notices, **FAILS))

    def refuse(*_):
        raise RuntimeError("the insert fails")

    monkeypatch.setattr(journal, "insert", refuse)
    drain()
    execution.refresh_from_db()
    assert execution.status == "running"


def test_what_is_completed_or_cancelled_starts_nothing(alice, notices):
    start(alice, naming(alice, notices, **PASSES_ON))
    waiting = start(alice, naming(alice, notices, **LATER))
    drain()
    executions.cancel_execution(waiting)
    drain()
    assert not Execution.unscoped.filter(workflow=notices).exists()


def test_what_lost_its_workers_starts_it(alice, notices):
    lost = start(alice, naming(alice, notices, **LATER))
    error = executions.WORKER_LOST
    assert journal.end_unclaimed(lost, status=Status.FAILED, error=error)
    drain()
    told = Execution.unscoped.get(workflow=notices).output
    assert told["error"]["code"] == "worker_lost"


def test_error_workflows_make_no_loop(alice):
    first = make_workflow(alice, **FAILS)
    second = make_workflow(alice, error_workflow=first, **FAILS)
    update_workflow(first, user=alice.user, error_workflow=second)
    start(alice, first)
    drain()
    kinds = Execution.unscoped.order_by("id").values_list("trigger__type", "status")
    assert list(kinds) == [("api", "failed"), ("error", "failed")]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_neither_does_a_workflow_that_an_error_workflow_runs(alice):
    inner = make_workflow(alice, **FAILS)
    calls = {"id": "call", "type": "subworkflow", "config": {"workflow": inner.pk}}
    notices = make_workflow(alice, nodes=[calls], edges=[])
    update_workflow(inner, user=alice.user, error_workflow=notices)
    start(alice, inner)
    drain()
    kinds = Execution.unscoped.order_by("id").values_list("trigger__type", "status")
    assert list(kinds) == [
        ("api", "failed"),
        ("error", "failed"),
        ("subworkflow", "failed"),
    ]


def test_a_draft_is_not_started_and_the_log_says_so(alice):
    draft = make_workflow(alice, status="draft", **PASSES_ON)
    failed = start(alice, naming(alice, draft, **FAILS))
    drain()
    failed.refresh_from_db()
    assert Execution.unscoped.count() == 1
    assert "error workflow is a draft" in failed.logs[-1]["message"]


def test_an_error_workflow_can_go(alice, notices):
    workflow = naming(alice, notices, **FAILS)
    execution = start(alice, workflow)
    delete_workflow(notices)
    drain()
    execution.refresh_from_db()
    workflow.refresh_from_db()
    assert (execution.status, workflow.error_workflow_id) == ("failed", None)


def test_it_is_set_and_taken_away_over_the_wire(api, alice, charlie, notices):
    caller = api(alice)
    path = f"/v1/workflows/{make_workflow(alice, **FAILS).pk}"
    shown = caller.patch(path, {"error_workflow": notices.pk}).json()["data"]
    assert shown["error_workflow"] == notices.pk
    shown = caller.patch(path, {"error_workflow": None}).json()["data"]
    assert shown["error_workflow"] is None
    theirs = make_workflow(charlie, public=True, **PASSES_ON)
    answer = caller.patch(path, {"error_workflow": theirs.pk})
    assert set(answer.json()["error"]["details"]) == {"error_workflow"}
