"""What goes wrong in one execution, or one process, stays there."""

import os
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone

from craft import leases
from craft.leases import Isolation, Keeper, claim, recover
from craft.lifetime import Stopping
from tests.factories import make_workflow
from workflows.engine import journal, slices
from workflows.models import Execution, Step, WorkflowVersion
from workflows.nodes.base import Node, Output
from workflows.services import executions

PURE = {"nodes": [{"id": "a", "type": "transform", "config": {"set": {"x": 1}}}]}


class Unstorable(Node):
    type = "unstorable"
    family = "processing"
    config_schema = {"type": "object"}

    async def run(self, call):
        return Output({1, 2})  # a set is no JSON


@pytest.fixture
def unstorable(monkeypatch):
    monkeypatch.setitem(journal.CATALOGUE, "unstorable", Unstorable())


def start(alice, workflow, **more):
    fields = {"user": None, "input": {}, "trigger": {"type": "api"}, **more}
    return executions.start_execution(
        workflow=workflow, company=alice.company, **fields
    )


def drain():
    while executions.run_due():
        pass


def lose_all():
    """As if the process that held them had died."""
    Execution.unscoped.filter(status="running").update(
        lease_expires_at=Now() - timedelta(seconds=1)
    )
    return recover(Execution)


def statuses():
    return sorted(Execution.unscoped.values_list("status", flat=True))


def test_what_can_not_be_written_down_takes_no_neighbour_with_it(alice, unstorable):
    bad = start(
        alice,
        make_workflow(alice, nodes=[{"id": "a", "type": "unstorable"}], edges=[]),
    )
    good = [start(alice, make_workflow(alice, **PURE)) for _ in range(3)]
    drain()
    bad.refresh_from_db()
    assert (bad.status, bad.error["code"]) == ("failed", "internal_error")
    for execution in good:
        execution.refresh_from_db()
        assert execution.status == "completed"


def test_a_graph_that_can_not_be_compiled_any_more_fails_alone(alice):
    old = make_workflow(alice, **PURE)
    bad, good = start(alice, old), start(alice, make_workflow(alice, **PURE))
    WorkflowVersion.objects.filter(workflow=old).update(
        nodes=[{"id": "a", "type": "no_longer_known"}]
    )
    drain()
    bad.refresh_from_db()
    good.refresh_from_db()
    assert (bad.status, bad.error["code"]) == ("failed", "internal_error")
    assert good.status == "completed"


def test_an_unreachable_database_fails_nothing(alice, monkeypatch):
    execution = start(alice, make_workflow(alice, **PURE))
    commit = journal.commit

    def unreachable(writes):
        raise OperationalError("gone")

    monkeypatch.setattr(journal, "commit", unreachable)
    monkeypatch.setattr(connection, "close", lambda: None)  # the test's transaction
    executions.run_due()
    execution.refresh_from_db()
    assert execution.status == "running"
    monkeypatch.setattr(journal, "commit", commit)
    lose_all()
    drain()
    execution.refresh_from_db()
    assert execution.status == "completed"


def test_few_that_were_lost_once_run_side_by_side_and_more_once_they_get_somewhere(
    alice, monkeypatch
):
    monkeypatch.setattr(slices, "held_here", slices.HeldHere())
    workflow = make_workflow(alice, **PURE)
    for _ in range(9):
        start(alice, workflow)
    assert len(claim(Execution, limit=50)) == 9
    lose_all()
    start(alice, workflow)
    piece = slices.Slice()
    found = slices.claim_for(piece, 50)
    assert [execution.attempts for execution in found] == [2, 2, 1]
    assert slices.claim_for(piece, 50) == []
    piece.begin(found)
    assert len(slices.claim_for(piece, 50)) == 4


def test_a_suspect_gets_its_turn_though_work_keeps_coming(alice, monkeypatch):
    monkeypatch.setattr(slices, "SETTLED_SECONDS", 0)
    workflow = make_workflow(alice, **PURE)
    suspect = start(alice, workflow)
    for lost in (0, 1):
        assert claim(Execution, limit=1, lost=lost)
        lose_all()
    start(alice, workflow)
    executions.run_due()  # finds new work too
    suspect.refresh_from_db()
    assert suspect.status == "completed"


def test_a_young_process_runs_no_suspect(alice, monkeypatch):
    monkeypatch.setattr(slices, "SETTLED_SECONDS", 3600)
    suspect = start(alice, make_workflow(alice, **PURE))
    for lost in (0, 1):
        assert claim(Execution, limit=1, lost=lost)
        lose_all()
    drain()
    suspect.refresh_from_db()
    assert suspect.status == "pending"


def test_a_worker_that_stops_claims_nothing(alice, monkeypatch):
    start(alice, make_workflow(alice, **PURE))
    stopping = Stopping()
    monkeypatch.setattr(slices, "stopping", stopping)
    stopping.set(True)
    assert executions.run_due() == 0
    assert statuses() == ["pending"]
    stopping.set(False)
    drain()
    assert statuses() == ["completed"]


def test_what_forks_sees_that_the_worker_stops():
    stopping = Stopping()
    pid = os.fork()
    if pid == 0:
        stopping.set(True)
        os._exit(0)
    os.waitpid(pid, 0)
    assert stopping


def test_a_cancel_that_came_before_the_claim_lets_no_effect_out(
    alice, httpserver, settings
):
    settings.OUTBOUND_ALLOW = [f"127.0.0.1:{httpserver.port}"]
    call = {
        "id": "a",
        "type": "http",
        "config": {"method": "POST", "url": httpserver.url_for("/")},
    }
    execution = start(alice, make_workflow(alice, nodes=[call], edges=[]))
    Execution.unscoped.update(cancel_requested_at=timezone.now())
    drain()
    execution.refresh_from_db()
    assert execution.status == "cancelled"
    assert httpserver.log == []


def test_a_failure_leaves_no_step_open(alice):
    nodes = [
        {"id": "s", "type": "input"},
        {"id": "wait", "type": "delay", "config": {"seconds": 3600}},
        {"id": "stop", "type": "stop", "config": {"status": "failed"}},
    ]
    edges = [{"source": "s", "target": "wait"}, {"source": "s", "target": "stop"}]
    execution = start(alice, make_workflow(alice, nodes=nodes, edges=edges))
    drain()
    execution.refresh_from_db()
    assert execution.status == "failed"
    assert not Step.objects.filter(completed_at=None).exists()


# --- Starts that share a commit ---


def test_a_start_that_can_not_be_kept_fails_no_other(alice):
    kept, gone = make_workflow(alice, **PURE), make_workflow(alice, **PURE)
    fields = {
        "company": alice.company,
        "user": None,
        "input": {},
        "trigger": {"type": "api"},
    }
    batch = [
        executions.build_execution(workflow=workflow, **fields)
        for workflow in (kept, gone, kept)
    ]
    batch[1].input = {1, 2}  # a set is no JSON
    assert executions.start_together(batch) == [batch[0], batch[2]]
    assert Execution.unscoped.count() == 2
    kept.refresh_from_db()
    assert kept.usage_count == 2


# --- Whose process lives ---


def held_by(alice, owner):
    execution = start(alice, make_workflow(alice, **PURE))
    claim(Execution, limit=1)
    Execution.unscoped.filter(pk=execution.pk).update(lease_owner=owner)
    recover(Execution)
    execution.refresh_from_db()
    return execution.status


def test_a_dead_process_of_this_host_is_not_waited_for(alice):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert held_by(alice, f"{leases._host()}/{process.pid}/abcd") == "pending"


@pytest.mark.parametrize(
    ("parent", "lost", "counted"),
    [("dead", 1, 0), ("dead", 3, 2), ("alive", 1, 1), ("own", 1, 1), ("worn", 1, 1)],
)
def test_who_goes_together_with_its_parent_is_no_suspect(alice, parent, lost, counted):
    execution = start(alice, make_workflow(alice, **PURE))
    gone, parent_gone = (subprocess.Popen([sys.executable, "-c", ""]) for _ in range(2))
    for process in (gone, parent_gone):
        process.wait()
    pids = {"dead": parent_gone.pid, "alive": os.getppid(), "own": os.getpid()}
    owner = f"{leases._host()}/{pids.get(parent, parent_gone.pid)}/{gone.pid}/abcd"
    claim(Execution, limit=1)
    worn = {"lease_epoch": leases.MOST_SPARED} if parent == "worn" else {}
    Execution.unscoped.filter(pk=execution.pk).update(lease_owner=owner, attempts=lost, **worn)  # fmt: skip
    assert recover(Execution) == []
    execution.refresh_from_db()
    assert (execution.status, execution.attempts) == ("pending", counted)


def test_a_zombie_is_dead(alice):
    process = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 5
    while not leases._is_zombie(process.pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        assert held_by(alice, f"{leases._host()}/{process.pid}/abcd") == "pending"
    finally:
        process.wait()


def test_a_living_process_keeps_its_rows(alice):
    assert held_by(alice, f"{leases._host()}/{os.getppid()}/abcd") == "running"


def test_another_host_is_judged_by_its_leases_only(alice):
    dead = "another-host/4f5e-boot/4026531836/999999999/abcd"
    assert held_by(alice, dead) == "running"


def test_a_host_of_the_same_name_is_another_host():
    name, boot, namespace = leases._host().split("/")
    assert len(boot) == 36
    assert name
    assert namespace


# --- The threads that keep it going ---


def test_the_keeper_survives_any_error(transactional_db, monkeypatch):
    ticks = []

    def explode():
        ticks.append(1)
        raise ValueError("anything")

    keeper = Keeper(Execution, held=list, on_tick=explode, tick_seconds=0.01)
    with keeper.holding():
        deadline = time.monotonic() + 5
        while len(ticks) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(ticks) >= 3


def test_there_is_one_loop_however_many_ask_for_it_first(monkeypatch):
    slices._loop_of.cache_clear()
    barrier, found = threading.Barrier(8), []

    def ask():
        barrier.wait()
        found.append(slices.engine_loop())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_a_suspect_comes_last_unless_it_asks_for_the_process():
    isolation = Isolation()
    order = []

    def suspect():
        with isolation.alone(at_any_price=True) as is_ours:
            order.append("alone" if is_ours else "refused")

    with isolation.shared():
        with isolation.alone() as is_ours:
            assert not is_ours
        thread = threading.Thread(target=suspect)
        thread.start()
        deadline = time.monotonic() + 5
        while not isolation.is_asked_for and time.monotonic() < deadline:
            time.sleep(0.001)
        order.append("shared")
    thread.join()
    assert order == ["shared", "alone"]
    assert not isolation.is_asked_for
