"""Real processes, killed at any moment: nothing is lost, and what is finished is not repeated."""

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from functools import partial
from http.client import HTTPException

import pytest

from tests.durability.installation import owner_of_port

EXECUTIONS = 500
KILLS = 10
TERMINAL = {"completed", "failed", "cancelled"}


def effect(node_id, url, **more):
    config = {"method": "POST", "url": url, "json": {"from": node_id}}
    return {"id": node_id, "type": "http", "config": config, **more}


def two_branches_and_an_end(url):
    """Three effects, two of them at the same time."""
    nodes = [
        {"id": "start", "type": "input"},
        effect("left", url),
        effect("right", url),
        {"id": "both", "type": "merge"},
        effect("last", url),
        {"id": "end", "type": "output"},
    ]
    edges = [
        ("start", "left"),
        ("start", "right"),
        ("left", "both"),
        ("right", "both"),
        ("both", "last"),
        ("last", "end"),
    ]
    return {
        "nodes": nodes,
        "edges": [{"source": source, "target": target} for source, target in edges],
    }


def one_call(url, **more):
    return {"nodes": [effect("call", url, **more)], "edges": []}


def finished_keys(rig):
    """Of the effects that stand in the rows as completed."""
    steps = rig.rows(
        "SELECT execution_id, node_id FROM workflows_step WHERE type = 'http' AND status = 'completed'"
    )
    return {f"{execution}:{node}:" for execution, node in steps}


def statuses_of(rig, workflow):
    rows = rig.rows("SELECT id, workflow_id, status FROM workflows_execution")
    return {row[0]: row[2] for row in rows if row[1] == workflow}


def steps_of(rig, execution):
    return [
        row
        for row in rig.rows("SELECT execution_id, * FROM workflows_step ORDER BY id")
        if row[0] == execution
    ]


class Sender(threading.Thread):
    """A customer that starts executions, and notes those that were accepted. What was refused, or broke off, it sends again as a new one."""

    def __init__(self, rig, workflow):
        super().__init__(daemon=True)
        self.rig, self.workflow = rig, workflow
        self.accepted = []
        self.wanted = 0
        self.is_over = threading.Event()

    def run(self):
        while not self.is_over.is_set():
            with (
                contextlib.suppress(OSError, HTTPException, AssertionError),
                self.rig.connection() as connection,
            ):
                while len(self.accepted) < self.wanted:
                    number = len(self.accepted)
                    self.accepted.append(
                        self.rig.trigger(self.workflow, {"n": number}, connection)
                    )
            time.sleep(0.02)


def test_ten_kills_lose_nothing_and_repeat_nothing_that_was_finished(
    rig, outside, seed
):
    sys.stdout.write(f"seed {seed}\n")
    chance = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
    rig.start_web()
    workflow = rig.create_workflow(**two_branches_and_an_end(outside.url("/effect")))
    worker = rig.start_worker()
    sender = Sender(rig, workflow)
    sender.start()
    finished = []
    for number in range(KILLS):
        sender.wanted += EXECUTIONS // KILLS
        rig.until(
            partial(outside.in_round, number),
            seconds=30,
            what=f"a call in round {number}\n{worker.tail()}",
        )
        time.sleep(chance.uniform(0, 1.2))
        worker.kill()
        last_kill = time.monotonic()
        outside.settle()
        finished.append(finished_keys(rig))
        outside.round += 1
        worker = rig.start_worker()
    rig.until(
        lambda: len(sender.accepted) == EXECUTIONS, seconds=30, what="all are accepted"
    )
    sender.is_over.set()

    rig.until(
        lambda: set(statuses_of(rig, workflow).values()) <= TERMINAL,
        seconds=30,
        since=last_kill,
        what="all executions are terminal after the last kill",
    )
    took = time.monotonic() - last_kill

    made = statuses_of(rig, workflow)
    assert set(sender.accepted) <= set(made), "accepted, and lost"
    assert len(sender.accepted) == EXECUTIONS
    assert set(made.values()) == {"completed"}
    assert {call.key for call in outside.calls} == {
        f"{execution}:{node}:"
        for execution in made
        for node in ("left", "right", "last")
    }
    repeated = 0
    for number in range(KILLS + 1):
        calls = outside.in_round(number)
        assert set(calls.values()) <= {1}, "a worker made one call twice"
        for earlier in range(number):
            again = finished[earlier] & set(calls)
            assert not again, f"finished before kill {earlier}, and repeated: {again}"
            repeated += len(set(outside.in_round(earlier)) & set(calls))
    struck = sum(
        bool(set(outside.in_round(number)) - finished[number])
        for number in range(KILLS)
    )
    sys.stdout.write(
        f"{len(made)} executions, {len(outside.calls)} calls, {repeated} repeated; "
        f"{struck} of {KILLS} kills struck calls in flight; terminal {took:.1f} s after the last\n"
    )
    assert struck, "no kill struck a call in flight: nothing was tried"


def test_what_kills_its_process_is_given_up_and_its_neighbours_are_not(rig, outside):
    rig.start_web()
    poison = rig.create_workflow(**one_call(outside.url("/deadly")))
    harmless = rig.create_workflow(**two_branches_and_an_end(outside.url("/effect")))
    worker = rig.start_worker()
    killed = []

    def kill_the_caller(port):
        pid = owner_of_port(port, worker.members())
        killed.append(pid)
        os_kill(worker, pid)

    outside.on_deadly = kill_the_caller
    with rig.connection() as connection:
        for _ in range(30):
            rig.trigger(harmless, {}, connection)
        deadly = rig.trigger(poison, {}, connection)

    def is_over():
        with contextlib.suppress(OSError, HTTPException):
            return rig.execution(deadly)["status"] in TERMINAL

    rig.until(is_over, seconds=40, what=f"the poisonous one is over\n{worker.tail()}")
    execution = rig.execution(deadly)
    assert (execution["status"], execution["error"]["code"]) == (
        "failed",
        "worker_lost",
    )
    assert len(killed) == 3
    assert worker.is_alive, "what it started died, and it started another"
    rig.until(
        lambda: Counter(statuses_of(rig, harmless).values()) == {"completed": 30},
        seconds=20,
        what="its neighbours complete",
    )


def os_kill(process, pid):
    assert process.owns(pid), "not a process that we started"
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def slow_call(rig, outside):
    """An execution whose call is in flight, with the worker that made it."""
    rig.start_web()
    workflow = rig.create_workflow(**one_call(outside.url("/slow")))
    worker = rig.start_worker()
    execution = rig.trigger(workflow, {})
    key = f"{execution}:call:"
    rig.until(lambda: outside.times(key), seconds=30, what=f"a call\n{worker.tail()}")
    return execution, key, worker


def test_a_cancel_breaks_off_a_call_in_flight_in_another_process(
    rig, outside, slow_call
):
    execution, key, _ = slow_call
    asked_at = time.monotonic()
    status, _ = rig.call("POST", f"/v1/executions/{execution}/cancel")
    assert status == 200
    left_at = rig.until(
        lambda: outside.left_at.get(key), seconds=5, what="the caller hangs up"
    )
    assert left_at - asked_at < 1.5
    rig.until(
        lambda: rig.execution(execution)["status"] == "cancelled",
        seconds=2,
        what="the execution is cancelled",
    )
    assert [step["status"] for step in rig.execution(execution)["steps"]] == [
        "cancelled"
    ]


def test_ctrl_c_ends_all_within_ten_seconds_and_the_next_start_goes_on(
    rig, outside, slow_call
):
    execution, key, worker = slow_call
    asked_at = time.monotonic()
    worker.signal(signal.SIGINT)
    if not rig.is_embedded:
        time.sleep(0.5)  # Celery asks for a second Ctrl-C while a task is at work
        worker.signal(signal.SIGINT)
    worker.wait(10)
    rig.until(lambda: not worker.members(), seconds=1, what="no process is left")
    assert time.monotonic() - asked_at < 10
    outside.hold.set()
    again = rig.start_worker()
    rig.until(
        lambda: rig.execution(execution)["status"] == "completed",
        seconds=20,
        what=f"the execution goes on\n{again.tail()}",
    )
    assert outside.times(key) == 2


def test_a_stop_leaves_what_waits_and_finishes_what_is_in_flight(rig, outside):
    """Nothing was lost under them: the next process takes them as if nothing had been."""
    rig.start_web()
    workflow = rig.create_workflow(**two_branches_and_an_end(outside.url("/effect")))
    worker = rig.start_worker()
    with rig.connection() as connection:
        ids = [rig.trigger(workflow, {}, connection) for _ in range(60)]
    rig.until(
        lambda: len(outside.calls) >= 20, seconds=30, what="the worker is at work"
    )
    worker.ask_to_stop()
    worker.wait(10)
    rows = rig.rows("SELECT id, status, attempts FROM workflows_execution")
    left = {row[1:] for row in rows if row[0] in ids}
    assert left <= {("completed", 0), ("pending", 0)}
    outside.round += 1
    rig.start_worker()
    rig.until(
        lambda: Counter(statuses_of(rig, workflow).values()) == {"completed": 60},
        seconds=20,
        what="all complete",
    )
    keys = Counter(call.key for call in outside.calls)
    assert set(keys.values()) == {1}
    assert len(keys) == 180


def test_a_frozen_worker_has_its_late_writes_refused(rig, outside):
    if rig.is_embedded:
        pytest.skip("one process is all there is: nobody takes over while it is frozen")
    rig.start_web()
    workflow = rig.create_workflow(**one_call(outside.url("/slow")))
    frozen = rig.start_worker(quick=True)
    execution = rig.trigger(workflow, {})
    key = f"{execution}:call:"
    rig.until(lambda: outside.times(key), seconds=30, what=f"a call\n{frozen.tail()}")
    frozen.signal(signal.SIGSTOP)
    other = rig.start_worker(quick=True)
    rig.until(
        lambda: outside.times(key) == 2, seconds=30, what=f"another\n{other.tail()}"
    )
    outside.hold.set()
    rig.until(
        lambda: rig.execution(execution)["status"] == "completed",
        seconds=10,
        what="the other worker completes it",
    )
    before = steps_of(rig, execution)
    other.kill()
    frozen.signal(signal.SIGCONT)
    rig.until(
        lambda: f"lease of {execution} lost" in frozen.tail(),
        seconds=10,
        what="the late write is refused",
    )
    after = steps_of(rig, execution)
    assert after == before
    assert rig.execution(execution)["output"]["body"] == {"key": key, "call": 2}
    last = rig.trigger(workflow, {})
    rig.until(
        lambda: rig.execution(last)["status"] == "completed",
        seconds=10,
        what="the worker that was frozen works on",
    )
