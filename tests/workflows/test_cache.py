"""`cache` on a node: what is kept, for whom, and that equal calls at the same time go out once."""

import asyncio
import threading
from dataclasses import replace

import pytest
from django.core.cache import cache

from workflows.engine import flights, results
from workflows.engine.executor import Ending, Job, Run
from workflows.engine.graph import compile_graph
from workflows.engine.slices import Slice
from workflows.engine.usage import added
from workflows.nodes.base import Node, NodeError, Output


class Asked(Node):
    """An effect that counts its calls; each of the first of them comes to what `fates` say."""

    type = "asked"
    family = "integrations"
    summary = "Asks."
    effect = "effect"
    config_schema = {"type": "object"}

    def __init__(self):
        self.calls = 0
        self.fates = []
        self.is_let_go = threading.Event()
        self.is_let_go.set()
        self.is_begun = threading.Event()

    async def run(self, call):
        self.calls += 1
        number, fate = self.calls, self.fates.pop(0) if self.fates else None
        self.is_begun.set()
        while not self.is_let_go.is_set():
            await asyncio.sleep(0.005)
        if fate is not None:
            raise fate
        usage = {"input_tokens": 10, "output_tokens": 2, "cost_micros": 7, "model": "m"}
        return Output({"number": number}, usage=usage)


class Aside(Asked):
    type = "aside"
    effect = "pure"


class Journal(Slice):
    """Keeps results as a slice does, and no rows."""

    async def progress(self, run, steps, *, advanced):
        await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _emptied():
    cache.clear()


@pytest.fixture
def asked() -> Asked:
    return Asked()


JOB = Job("exec_1", 1, 1, {"q": 1}, {}, {}, {"id": "wf_1", "name": "Test"})


def graph_of(node: Node, **more):
    given = {"id": "n", "type": node.type, "cache": {"ttl_seconds": 60}, **more}
    return compile_graph({"nodes": [given], "edges": []}, {node.type: node})


def run_of(node: Node, *, job: Job = JOB, **more) -> Run:
    return Run(job, graph_of(node, **more), [], Journal())


def execute(*runs: Run) -> list[Ending]:
    async def all_at_once():
        return await asyncio.gather(*(run.execute() for run in runs))

    return asyncio.run(all_at_once())


def until(condition):
    for _ in range(2_000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came")


@pytest.mark.parametrize("kind", [Asked, Aside])
def test_equal_calls_at_the_same_time_go_out_once(kind):
    node = kind()
    endings = execute(*(run_of(node) for _ in range(8)))
    assert node.calls == 1
    assert [ending.output for ending in endings] == [{"number": 1}] * 8
    first, second, *_ = (ending.output for ending in endings)
    assert first is not second


def test_a_hit_is_shown_and_costs_nothing(asked):
    first, second = run_of(asked), run_of(asked)
    execute(first)
    execute(second)
    assert asked.calls == 1
    assert (first.usage["input_tokens"], second.usage) == (10, {})
    assert [line["details"] for line in second.logs] == [{"cached": True}]


def test_processes_share_what_is_kept_and_wait_for_each_other(asked):
    """Two loops know nothing of each other, as two processes; what they share is the cache."""
    asked.is_let_go.clear()
    outputs = []
    threads = [
        threading.Thread(target=lambda: outputs.append(execute(run_of(asked))[0]))
        for _ in range(2)
    ]
    threads[0].start()
    until(asked.is_begun.is_set)
    threads[1].start()
    asked.is_let_go.set()
    for thread in threads:
        thread.join(10)
    assert [ending.output for ending in outputs] == [{"number": 1}] * 2
    assert asked.calls == 1


def test_errors_are_not_kept_and_one_of_those_who_waited_calls_next(asked):
    asked.fates = [NodeError("no luck", code="unlucky")]
    endings = execute(*(run_of(asked) for _ in range(5)))
    assert asked.calls == 2
    statuses = [ending.status for ending in endings]
    assert sorted(statuses) == ["completed"] * 4 + ["failed"]
    assert {ending.output["number"] for ending in endings if ending.output} == {2}


def test_who_is_cancelled_while_it_calls_leaves_the_call_to_another(asked):
    async def scene():
        leader, waiter = run_of(asked), run_of(asked)
        tasks = [asyncio.create_task(run.execute()) for run in (leader, waiter)]
        while not asked.is_begun.is_set():
            await asyncio.sleep(0)
        leader.cancel()
        asked.is_let_go.set()
        return await asyncio.gather(*tasks)

    asked.is_let_go.clear()
    endings = asyncio.run(scene())
    assert [ending.status for ending in endings] == ["cancelled", "completed"]
    assert asked.calls == 2


def test_nobody_waits_for_ever(asked, monkeypatch):
    monkeypatch.setattr(flights, "PATIENCE_SECONDS", 0.05)

    async def scene():
        tasks = [asyncio.create_task(run_of(asked).execute()) for _ in range(2)]
        while asked.calls < 2:
            await asyncio.sleep(0.005)
        asked.is_let_go.set()
        return await asyncio.gather(*tasks)

    asked.is_let_go.clear()
    assert {ending.output["number"] for ending in asyncio.run(scene())} == {1, 2}


def test_a_mark_that_a_lost_process_left_does_not_hold_up_for_long(asked, monkeypatch):
    monkeypatch.setattr(flights, "PATIENCE_SECONDS", 0.05)
    run = run_of(asked)
    monkeypatch.setattr(Run, "_cache_key", lambda *_: "node:k")
    assert results.mark("node:k", 15)
    assert execute(run)[0].output == {"number": 1}
    assert not results.mark("node:k", 15), "somebody else's mark was taken away"


@pytest.mark.parametrize(
    "other", [{"company_id": 2}, {"is_test": True}, {"input": {"q": 2}}]
)
def test_nothing_is_shared_across_companies_modes_or_inputs(asked, other):
    execute(run_of(asked))
    execute(run_of(asked, job=replace(JOB, **other)))
    assert asked.calls == 2


def test_the_config_and_the_type_are_part_of_the_key_unless_a_key_is_given(asked):
    execute(run_of(asked, config={"a": 1}))
    execute(run_of(asked, config={"a": 2}))
    assert asked.calls == 2
    told = {"cache": {"ttl_seconds": 60, "key": "{{ input.q }}"}}
    execute(run_of(asked, config={"a": 1}, **told))
    execute(run_of(asked, config={"a": 2}, **told))
    assert asked.calls == 3
    other = Aside()
    execute(run_of(other, **told))
    assert other.calls == 1


def test_what_is_too_large_or_no_json_is_not_kept():
    results.remember("k", ["x" * results.MAX_BYTES, ["main"]], 60)
    results.remember("k", [{1, 2}, ["main"]], 60)
    assert results.recall("k") is None
    results.remember("k", [{"big": 2**70}, ["main"]], 60)
    assert results.recall("k") == ({"big": 2**70}, ["main"])


def test_the_cache_knows_neither_the_key_nor_what_went_into_it():
    named = results._named("result", "node:secret-word")
    assert "secret" not in named
    assert named != results._named("flight", "node:secret-word")


def test_without_the_cache_calls_are_made(asked, settings):
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1",
        }
    }
    endings = execute(run_of(asked), run_of(asked))
    assert {ending.status for ending in endings} == {"completed"}
    assert asked.calls == 1
    execute(run_of(asked))
    assert asked.calls == 2


# --- What is spent ---


def test_a_budget_is_asked_before_each_call_that_costs(asked):
    nodes = [{"id": name, "type": asked.type} for name in "abc"]
    edges = [{"source": "a", "target": "b"}, {"source": "b", "target": "c"}]
    graph = compile_graph({"nodes": nodes, "edges": edges}, {asked.type: asked})
    job = replace(JOB, budget={"cost": 0.000014})
    [ending] = execute(Run(job, graph, [], Journal()))
    assert (ending.status, ending.error["code"]) == ("failed", "budget_exceeded")
    assert asked.calls == 2


def test_all_attempts_count_and_so_does_what_earlier_processes_wrote_down(asked):
    failed = {"input_tokens": 5, "output_tokens": 0, "cost_micros": None}
    asked.fates = [NodeError("busy", retryable=True, usage=failed)]
    policy = {"max_attempts": 2, "initial_seconds": 0.01, "jitter": 0}
    run = Run(JOB, graph_of(asked, retry=policy), [], Journal())
    execute(run)
    assert run.usage == {
        "input_tokens": 15,
        "output_tokens": 2,
        "cost_micros": 7,
        "unpriced_calls": 1,
    }
    [step] = run._recorded.values()
    assert step.usage == run.usage | {"model": "m"}
    resumed = Run(JOB, run.graph, [step], Journal())
    execute(resumed)
    assert (resumed.usage, asked.calls) == (run.usage, 2)
    assert added(None, {"input_tokens": 1})["unpriced_calls"] == 1
