"""`map` and `loop`: a part of the graph that runs once for each turn. In plain Python: no database, a journal that is a list."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.workflows.test_executor import CATALOGUE as WALKERS
from tests.workflows.test_executor import Memory, Outside, edge, execute, make_run, node
from workflows.engine.executor import Ending, LeaseLostError
from workflows.engine.graph import GraphError, compile_graph
from workflows.nodes import NODES
from workflows.nodes.base import Node, NodeError, Output, Signal, Waiting

CATALOGUE = {**{kind: made() for kind, made in NODES.items()}, **WALKERS}


class Odd(Node):
    """Fails for odd numbers."""

    type = "odd"
    family = "processing"
    config_schema = {"type": "object"}

    async def run(self, call):
        if call.input % 2:
            raise NodeError("odd", code="odd")
        return Output(call.input)


class Later(Odd):
    """Waits for something that takes its time."""

    type = "later"
    may_wait = True

    async def run(self, call):
        signal = call.signal(f"go-{call.input}")
        return Output(signal.data, took=signal.id) if signal else Waiting(None)


def compiled(nodes, edges, **more):
    catalogue = {**CATALOGUE, "odd": Odd(), "later": Later(), **more}
    return compile_graph(
        {"nodes": list(nodes), "edges": edges, "variables": {}}, catalogue
    )


def mapped(*body, config=None, after=(), **more):
    """A map over its input, with this chain as its body."""
    ids = [each["id"] for each in body]
    return compiled(
        [node("each", "map", config), *body, *after],
        [
            edge("each", ids[0], "item"),
            *itertools.starmap(edge, itertools.pairwise(ids)),
            *(edge("each", each["id"], "done") for each in after),
        ],
        **more,
    )


class Kept(Memory):
    """Keeps the steps themselves."""

    def __init__(self, **more):
        super().__init__(**more)
        self.kept = {}

    async def progress(self, run, steps, *, advanced):
        await super().progress(run, steps, advanced=advanced)
        self.keep(steps)

    def keep(self, steps):
        for step in steps:
            self.kept[step.node_id, step.iteration] = replace(step, opening=None)


def test_a_map_runs_its_body_for_each_item_and_keeps_the_order():
    graph = mapped(
        node("double", "transform", {"expression": "{{ input * 2 }}"}),
        node("add", "transform", {"expression": "{{ input + index }}"}),
        after=[node("sum", "transform", {"expression": "{{ input | sum }}"})],
    )
    run, ending = execute(graph, input=[1, 2, 3])
    assert ending == Ending("completed", output=2 + 5 + 8)
    assert [step.iteration for step in run.unsaved if step.node_id == "add"] == [
        "0",
        "1",
        "2",
    ]


def test_a_map_of_nothing_gives_nothing():
    assert execute(mapped(node("add", "add")), input=[])[1].output == []


def test_items_run_side_by_side_up_to_the_bound_and_results_keep_the_order():
    class Slow(Outside):
        type = "slow"

        async def run(self, call):
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            await asyncio.sleep(0.02 / (1 + call.input))
            self.at_once -= 1
            return Output(call.input)

    slow = Slow()
    graph = mapped(node("call", "slow"), config={"at_once": 4}, slow=slow)
    assert execute(graph, input=list(range(12)))[1].output == list(range(12))
    assert slow.most_at_once == 4


@pytest.mark.parametrize(
    ("on_item_error", "output"),
    [
        ("skip", [2, 4]),
        (
            "collect",
            [
                2,
                {
                    "item": 3,
                    "error": {"code": "odd", "message": "odd", "node_id": "odd"},
                },
                4,
            ],
        ),
    ],
)
def test_an_item_that_fails_is_left_out_or_collected(on_item_error, output):
    graph = mapped(node("odd", "odd"), config={"on_item_error": on_item_error})
    assert execute(graph, input=[2, 3, 4])[1].output == output


def test_an_item_that_fails_fails_the_map_and_breaks_off_the_others():
    graph = mapped(node("odd", "odd"), node("after", "outside"), config={"at_once": 3})
    run, ending = execute(graph, input=[2, 3, 4])
    assert (ending.status, ending.error["node_id"]) == ("failed", "odd")
    assert all(step.completed_at for step in run.unsaved)


def test_the_error_of_an_item_leaves_the_map_by_its_error_handle():
    graph = compiled(
        [
            node("each", "map", on_error="branch"),
            node("odd", "odd"),
            node("rescue", "transform", {"expression": "{{ error.code }}"}),
        ],
        [edge("each", "odd", "item"), edge("each", "rescue", "error")],
    )
    assert execute(graph, input=[1])[1] == Ending("completed", output="odd")


def test_a_body_may_branch_and_join():
    graph = compiled(
        [
            node("each", "map"),
            node("even", "condition", {"conditions": [{"field": ".", "op": "in", "value": [2, 4]}]}),
            node("yes", "transform", {"expression": "even"}),
            node("no", "transform", {"expression": "odd"}),
            node("end", "collect"),
        ],
        [
            edge("each", "even", "item"),
            edge("even", "yes", "true"),
            edge("even", "no", "false"),
            edge("yes", "end"),
            edge("no", "end"),
        ],
    )  # fmt: skip
    assert execute(graph, input=[1, 2])[1].output == ["odd", "even"]


def test_maps_stand_in_maps():
    graph = compiled(
        [
            node("rows", "map"),
            node("cells", "map"),
            node(
                "cell",
                "transform",
                {"expression": "{{ [nodes.rows | length, item, index] }}"},
            ),
        ],
        [edge("rows", "cells", "item"), edge("cells", "cell", "item")],
    )
    run, ending = execute(graph, input=[[7, 8], [9]])
    assert ending.output == [[[2, 7, 0], [2, 8, 1]], [[1, 9, 0]]]
    assert sorted(s.iteration for s in run.unsaved if s.node_id == "cell") == [
        "0.0",
        "0.1",
        "1.0",
    ]


def test_an_effect_in_a_map_has_a_key_of_its_own_for_each_item():
    outside = Outside()
    execute(mapped(node("call", "outside"), outside=outside), input=[1, 2])
    assert outside.calls == ["exec_1:call:0", "exec_1:call:1"]


def test_a_map_goes_on_after_a_crash_without_repeating_what_is_finished():
    """Killed at each of its writes in turn."""
    for refuse_at in range(12):
        outside = Outside()
        graph = mapped(
            node("add", "add"),
            node("call", "outside"),
            config={"at_once": 1},
            outside=outside,
        )
        journal = Kept(refuse_at=refuse_at)
        run = make_run(graph, input=[1, 2, 3], journal=journal)
        try:
            ending = asyncio.run(run.execute())
        except LeaseLostError:
            again = Kept()
            run = make_run(
                graph,
                input=[1, 2, 3],
                recorded=list(journal.kept.values()),
                journal=again,
            )
            ending = asyncio.run(run.execute())
        assert [each["sent"] for each in ending.output] == [2, 3, 4]
        repeated = len(outside.calls) - len(set(outside.calls))
        assert repeated <= 1  # the one in flight, under the same key


def test_an_item_that_waits_holds_up_no_other_and_goes_on_where_it_was():
    graph = mapped(node("later", "later"), config={"at_once": 2})
    journal = Kept()
    run = make_run(graph, input=["a", "b", "c"], journal=journal)
    assert asyncio.run(run.execute()) == Ending("waiting", wake_at=None)
    journal.keep(run.take_unsaved())
    come = [Signal(f"sig_{x}", f"go-{x}", x.upper(), datetime.now(UTC)) for x in "bac"]
    again = make_run(graph, input=["a", "b", "c"], recorded=list(journal.kept.values()))
    again.job.signals.extend(come)
    assert asyncio.run(again.execute()).output == ["A", "B", "C"]


def test_what_waited_in_a_turn_that_is_broken_off_holds_up_nothing():
    graph = compiled(
        [
            node("each", "map", {"on_item_error": "skip"}),
            node("begin", "collect"),
            node("later", "later"),
            node("call", "outside"),
            node("bad", "break"),
            node("end", "collect"),
        ],
        [
            edge("each", "begin", "item"),
            edge("begin", "later"),
            edge("begin", "call"),
            edge("call", "bad"),
            edge("each", "end", "done"),
        ],
        outside=Outside(),
    )
    assert execute(graph, input=["a", "b"])[1] == Ending("completed", output=[])


def test_ten_thousand_items_leave_their_steps_behind_as_they_go():
    journal = Kept()
    graph = mapped(node("a", "add"), node("b", "add"))
    run = make_run(graph, input=list(range(10_000)), journal=journal)
    most_held = 0

    async def watch():
        nonlocal most_held
        task = asyncio.ensure_future(run.execute())
        while not task.done():
            most_held = max(most_held, len(run.unsaved) + len(run._recorded))
            await asyncio.sleep(0)
        return task.result()

    assert asyncio.run(watch()).output == list(range(2, 10_002))
    assert most_held < 2_000
    assert len(journal.kept) + len(run.unsaved) >= 20_000


def test_a_map_without_a_body_makes_each_item_anew():
    graph = compiled(
        [node("each", "map", {"value": {"n": "{{ item }}", "i": "{{ index }}"}})], []
    )
    assert execute(graph, input=["a"])[1].output == [{"n": "a", "i": 0}]


# --- loop ---


def test_a_loop_turns_until_its_conditions_hold():
    graph = compiled(
        [
            node(
                "again",
                "loop",
                {"conditions": [{"field": ".", "op": "gte", "value": 100}]},
            ),
            node("double", "transform", {"expression": "{{ input * 2 }}"}),
            node(
                "end",
                "transform",
                {"expression": "{{ [input, nodes.again == input] }}"},
            ),
        ],
        [edge("again", "double", "item"), edge("again", "end", "done")],
    )
    assert execute(graph, input=3)[1].output == [192, True]


def looping(**config):
    return compiled(
        [node("again", "loop", config), node("add", "add")],
        [edge("again", "add", "item")],
    )


def test_a_loop_without_conditions_turns_so_often():
    assert execute(looping(most_turns=7), input=0)[1].output == 7


def test_a_loop_that_never_has_enough_fails_at_its_bound():
    never = [{"field": ".", "op": "eq", "value": "never"}]
    ending = execute(looping(most_turns=5, conditions=never), input=0)[1]
    assert (ending.status, ending.error["code"]) == ("failed", "loop_bound")
    bounded = looping(most_turns=5, conditions=never, at_bound="go_on")
    assert execute(bounded, input=0)[1].output == 5


def test_a_loop_of_ten_thousand_turns_ends():
    assert execute(looping(most_turns=10_000), input=0)[1].output == 10_000


# --- What can't be drawn ---


def faults(nodes, edges):
    with pytest.raises(GraphError) as refused:
        compiled(nodes, edges)
    return refused.value.faults


def test_an_edge_out_of_a_body_is_a_fault():
    nodes = [node("each", "map"), node("in", "add"), node("out", "collect")]
    edges = [
        edge("each", "in", "item"),
        edge("each", "out", "done"),
        edge("in", "out"),
    ]
    found = faults(nodes, edges)
    assert list(found) == ["edges.1"] or list(found) == ["edges.2"]
    assert "once for each item" in next(iter(found.values()))


def test_reading_what_is_inside_a_body_from_outside_is_a_fault():
    nodes = [
        node("each", "map"),
        node("in", "add"),
        node("out", "transform", {"expression": "{{ nodes.in }}"}),
    ]
    edges = [edge("each", "in", "item"), edge("each", "out", "done")]
    (where, sentence) = next(iter(faults(nodes, edges).items()))
    assert where == "nodes.2.config.expression"
    assert "nodes.each" in sentence


def test_a_retry_belongs_inside():
    nodes = [node("each", "map", retry={"max_attempts": 2}), node("in", "add")]
    assert list(faults(nodes, [edge("each", "in", "item")])) == ["nodes.0.retry"]
