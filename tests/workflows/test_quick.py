"""What takes less than handing it to a worker is run where it is started, and is kept in the same commit."""

import pytest
from django.db import OperationalError, connection

from craft.leases import Status
from tests.factories import make_key, make_workflow
from tests.lane import LaneClient
from workflows.engine import quick
from workflows.models import Execution, GuestUse
from workflows.services import executions, reruns

PURE = {"type": "transform", "config": {"set": {"b": "{{ input.a }}"}}}
LONG = {"type": "transform", "config": {"set": {"b": "{{ input.a | sort | unique | length }}"}}}  # fmt: skip
FAILS = {"type": "stop", "config": {"status": "failed", "message": "No stock."}}

pytestmark = pytest.mark.usefixtures("eager")


def graph(*nodes, body=()):
    """A chain of them; of `body` the turns of the first."""
    made = [{"id": f"n{place}", **node} for place, node in enumerate([*nodes, *body])]
    edges = [
        {"source": f"n{place}", "target": f"n{place + 1}"}
        for place in range(len(nodes) - 1)
    ]
    turns = [{"source": "n0", "target": f"n{len(nodes)}", "sourceHandle": "item"}]
    return {"nodes": made, "edges": [*edges, *(turns if body else [])]}


def start(person, workflow, input=None, **more):
    made = {"company": person.company, "user": person.user, "trigger": {"type": "api"}}
    return executions.start_execution(
        workflow=workflow, input=input or {"a": 1}, **{**made, **more}
    )


@pytest.fixture
def caller(alice):
    made = LaneClient(raise_request_exception=False)
    made.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice)}")
    return made


@pytest.mark.parametrize("call", ["trigger", "execute"])
def test_a_start_that_was_accepted_is_over(alice, caller, call):
    workflow = make_workflow(alice, **graph(PURE, PURE, PURE))
    answer = caller.post(f"/v1/workflows/{workflow.pk}/{call}", {"input": {"a": 1}} if call == "execute" else {"a": 1}, format="json")  # fmt: skip
    assert answer.status_code == 202
    said = answer.json()["data"]
    assert said["status"] == "completed"
    shown = caller.get(f"/v1/executions/{said['id']}").json()["data"]
    assert (shown["status"], shown["output"]["b"]) == ("completed", 1)
    assert [step["status"] for step in shown["steps"]] == ["completed"] * 3
    assert said["started_at"] == shown["started_at"]
    assert executions.run_due() == 0, "nothing is left for a worker"
    workflow.refresh_from_db()
    assert (workflow.usage_count, workflow.ended_count) == (1, 1)


@pytest.mark.parametrize(
    "nodes",
    [
        graph(PURE, {"type": "delay", "config": {"seconds": 0.01}}),
        graph(PURE, {"type": "emit", "config": {"event": "custom.done"}}),
        graph(
            PURE,
            {
                "type": "code",
                "config": {"code": "def main(input, variables):\n    return 1"},
            },
        ),
        graph({**PURE, "cache": {"ttl_seconds": 60}}),
        graph(*[PURE] * (quick.MOST_NODES + 1)),
        graph({"type": "map", "config": {"items": "{{ [1, 2] }}"}}, body=[PURE]),
    ],
    ids=["waits", "has an effect", "is sandboxed", "is cached", "is long", "turns"],
)
def test_what_may_take_longer_is_queued(alice, nodes):
    assert start(alice, make_workflow(alice, **nodes)).status == "pending"


def test_what_stands_in_a_line_is_queued(alice):
    settings = {"concurrency": {"limit": 1}}
    workflow = make_workflow(alice, **graph(PURE), settings=settings)
    assert start(alice, workflow).status == "pending"


def test_it_can_be_left_to_workers(alice, settings):
    settings.CRAFT_EAGER_STARTS = False
    assert start(alice, make_workflow(alice, **graph(PURE))).status == "pending"


class Clock:
    """Each run takes `cost` of the processor."""

    def __init__(self) -> None:
        self.now, self.cost = 1_000.0, 0.0
        self._used = 0.0

    def monotonic(self) -> float:
        return self.now

    def thread_time(self) -> float:
        self._used += self.cost
        return self._used


def test_what_takes_long_is_left_to_workers_for_a_while(alice, monkeypatch):
    workflow, other = (make_workflow(alice, **graph(PURE)) for _ in range(2))
    clock = Clock()
    for module in (quick, executions):
        monkeypatch.setattr(module, "time", clock)
    for cost in (0.006, 0.004, 0.006, 0.006):
        clock.cost = cost
        assert start(alice, workflow).status == "completed"
    assert start(alice, workflow).status == "pending", "twice in a row"
    assert start(alice, other).status == "completed"
    clock.now += quick.WHILE_SECONDS + 1
    for _ in range(2):
        assert start(alice, workflow).status == "completed"
    assert start(alice, workflow).status == "pending"


def test_what_really_takes_long_is_noticed(alice):
    workflow = make_workflow(alice, **graph(LONG))
    much = {"a": list(range(15_000))}
    statuses = [start(alice, workflow, much).status for _ in range(3)]
    assert statuses[-1] == "pending"


def test_what_is_remembered_of_slow_ones_is_bounded(alice, monkeypatch):
    monkeypatch.setattr(quick, "MOST_SECONDS", -1.0)
    monkeypatch.setattr(quick, "MOST_REMEMBERED", 3)
    for version in range(10):
        quick.note(version, 1.0)
    assert len(quick._slow) <= 3


def test_the_same_key_again_gives_the_same_execution(alice):
    workflow = make_workflow(alice, **graph(PURE))
    first, second = (start(alice, workflow, idempotency_key="once") for _ in range(2))
    assert first.pk == second.pk
    assert second.status == "completed"
    workflow.refresh_from_db()
    assert (workflow.usage_count, workflow.ended_count) == (1, 1)


def test_a_failure_is_told_and_starts_what_is_to_follow(alice):
    notices = make_workflow(alice, **graph(PURE))
    workflow = make_workflow(alice, **graph(PURE, FAILS), error_workflow=notices)
    failed = start(alice, workflow)
    assert (failed.status, failed.error["message"]) == ("failed", "No stock.")
    (notice,) = Execution.unscoped.filter(workflow=notices)
    executions.run_due()
    notice.refresh_from_db()
    assert notice.is_over


def test_what_goes_on_from_another_s_steps_is_queued(alice):
    failed = start(alice, make_workflow(alice, **graph(PURE, FAILS)))
    again = reruns.rerun_execution(failed, user=alice.user)
    assert again.status == "pending"
    executions.run_due()
    again.refresh_from_db()
    assert again.status == "failed"


def test_a_guest_s_run_is_counted_as_theirs(alice, charlie):
    workflow = make_workflow(alice, **graph(PURE), public=True)
    assert start(charlie, workflow).status == Status.COMPLETED
    assert GuestUse.objects.for_company(charlie.company).get().count == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_nothing_is_kept_of_what_could_not_be_committed(alice, caller):
    """Neither its start nor its end: the caller, who was told so, may try again."""
    workflow = make_workflow(alice, **graph(PURE))
    path = f"/v1/workflows/{workflow.pk}/trigger"

    def break_steps(execute, sql, *asked):
        if "workflows_step" in sql:
            raise OperationalError("the connection was lost")
        return execute(sql, *asked)

    with connection.execute_wrapper(break_steps):
        assert caller.post(path, {"a": 1}, format="json").status_code == 503
    assert not Execution.unscoped.exists()
    workflow.refresh_from_db()
    assert workflow.usage_count == 0
    answer = caller.post(path, {"a": 1}, format="json")
    assert answer.json()["data"]["status"] == "completed"
