"""The control-flow patterns of van der Aalst, ter Hofstede, Kiepuszewski and Barros, by their numbers (workflowpatterns.com): what each supported one does here.

`docs/patterns.md` says of all 43 how they are drawn, or that they are not; the last test holds it against this file.
"""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.factories import make_workflow
from tests.workflows.test_executions import drain, start
from tests.workflows.test_executor import Outside, edge, make_run, node
from tests.workflows.test_turns import Kept
from workflows.engine.executor import Ending
from workflows.engine.graph import compile_graph
from workflows.models import Execution
from workflows.nodes import NODES
from workflows.nodes.base import Output, Signal
from workflows.services import executions
from workflows.services.workflows import update_workflow

CATALOGUE = {kind: made() for kind, made in NODES.items()}
PAGE = Path(__file__).parents[2] / "docs" / "patterns.md"


class Call(Outside):
    """An effect that takes as long as its config says, and hands on what it says."""

    type = "call"

    async def run(self, call):
        self.calls.append(call.idempotency_key)
        await asyncio.sleep(call.config.get("seconds", 0))
        return Output(call.config.get("value", call.input))


def says(node_id, value="{{ input }}", **more):
    return node(node_id, "transform", {"expression": value}, **more)


def run(nodes, edges, *, input=1, signals=(), call=None):
    catalogue = {**CATALOGUE, "call": call or Call()}
    graph = compile_graph({"nodes": nodes, "edges": edges, "variables": {}}, catalogue)
    journal = Kept()
    made = make_run(graph, input=input, journal=journal)
    made.job.signals.extend(
        Signal(f"sig_{place}", name, data, datetime.now(UTC))
        for place, (name, data) in enumerate(signals)
    )
    ending = asyncio.run(made.execute())
    journal.keep(made.take_unsaved())
    return list(journal.kept.values()), ending


def ran(steps):
    return sorted(step.node_id for step in steps if step.status == "completed")


def when(node_id, value):
    return node(node_id, "condition", {"conditions": [{"field": ".", "op": "gte", "value": value}]})  # fmt: skip


SPLIT = [edge("a", "b"), edge("a", "c")]
JOIN = [*SPLIT, edge("b", "d"), edge("c", "d")]


def test_wcp_1_sequence():
    _, ending = run([says("a", "{{ input + 1 }}"), says("b", "{{ input * 2 }}")], [edge("a", "b")])  # fmt: skip
    assert ending.output == 4


def test_wcp_2_parallel_split():
    call = Call()
    nodes = [says("a"), *(node(n, "call", {"seconds": 0.05}) for n in "bc")]
    began = asyncio.new_event_loop().time()
    steps, _ = run(nodes, SPLIT, call=call)
    assert ran(steps) == ["a", "b", "c"]
    assert asyncio.new_event_loop().time() - began < 0.095  # not one after the other


def test_wcp_3_synchronization():
    nodes = [says("a"), says("b", "B"), says("c", "C"), says("d")]
    assert run(nodes, JOIN)[1].output == {"b": "B", "c": "C"}


@pytest.mark.parametrize(("input", "output"), [(9, "high"), (1, "low")])
def test_wcp_4_exclusive_choice(input, output):
    nodes = [when("a", 5), says("b", "high"), says("c", "low")]
    edges = [edge("a", "b", "true"), edge("a", "c", "false")]
    assert run(nodes, edges, input=input)[1].output == output


def test_wcp_5_simple_merge():
    nodes = [when("a", 5), says("b", "high"), says("c", "low"), says("d", "{{ input }}!")]  # fmt: skip
    edges = [edge("a", "b", "true"), edge("a", "c", "false"), *JOIN[2:]]
    assert run(nodes, edges, input=1)[1].output == "low!"


def choices(node_id):
    return says(node_id, node_id, run_if="{{ '" + node_id + "' in trigger.input }}")


@pytest.mark.parametrize(("input", "output"), [(["b"], "b"), (["b", "c"], {"b": "b", "c": "c"})])  # fmt: skip
def test_wcp_6_multi_choice(input, output):
    nodes = [says("a"), choices("b"), choices("c"), says("d")]
    assert run(nodes, JOIN, input=input)[1].output == output


def test_wcp_7_structured_synchronizing_merge():
    """It waits for those branches that were taken, and for no other."""
    nodes = [says("a"), choices("b"), choices("c"), says("d", "{{ 1 }}")]
    steps, _ = run(nodes, JOIN, input=["c"])
    assert ran(steps) == ["a", "c", "d"]


def test_wcp_9_structured_discriminator():
    nodes = [says("a"), node("b", "call", {"seconds": 0.05, "value": "slow"})]
    nodes += [node("c", "call", {"value": "fast"}), says("d", join="any")]
    steps, ending = run(nodes, JOIN)
    assert ending.output == "fast"
    assert ran(steps).count("d") == 1


def test_wcp_11_implicit_termination():
    assert run([says("a"), says("b"), says("c", "end")], SPLIT)[1].status == "completed"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_wcp_12_multiple_instances_without_synchronization(alice):
    inner = make_workflow(alice, nodes=[says("x")], edges=[])
    starts = node("go", "subworkflow", {"workflow": inner.pk, "wait": False})
    outer = make_workflow(alice, nodes=[node("each", "map"), starts], edges=[edge("each", "go", "item")])  # fmt: skip
    execution = start(alice, outer, input=[1, 2, 3])
    drain()
    assert execution.children.count() == 3


def test_wcp_13_multiple_instances_with_a_priori_design_time_knowledge():
    nodes = [node("each", "map", {"items": [1, 2, 3]}), says("b", "{{ item * 2 }}")]
    assert run(nodes, [edge("each", "b", "item")])[1].output == [2, 4, 6]


def test_wcp_14_multiple_instances_with_a_priori_run_time_knowledge():
    nodes = [node("each", "map"), says("b", "{{ item * 2 }}")]
    assert run(nodes, [edge("each", "b", "item")], input=[4, 5])[1].output == [8, 10]


def test_wcp_21_structured_loop():
    again = node("a", "loop", {"conditions": [{"field": ".", "op": "gte", "value": 50}]})  # fmt: skip
    nodes = [again, says("b", "{{ input * 2 }}")]
    assert run(nodes, [edge("a", "b", "item")], input=3)[1].output == 96


def test_wcp_19_cancel_task():
    """A task that takes too long is withdrawn, and the rest goes on."""
    slow = node("a", "call", {"seconds": 5}, timeout_seconds=0.02, on_error="branch")
    nodes = [slow, says("b", "{{ error.code }}")]
    assert run(nodes, [edge("a", "b", "error")])[1].output == "timeout"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_wcp_20_cancel_case(alice):
    workflow = make_workflow(alice, nodes=[node("a", "wait", {"signal": "x"})], edges=[])  # fmt: skip
    execution = start(alice, workflow)
    drain()
    assert executions.cancel_execution(execution).status == "cancelled"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_wcp_22_recursion(alice):
    """The factorial, by a workflow that calls itself."""
    workflow = make_workflow(alice, nodes=[says("x")], edges=[])
    less = {"n": "{{ trigger.input.n - 1 }}"}
    nodes = [
        node("more", "condition", {"conditions": [{"field": "n", "op": "gt", "value": 1}]}),
        node("self", "subworkflow", {"workflow": workflow.pk, "input": less}),
        node("times", "output", {"value": "{{ input * trigger.input.n }}"}),
        node("one", "output", {"value": 1}),
    ]  # fmt: skip
    edges = [edge("more", "self", "true"), edge("self", "times")]
    edges += [edge("more", "one", "false")]
    workflow = update_workflow(
        workflow, user=None, nodes=nodes, edges=edges, status="published"
    )
    execution = start(alice, workflow, input={"n": 5})
    drain()
    assert Execution.unscoped.get(pk=execution.pk).output == 120


def test_wcp_24_persistent_trigger():
    nodes = [node("a", "wait", {"signal": "go"}), says("b")]
    assert run(nodes, [edge("a", "b")])[1] == Ending("waiting")
    assert run(nodes, [edge("a", "b")], signals=[("go", 5)])[1].output == 5


def test_wcp_25_cancel_region():
    """What goes on in one turn of a map is withdrawn when a node of it fails; the other turns go on."""
    fails = node("b", "validate", {"schema": {"type": "number"}})
    nodes = [node("each", "map", {"on_item_error": "skip"}), says("a")]
    nodes += [node("w", "call", {"seconds": 0.02}), fails]
    nodes += [node("c", "call", {"seconds": 0.2})]
    edges = [edge("each", "a", "item"), edge("a", "w"), edge("w", "b"), edge("a", "c")]
    steps, ending = run(nodes, edges, input=["x", 1])
    assert ending.status == "completed"
    assert len(ending.output) == 1
    withdrawn = [s.status for s in steps if s.node_id == "c"]
    assert sorted(withdrawn) == ["cancelled", "completed"]


def test_wcp_26_cancel_multiple_instance_task():
    each = node("each", "map", on_error="branch")
    fails = node("b", "validate", {"schema": {"type": "number"}})
    nodes = [each, fails, node("c", "call", {"seconds": 5}), says("d", "withdrawn")]
    edges = [edge("each", "b", "item"), edge("each", "d", "error"), edge("b", "c")]
    assert run(nodes, edges, input=[1, "x"])[1].output == "withdrawn"


def test_wcp_33_generalised_and_join():
    nodes = [when("a", 5), says("b"), says("c"), says("d", "both", join="all")]
    edges = [edge("a", "b", "true"), edge("a", "c", "false"), *JOIN[2:]]
    steps, _ = run(nodes, edges, input=9)
    assert "d" not in ran(steps)  # one of its two never comes


def test_wcp_37_local_synchronizing_merge():
    nodes = [when("a", 5), when("b", 7), says("c"), says("d"), says("e", "end")]
    edges = [edge("a", "b", "true"), edge("b", "c", "true"), edge("a", "d", "false")]
    edges += [edge("c", "e"), edge("d", "e"), edge("b", "e", "false")]
    assert run(nodes, edges, input=6)[1].output == "end"


def test_wcp_38_general_synchronizing_merge():
    """That a branch will not come any more is known when it is decided, however far away."""
    nodes = [says("s"), when("a", 5), says("b"), says("c"), says("d"), says("e", "{{ input }}")]  # fmt: skip
    edges = [edge("s", "a"), edge("a", "b", "true"), edge("b", "c"), edge("c", "e")]
    edges += [edge("s", "d"), edge("d", "e")]
    assert run(nodes, edges, input=1)[1].output == 1
    assert run(nodes, edges, input=9)[1].output == {"c": 9, "d": 9}


def test_wcp_41_thread_merge_and_42_thread_split():
    nodes = [node("each", "map"), says("a", "{{ item + 1 }}"), says("b", "{{ input | sum }}")]  # fmt: skip
    edges = [edge("each", "a", "item"), edge("each", "b", "done")]
    assert run(nodes, edges, input=[1, 2, 3])[1].output == 9


def test_wcp_43_explicit_termination():
    stop = node("b", "stop", {"output": "enough"})
    nodes = [says("a"), stop, node("c", "call", {"seconds": 5})]
    steps, ending = run(nodes, SPLIT)
    assert ending.output == "enough"
    assert {s.status for s in steps if s.node_id == "c"} <= {"cancelled"}


def test_the_page_says_of_each_pattern_whether_it_is_shown_here():
    rows = re.findall(
        r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE
    )
    assert [int(number) for number, _ in rows] == list(range(1, 44))
    said = {int(number) for number, word in rows if word.strip() == "yes"}
    shown = {
        int(number)
        for name in globals()
        if name.startswith("test_wcp_")
        for number in re.findall(r"_(\d+)_", name)
    }
    assert said == shown
