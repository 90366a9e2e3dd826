"""The walk of a graph, in plain Python: no database, a journal that is a list."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from workflows.engine.executor import (
    Ending,
    Job,
    LeaseLostError,
    Run,
    StepRecord,
    drive,
)
from workflows.engine.graph import Graph, compile_graph
from workflows.nodes.base import Node, NodeError, Output, Stop, Waiting

ANY_CONFIG = {"type": "object"}


class Add(Node):
    type = "add"
    family = "processing"
    summary = "Adds a number."
    config_schema = ANY_CONFIG

    async def run(self, call):
        return Output(call.input + call.config.get("number", 1))


class Value(Add):
    type = "value"

    async def run(self, call):
        return Output(call.config["value"])


class Choose(Add):
    type = "choose"
    handles = ("true", "false")

    async def run(self, call):
        return Output(call.input, ("true" if call.config["when"] else "false",))


class Collect(Add):
    type = "collect"

    async def run(self, call):
        return Output(call.input)


class Outside(Add):
    """An effect that counts how often it went out, by key."""

    type = "outside"
    effect = "effect"

    def __init__(self):
        self.calls = []
        self.fail_times = 0
        self.seconds = 0.0
        self.at_once = 0
        self.most_at_once = 0

    async def run(self, call):
        self.calls.append(call.idempotency_key)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.at_once -= 1
        if len(self.calls) <= self.fail_times:
            raise NodeError("no luck", code="unlucky", retryable=True)
        return Output({"sent": call.input})


class Aside(Outside):
    """A pure node that works outside the loop."""

    type = "aside"
    effect = "pure"

    def suspends(self, config):
        return config.get("suspends", True)


class OnceOnly(Outside):
    type = "once"
    effect = "at_most_once"


class Break(Add):
    type = "break"

    async def run(self, call):
        raise NodeError("broken", code="broken")


class Finish(Add):
    type = "finish"

    async def run(self, call):
        failed = call.config.get("failed")
        return Stop(
            output="early",
            error=NodeError("stopped", code="stopped") if failed else None,
        )


class Until(Add):
    type = "until"

    async def run(self, call):
        until = call.started_at + timedelta(seconds=call.config["seconds"])
        return Output(call.input) if datetime.now(UTC) >= until else Waiting(until)


class Declared(Collect):
    type = "output"


CATALOGUE = {
    kind.type: kind()
    for kind in (
        Add,
        Value,
        Choose,
        Collect,
        Outside,
        OnceOnly,
        Aside,
        Break,
        Finish,
        Until,
        Declared,
    )
}


class Memory:
    """A journal that keeps what it is told; `refuse_at` loses the lease at that write."""

    def __init__(self, refuse_at=None):
        self.writes = []
        self.cache = {}
        self.refuse_at = refuse_at

    async def progress(self, run, steps, *, advanced):
        if self.refuse_at == len(self.writes):
            raise LeaseLostError
        self.writes.append([(step.node_id, step.status) for step in steps])
        await asyncio.sleep(0)

    async def recall(self, key):
        return self.cache.get(key)

    async def remember(self, key, result, seconds):
        self.cache[key] = result

    async def mark(self, key, seconds):
        return self.cache.setdefault(f"mark of {key}", self) is self

    async def unmark(self, key):
        self.cache.pop(f"mark of {key}", None)


def node(node_id, kind, config=None, **more):
    return {"id": node_id, "type": kind, "config": config or {}, **more}


def edge(source, target, handle=None):
    return {
        "source": source,
        "target": target,
        **({"source_handle": handle} if handle else {}),
    }


def chain(*nodes):
    return compiled(nodes, [edge(a["id"], b["id"]) for a, b in pairwise(nodes)])


def compiled(nodes, edges, catalogue=None) -> Graph:
    return compile_graph(
        {"nodes": list(nodes), "edges": edges, "variables": {}}, catalogue or CATALOGUE
    )


def make_run(graph, *, input=1, recorded=(), journal=None, can_sleep=True) -> Run:
    job = Job(
        "exec_1", 1, 1, input, {"input": input}, {}, {"id": "wf_1", "name": "Test"}
    )
    return Run(job, graph, list(recorded), journal or Memory(), can_sleep=can_sleep)


def execute(graph, **more) -> tuple[Run, Ending]:
    run = make_run(graph, **more)
    return run, asyncio.run(run.execute())


@pytest.fixture
def outside():
    fresh = Outside()
    return fresh, {**CATALOGUE, "outside": fresh}


def test_a_chain_hands_its_value_on():
    _, ending = execute(
        chain(node("a", "add"), node("b", "add"), node("c", "add", {"number": 10}))
    )
    assert ending == Ending("completed", output=13)


def test_an_instant_graph_needs_no_loop():
    run = make_run(chain(node("a", "add"), node("b", "add")), can_sleep=False)
    assert drive(run.execute()).output == 3


def test_an_empty_graph_completes_with_its_input():
    assert execute(compiled([], []), input={"x": 1})[1] == Ending(
        "completed", output={"x": 1}
    )


def test_a_join_gets_what_came_by_each_node():
    graph = compiled(
        [
            node("a", "add"),
            node("b", "add", {"number": 5}),
            node("c", "add", {"number": 7}),
            node("join", "collect"),
        ],
        [edge("a", "b"), edge("a", "c"), edge("b", "join"), edge("c", "join")],
    )
    assert execute(graph)[1].output == {"b": 7, "c": 9}


def test_a_branch_not_taken_is_skipped_and_the_join_runs_with_the_other():
    graph = compiled(
        [
            node("if", "choose", {"when": False}),
            node("yes", "add"),
            node("no", "add", {"number": 5}),
            node("join", "collect"),
        ],
        [
            edge("if", "yes", "true"),
            edge("if", "no", "false"),
            edge("yes", "join"),
            edge("no", "join"),
        ],
    )
    run, ending = execute(graph)
    assert ending.output == 6
    assert {step.node_id: step.status for step in run.unsaved} == {
        "if": "completed",
        "yes": "skipped",
        "no": "completed",
        "join": "completed",
    }


def test_a_skip_travels_on():
    graph = compiled(
        [
            node("if", "choose", {"when": False}),
            node("a", "add"),
            node("b", "add"),
            node("c", "add"),
            node("end", "collect"),
        ],
        [
            edge("if", "a", "true"),
            edge("a", "b"),
            edge("b", "c"),
            edge("c", "end"),
            edge("if", "end", "false"),
        ],
    )
    assert execute(graph)[1].output == 1


@pytest.mark.parametrize(
    ("join", "reached"), [("all_decided", True), ("any", True), ("all", False)]
)
def test_joins_differ_when_one_edge_is_skipped(join, reached):
    graph = compiled(
        [
            node("if", "choose", {"when": True}),
            node("a", "add"),
            node("b", "add"),
            node("end", "value", {"value": "end"}, join=join),
        ],
        [
            edge("if", "a", "true"),
            edge("if", "b", "false"),
            edge("a", "end"),
            edge("b", "end"),
        ],
    )
    assert (execute(graph)[1].output == "end") is reached


def test_join_any_runs_once():
    graph = compiled(
        [
            node("s", "add"),
            node("a", "add"),
            node("b", "add"),
            node("end", "collect", join="any"),
        ],
        [edge("s", "a"), edge("s", "b"), edge("a", "end"), edge("b", "end")],
    )
    run, ending = execute(graph)
    assert ending.output == 3
    assert [step.node_id for step in run.unsaved].count("end") == 1


def test_branches_with_effects_run_at_the_same_time(outside):
    effect, catalogue = outside
    effect.seconds = 0.05
    nodes = [node("s", "add"), *[node(f"o{n}", "outside") for n in range(5)]]
    _, ending = execute(
        compiled(nodes, [edge("s", f"o{n}") for n in range(5)], catalogue)
    )
    assert ending.status == "completed"
    assert effect.most_at_once == 5


def test_an_effect_is_written_down_before_and_after_with_what_led_to_it(outside):
    _, catalogue = outside
    journal = Memory()
    graph = compiled(
        [node("a", "add"), node("o", "outside")], [edge("a", "o")], catalogue
    )
    _, ending = execute(graph, journal=journal)
    assert ending.output == {"sent": 2}
    assert journal.writes == [
        [("a", "completed"), ("o", "running")],
        [("o", "completed")],
    ]


def test_a_lost_lease_stops_the_run_before_the_effect(outside):
    effect, catalogue = outside
    run = make_run(
        compiled([node("o", "outside")], [], catalogue), journal=Memory(refuse_at=0)
    )
    with pytest.raises(LeaseLostError):
        asyncio.run(run.execute())
    assert effect.calls == []


def recorded(node_id, kind, status, **more):
    now = datetime.now(UTC)
    over = status in {"completed", "skipped", "failed"}
    return StepRecord(
        node_id, kind, "", 0, status, now, completed_at=now if over else None, **more
    )


def test_a_finished_effect_is_not_repeated(outside):
    effect, catalogue = outside
    graph = compiled(
        [node("o", "outside"), node("p", "outside")], [edge("o", "p")], catalogue
    )
    before = [recorded("o", "outside", "completed", output="kept", handles=["main"])]
    _, ending = execute(graph, recorded=before)
    assert ending.output == {"sent": "kept"}
    assert effect.calls == ["exec_1:p:"]


def test_an_effect_in_flight_repeats_with_the_same_key_and_counts_the_attempt(outside):
    effect, catalogue = outside
    graph = compiled([node("o", "outside")], [], catalogue)
    run, ending = execute(
        graph, recorded=[recorded("o", "outside", "running", input=1)]
    )
    assert ending.status == "completed"
    assert effect.calls == ["exec_1:o:"]
    assert run._recorded["o", ""].attempt == 2


def test_what_may_happen_once_only_ends_as_unknown():
    graph = compiled([node("o", "once")], [])
    run, ending = execute(graph, recorded=[recorded("o", "once", "running", input=1)])
    assert ending.status == "failed"
    assert ending.error["code"] == "unknown_outcome"
    assert [step.status for step in run.unsaved] == ["unknown"]


def test_a_failure_ends_the_run_and_names_the_node():
    _, ending = execute(chain(node("a", "add"), node("b", "break"), node("c", "add")))
    assert ending == Ending(
        "failed", error={"code": "broken", "message": "broken", "node_id": "b"}
    )


def test_an_error_branch_gets_the_error_and_the_input():
    graph = compiled(
        [
            node("b", "break", on_error="branch"),
            node("ok", "add"),
            node("mend", "collect"),
        ],
        [edge("b", "ok"), edge("b", "mend", "error")],
    )
    assert execute(graph)[1].output == {
        "error": {"code": "broken", "message": "broken", "node_id": "b"},
        "input": 1,
    }


def test_continue_goes_on_along_main():
    graph = chain(node("b", "break", on_error="continue"), node("c", "collect"))
    assert execute(graph)[1].output["error"]["code"] == "broken"


def test_an_expression_that_fails_fails_the_node():
    _, ending = execute(
        chain(node("a", "value", {"value": "{{ input.nothing }}"})), input={"x": 1}
    )
    assert ending.status == "failed"
    assert ending.error["code"] == "expression_failed"


def test_expressions_see_earlier_nodes():
    graph = chain(
        node("a", "value", {"value": {"n": 4}}),
        node("b", "value", {"value": "{{ nodes.a.n + input.n }}"}),
    )
    assert execute(graph)[1].output == 8


def test_retries_are_slept_when_short(outside):
    effect, catalogue = outside
    effect.fail_times = 2
    retry = {
        "max_attempts": 3,
        "backoff": "fixed",
        "initial_seconds": 0.01,
        "jitter": False,
    }
    _, ending = execute(compiled([node("o", "outside", retry=retry)], [], catalogue))
    assert ending.status == "completed"
    assert effect.calls == ["exec_1:o:"] * 3


def test_retries_end(outside):
    effect, catalogue = outside
    effect.fail_times = 9
    retry = {
        "max_attempts": 2,
        "backoff": "fixed",
        "initial_seconds": 0.01,
        "jitter": False,
    }
    _, ending = execute(compiled([node("o", "outside", retry=retry)], [], catalogue))
    assert ending.error["code"] == "unlucky"
    assert len(effect.calls) == 2


def test_a_long_back_off_holds_no_worker(outside):
    effect, catalogue = outside
    effect.fail_times = 1
    retry = {
        "max_attempts": 2,
        "backoff": "fixed",
        "initial_seconds": 60,
        "jitter": False,
    }
    run, ending = execute(compiled([node("o", "outside", retry=retry)], [], catalogue))
    assert ending.status == "waiting"
    assert ending.wake_at > datetime.now(UTC) + timedelta(seconds=50)
    assert run.unsaved[-1].attempt == 2


def test_a_short_wait_is_slept_and_a_long_one_parks():
    assert (
        execute(chain(node("w", "until", {"seconds": 0.05})))[1].status == "completed"
    )
    assert execute(chain(node("w", "until", {"seconds": 60})))[1].status == "waiting"


def test_a_parked_wait_lets_the_other_branch_finish_first():
    graph = compiled(
        [node("s", "add"), node("w", "until", {"seconds": 60}), node("a", "add")],
        [edge("s", "w"), edge("s", "a")],
    )
    run, ending = execute(graph)
    assert ending.status == "waiting"
    assert {step.node_id: step.status for step in run.unsaved} == {
        "s": "completed",
        "w": "waiting",
        "a": "completed",
    }


def test_a_wait_goes_on_from_its_own_beginning():
    begun = datetime.now(UTC) - timedelta(seconds=61)
    waiting = replace(recorded("w", "until", "waiting", input=1), started_at=begun)
    graph = chain(node("w", "until", {"seconds": 60}), node("a", "add"))
    assert execute(graph, recorded=[waiting])[1].output == 2


def test_a_node_takes_no_longer_than_its_timeout(outside):
    effect, catalogue = outside
    effect.seconds = 5
    _, ending = execute(
        compiled([node("o", "outside", timeout_seconds=0.05)], [], catalogue)
    )
    assert ending.error["code"] == "timeout"


@pytest.fixture
def aside():
    return Aside()


def suspending(aside, *, seconds=0.02, timeout=None) -> Graph:
    aside.seconds = seconds
    more = {"timeout_seconds": timeout} if timeout else {}
    return compiled(
        [node("in", "collect"), node("a", "aside", **more), node("b", "aside", **more)],
        [edge("in", "a"), edge("in", "b")],
        {**CATALOGUE, "aside": aside},
    )


def test_pure_nodes_that_suspend_run_beside_each_other(aside):
    graph = suspending(aside)
    assert not graph.is_instant
    assert not graph.has_effects
    run, ending = execute(graph)
    assert ending.status == "completed"
    assert aside.most_at_once == 2
    assert run.journal.writes == []


def test_whether_a_node_suspends_follows_from_its_config(aside):
    catalogue = {**CATALOGUE, "aside": aside}
    config = {"suspends": False}
    assert compiled([node("a", "aside", config)], [], catalogue).is_instant


def test_pure_nodes_that_suspend_have_a_timeout(aside):
    _, ending = execute(suspending(aside, seconds=5, timeout=0.02))
    assert (ending.status, ending.error["code"]) == ("failed", "timeout")


def test_cancel_breaks_off_a_call_in_flight(outside):
    effect, catalogue = outside
    effect.seconds = 5
    run = make_run(
        compiled([node("o", "outside"), node("p", "add")], [edge("o", "p")], catalogue)
    )

    async def scenario():
        task = asyncio.create_task(run.execute())
        await asyncio.sleep(0.05)
        run.cancel()
        return await asyncio.wait_for(task, 1)

    assert asyncio.run(scenario()).status == "cancelled"
    assert effect.at_once == 0


def test_an_interrupted_run_awaits_its_calls_and_leaves_the_rest(outside):
    effect, catalogue = outside
    effect.seconds = 0.1
    run = make_run(
        compiled([node("o", "outside"), node("p", "add")], [edge("o", "p")], catalogue)
    )

    async def scenario():
        task = asyncio.create_task(run.execute())
        await asyncio.sleep(0.02)
        run.interrupt()
        return await task

    ending = asyncio.run(scenario())
    assert ending.status == "pending"
    assert run.journal.writes[-1] == [("o", "completed")]


def test_stop_ends_the_execution():
    assert execute(chain(node("f", "finish"), node("a", "add")))[1] == Ending(
        "completed", output="early"
    )
    assert (
        execute(chain(node("f", "finish", {"failed": True})))[1].error["code"]
        == "stopped"
    )


def test_run_if_skips_a_node_and_disabled_passes_on():
    graph = chain(node("a", "add"), node("b", "add", disabled=True), node("c", "add"))
    assert execute(graph)[1].output == 3
    graph = chain(
        node("a", "add"), node("b", "add", run_if="{{ input > 10 }}"), node("c", "add")
    )
    run, ending = execute(graph)
    assert ending.output is None
    assert {step.node_id: step.status for step in run.unsaved} == {
        "a": "completed",
        "b": "skipped",
        "c": "skipped",
    }


def test_declared_outputs_win_over_the_last_node():
    graph = compiled([node("o", "output"), node("a", "add")], [edge("o", "a")])
    assert execute(graph)[1].output == 1
    graph = compiled(
        [node("s", "add"), node("x", "output"), node("y", "output")],
        [edge("s", "x"), edge("s", "y")],
    )
    assert execute(graph)[1].output == {"x": 2, "y": 2}


def test_a_cached_result_saves_the_call(outside):
    effect, catalogue = outside
    journal = Memory()
    graph = compiled([node("o", "outside", cache={"ttl_seconds": 60})], [], catalogue)
    first, second = (
        execute(graph, journal=journal)[1],
        execute(graph, journal=journal)[1],
    )
    assert first.output == second.output == {"sent": 1}
    assert len(effect.calls) == 1
    execute(graph, journal=journal, input=2)
    assert len(effect.calls) == 2


def test_a_node_that_breaks_says_so_without_its_insides():
    class Bug(Add):
        type = "bug"

        async def run(self, call):
            raise KeyError("secret-detail")

    _, ending = execute(compiled([node("x", "bug")], [], {"bug": Bug()}))
    assert ending.error["code"] == "internal_error"
    assert "secret-detail" not in str(ending)


def test_a_chain_of_two_thousand_nodes_runs():
    nodes = [node(f"n{n}", "add") for n in range(2_000)]
    assert execute(chain(*nodes), input=0)[1].output == 2_000
