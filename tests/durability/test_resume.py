"""The executor is killed at every write that it makes, just before the write or just after it, and another one goes on from what was kept."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflows.engine.executor import Ending, Job, LeaseLostError, Run
from workflows.engine.graph import Graph, compile_graph
from workflows.nodes.base import Node, NodeError, Output, Stop, Waiting
from workflows.nodes.loop import Loop
from workflows.nodes.map import Map


class CrashError(LeaseLostError):
    """Ends a run in the middle, as the end of its process would."""


class Kept(Node):
    type = "pure"
    family = "processing"
    summary = "Says where it is."
    config_schema = {"type": "object"}

    async def run(self, call):
        return Output({"node": call.idempotency_key, "input": call.input})


class Choose(Kept):
    type = "choose"
    handles = ("true", "false")

    async def run(self, call):
        return Output(call.input, ("true" if call.config["when"] else "false",))


class Break(Kept):
    type = "break"

    async def run(self, call):
        raise NodeError("broken", code="broken")


class BreakOutside(Break):
    type = "break_outside"
    effect = "effect"


class Finish(Kept):
    type = "finish"

    async def run(self, call):
        return Stop(output="early")


class Nap(Kept):
    type = "nap"

    async def run(self, call):
        until = call.started_at + timedelta(milliseconds=1)
        return Output(call.input) if datetime.now(UTC) >= until else Waiting(until)


class Outside(Kept):
    """An effect that writes down its keys."""

    type = "outside"
    effect = "effect"
    calls: list[str] = []

    async def run(self, call):
        self.calls.append(call.idempotency_key)
        await asyncio.sleep(0)
        return await super().run(call)


CATALOGUE = {
    kind.type: kind()
    for kind in (Kept, Choose, Break, BreakOutside, Finish, Nap, Outside, Map, Loop)
}


class Store:
    """Rows as a database would keep them. The process ends at write number `crash_at`, before or after the commit."""

    def __init__(self, *, crash_at=None, commits=True):
        self.rows = {}
        self.writes = 0
        self.crash_at = crash_at
        self.commits = commits

    async def progress(self, run, steps, *, advanced):
        is_last = self.writes == self.crash_at
        self.writes += 1
        if is_last and not self.commits:
            raise CrashError
        self.rows |= {(step.node_id, step.iteration): replace(step) for step in steps}
        if is_last:
            raise CrashError
        await asyncio.sleep(0)


def go(graph, store) -> Ending | None:
    job = Job("exec_1", 1, 1, {"n": 1}, {}, {}, {"id": "wf_1", "name": "Test"})
    recorded = [replace(row) for row in store.rows.values()]

    async def scenario():
        run = Run(job, graph, recorded, store)
        try:
            return await run.execute()
        except CrashError:
            return None

    return asyncio.run(scenario())


def finished(store):
    return {
        f"exec_1:{row.node_id}:{row.iteration}"
        for row in store.rows.values()
        if row.type == "outside" and row.completed_at
    }


def check_every_crash(graph: Graph) -> int:
    """Returns how many crashes were tried."""
    Outside.calls.clear()
    whole = Store()
    expected = go(graph, whole)
    reached = set(Outside.calls)
    assert expected is not None
    for crash_at in range(whole.writes):
        for commits in (False, True):
            Outside.calls.clear()
            store = Store(crash_at=crash_at, commits=commits)
            assert go(graph, store) is None
            before, Outside.calls[:] = list(Outside.calls), []
            done = finished(store)
            store.crash_at = None
            assert go(graph, store) == expected
            assert not done & set(Outside.calls), "a finished effect was repeated"
            assert len(set(Outside.calls)) == len(Outside.calls)
            if expected.status == "completed" and expected.output != "early":
                assert set(before) | set(Outside.calls) == reached
    return 2 * whole.writes


def check_many_crashes(graph: Graph, kills: list[tuple[int, bool]]) -> None:
    """One process after the other ends at its so-manyeth write; the last one lives."""
    Outside.calls.clear()
    expected = go(graph, Store())
    store, done = Store(), set()
    for crash_at, commits in kills:
        Outside.calls.clear()
        store.crash_at, store.commits, store.writes = crash_at, commits, 0
        ending = go(graph, store)
        assert not done & set(Outside.calls), "a finished effect was repeated"
        done = finished(store)
        if ending is not None:
            assert ending == expected
            return
    Outside.calls.clear()
    store.crash_at = None
    assert go(graph, store) == expected
    assert not done & set(Outside.calls), "a finished effect was repeated"


def node(node_id, kind, **more):
    return {"id": node_id, "type": kind, "config": {}, **more}


def edge(source, target, handle="main"):
    return {"source": source, "target": target, "source_handle": handle}


def compiled(nodes, edges):
    return compile_graph({"nodes": nodes, "edges": edges, "variables": {}}, CATALOGUE)


def test_parallel_effects_and_a_join():
    nodes = [node("s", "pure"), *[node(f"o{n}", "outside") for n in range(4)]]
    nodes += [node("join", "pure"), node("last", "outside")]
    edges = [edge("s", f"o{n}") for n in range(4)]
    edges += [edge(f"o{n}", "join") for n in range(4)] + [edge("join", "last")]
    assert check_every_crash(compiled(nodes, edges)) == 20


def test_a_wait_between_effects():
    nodes = [node("a", "outside"), node("nap", "nap"), node("b", "outside")]
    assert check_every_crash(compiled(nodes, [edge("a", "nap"), edge("nap", "b")]))


@pytest.mark.parametrize("kind", ["break", "break_outside"])
@pytest.mark.parametrize("on_error", ["fail", "continue", "branch"])
def test_a_failure_ends_or_goes_on_as_it_did(kind, on_error):
    """The failure and the end of the run are two commits."""
    nodes = [
        node("a", "outside"),
        node("bad", kind, on_error=on_error),
        node("mend", "outside"),
        node("said", "pure", config={"code": "{{ error.code }}"}),
        node("other", "outside"),
    ]
    handle = "error" if on_error == "branch" else "main"
    edges = [edge("a", "bad"), edge("bad", "mend", handle), edge("mend", "said")]
    assert check_every_crash(compiled(nodes, [*edges, edge("a", "other")]))


def test_a_stop_stays_a_stop_though_another_branch_wrote_it_down():
    nodes = [node("s", "outside"), node("end", "finish"), node("o", "outside")]
    nodes += [node("p", "outside")]
    edges = [edge("s", "o"), edge("s", "end"), edge("o", "p")]
    assert check_every_crash(compiled(nodes, edges))


CONFIGS = {
    "choose": lambda draw: {"when": draw(st.booleans())},
    "map": lambda draw: {"items": [1, 2, 3], "at_once": draw(st.integers(1, 3))},
    "loop": lambda draw: {"most_turns": draw(st.integers(1, 3))},
}


@st.composite
def graphs(draw):
    """Up to eight nodes, each behind some of those before it; at most one of them may end the run early."""
    kinds = st.sampled_from(
        ["pure", "outside", "outside", "choose", "nap", "map", "loop"]
    )
    endings = st.sampled_from(["break", "break_outside", "finish"])
    count = draw(st.integers(2, 8))
    early = draw(st.none() | st.integers(1, count - 1))
    nodes, edges, kind_of = [], [], {}
    for number in range(count):
        kind = draw(endings if number == early else kinds)
        more = {"config": CONFIGS.get(kind, lambda draw: {})(draw)}
        if kind.startswith("break"):
            more["on_error"] = draw(st.sampled_from(["fail", "continue"]))
        join = draw(st.sampled_from(["all_decided", "all"]))
        nodes.append(node(f"n{number}", kind, join=join, **more))
        kind_of[number] = kind
        if kind in {"map", "loop"}:
            inner = draw(st.sampled_from(["pure", "outside", "nap"]))
            nodes.append(node(f"n{number}_in", inner))
            edges.append(edge(f"n{number}", f"n{number}_in", "item"))
        earlier = st.integers(0, max(number - 1, 0))
        sources = draw(st.sets(earlier, min_size=1, max_size=3))
        for source in sorted(sources) if number else ():
            handle = "main"
            match kind_of[source]:
                case "choose":
                    handle = draw(st.sampled_from(["true", "false"]))
                case "map" | "loop":
                    handle = "done"
            edges.append(edge(f"n{source}", f"n{number}", handle))
    return compiled(nodes, edges)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_any_graph_survives_any_crash(graph):
    check_every_crash(graph)


@settings(max_examples=60, deadline=None)
@given(graphs(), st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=8))
def test_any_graph_comes_to_the_same_end_however_often_it_is_killed(graph, kills):
    check_many_crashes(graph, kills)


def test_a_map_of_effects_survives_any_crash():
    nodes = [
        node("each", "map", config={"items": [1, 2, 3], "at_once": 2}),
        node("a", "outside"),
        node("nap", "nap"),
        node("b", "outside"),
        node("last", "outside"),
    ]
    edges = [edge("each", "a", "item"), edge("a", "nap"), edge("nap", "b")]
    edges += [edge("each", "last", "done")]
    assert check_every_crash(compiled(nodes, edges)) > 20
