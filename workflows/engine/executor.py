"""Runs one execution: plain asyncio, no database.

A `Run` walks a compiled graph. What it needs from outside is a `Journal`: somewhere to write steps down before and after an effect, and to remember
results. Given the steps that an earlier process wrote, it goes on where that one was: finished nodes are settled from their record, pure ones that left
no record run again, and an effect that was in flight repeats under the same key, or ends as unknown where it may not.

An edge is undecided, taken or skipped. A node is settled once it is known which of its outgoing edges are taken; a node whose incoming edges are all
decided is run or skipped by its join. Branches run at the same time: effects as tasks, pure nodes in between.

All of that happens in a *scope*. The whole run is one; each turn of a `map` or `loop` is another inside it, with edges, outputs and an iteration of its
own, which ends when nothing in it is open any more, and gives its result to the node that began it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from craft.encoding import utc_text
from craft.exceptions import DomainError
from workflows.engine import flights
from workflows.engine.budgets import overrun
from workflows.engine.conditions import compile_conditions
from workflows.engine.expressions import ExpressionError, compile_value, render
from workflows.engine.graph import DONE, ITEM, Edge, Graph, GraphNode
from workflows.engine.pins import (
    MOCKED,
    PINNED,
    handles_of,
    mocked_output,
    pinned_output,
)
from workflows.engine.retry import RetryPolicy
from workflows.engine.secrets import Secrets
from workflows.engine.usage import added, sum_of
from workflows.nodes.base import (
    Iterating,
    NodeError,
    Opening,
    Outcome,
    Output,
    Signal,
    Stop,
    Turns,
    Usage,
    Waiting,
)

if TYPE_CHECKING:
    from integrations.models import Opened

logger = logging.getLogger("craft.engine")

T = TypeVar("T")

SHORT_WAIT = timedelta(seconds=5)
"""A wait up to this long is slept on the loop; a longer one lets go of the worker."""
DEFAULT_EFFECT_TIMEOUT = 300.0
MAX_PARALLEL = 16
MAX_LOG_LINES = 1_000
BREATHE_EVERY = 50  # pure nodes between two looks at the loop
FLUSH_AT = 500  # steps of turns that are over, so that many turns don't fill the memory
SIGNAL_KEPT = timedelta(hours=24)

TAKEN, SKIPPED = True, False


class LeaseLostError(Exception):
    """A write was refused, since another process holds this execution now, or failed: what this one still knows is dropped, and its lease runs out."""


@dataclass
class StepRecord:
    """What is written down of a node's run. `handles` are those that were taken; a step with `completed_at` is settled and never runs again."""

    node_id: str
    type: str
    name: str
    position: int
    status: str
    started_at: datetime
    input: Any = None
    output: Any = None
    handles: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    attempt: int = 1
    completed_at: datetime | None = None
    wake_at: datetime | None = None
    iteration: str = ""
    usage: Usage | None = None
    origin: str = ""
    begun: int = 0
    ended: int = 0
    opening: Opening | None = None
    """What is to be opened together with the step: written with it, once."""
    took: str = ""
    """The signal that it consumed."""

    @property
    def slot(self) -> str:
        """Where an answer to this very attempt is kept."""
        return f"{self.node_id}:{self.iteration}:{self.attempt}"


@dataclass(eq=False)
class Job:
    """An execution as its run sees it."""

    execution_id: str
    company_id: int
    epoch: int
    input: Any
    trigger: dict[str, Any]
    variables: dict[str, Any]
    workflow: dict[str, Any]
    logs: list[dict[str, Any]] = field(default_factory=list)
    is_test: bool = False
    depth: int = 0
    """How many executions stand above it."""
    wakes: int = 0
    """How often something had come for it when it was read."""
    signals: list[Signal] = field(default_factory=list)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What came for a step's opening, by the step's slot."""
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    budget: Mapping[str, Any] = field(default_factory=dict)
    started_at: datetime | None = None
    pins: Mapping[str, Any] = field(default_factory=dict)
    """By node: what it is said to have put out, so that it does not run."""
    is_dry: bool = False
    """Nothing reaches outside, and nobody waits: effects give their type's example."""
    only: str = ""
    """Of all nodes this one runs, with the execution's input; the pins are what the others put out."""


@dataclass(frozen=True)
class Ending:
    """How a run left its execution: over (`completed`, `failed`, `cancelled`), `waiting` until `wake_at` or until something comes for it, or `pending`, for the
    next process."""

    status: str
    output: Any = None
    error: dict[str, Any] | None = None
    wake_at: datetime | None = None


class Journal(flights.Store, Protocol):
    async def progress(
        self, run: Run, steps: list[StepRecord], *, advanced: bool
    ) -> None:
        """Write the steps down and return once they are committed. `advanced`: an effect has finished. Raises LeaseLostError."""


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends: no loop, no thread, no cost."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("An instant graph suspended.")


def utcnow() -> datetime:
    return datetime.now(UTC)


def _is_settled(node: GraphNode, record: StepRecord) -> bool:
    """A pure node that completed and took no edge may have stopped the whole run, which its record does not say: it runs again."""
    if record.status == "completed" and node.node.effect == "pure":
        return bool(record.handles)
    return record.completed_at is not None


class Scope:
    """Where a stretch of the walk keeps what it knows: the whole run, or one turn of a `map` or `loop`."""

    __slots__ = (
        "begun",
        "edges",
        "error",
        "index",
        "is_over",
        "item",
        "iteration",
        "open",
        "outputs",
        "terminals",
        "within",
    )

    def __init__(self, within: Rounds | None = None, index: int = 0) -> None:
        self.within = within
        self.index = index
        self.iteration = ""
        self.item: Any = None
        self.edges: dict[int, bool] = {}
        self.begun: dict[str, list[Edge]] = {}
        """By node: the edges that it was reached by."""
        self.outputs: dict[str, Any] = {}
        self.terminals: dict[str, Any] = {}
        self.error: dict[str, Any] | None = None
        self.open = 0
        """How many nodes are queued, at work or waiting."""
        self.is_over = False


@dataclass(eq=False)
class Rounds:
    """A `map` or `loop` on its way: a node that begins a scope for each of its turns."""

    node: GraphNode
    step: StepRecord
    scope: Scope
    """In which the node itself stands."""
    turns: Turns
    running: dict[int, Scope] = field(default_factory=dict)
    begun: int = 0
    is_over: bool = False

    def begin(self, item: Any) -> Scope:
        scope = Scope(self, self.begun)
        place = str(self.begun)
        self.begun += 1
        around = self.scope
        scope.iteration = f"{around.iteration}.{place}" if around.iteration else place
        scope.item, scope.error = item, around.error
        scope.outputs = {**around.outputs, self.node.id: item}
        self.running[scope.index] = scope
        return scope


class NodeCall:
    """A node's view of its run: see `workflows.nodes.base.Call`."""

    def __init__(
        self,
        run: Run,
        node: GraphNode,
        step: StepRecord,
        scope: dict[str, Any],
        config: dict[str, Any],
        place: Scope,
    ) -> None:
        self._run = run
        self._place = place
        self._scope = scope
        self._step = step
        self._node = node
        self.config = config
        self.input = step.input
        self.attempt = step.attempt
        self.started_at = step.started_at
        job = run.job
        self.is_dry = job.is_dry
        self.company_id = job.company_id
        self.execution_id = job.execution_id
        self.workflow_id = job.workflow["id"]
        self.node_id = node.id
        self.idempotency_key = f"{job.execution_id}:{node.id}:{step.iteration}"
        self.depth = job.depth

    @property
    def inputs(self) -> dict[str, Any]:
        return self._run.inputs_of(self._node, self._place)

    @property
    def answer(self) -> dict[str, Any] | None:
        return self._run.job.answers.get(self._step.slot)

    def signal(self, name: str) -> Signal | None:
        return self._run.signal(name, self._step)

    @property
    def leaving(self) -> frozenset[str]:
        return frozenset(edge.handle for edge in self._node.outgoing)

    def evaluate(self, value: Any, **names: Any) -> Any:
        return compile_value(value).resolve({**self._scope, **names})

    def render(self, text: str, escape: Callable[[str], str], **names: Any) -> str:
        return render(text, {**self._scope, **names}, escape)

    def matches(
        self, conditions: list[dict[str, Any]], combine: str = "all", *, data: Any = ...
    ) -> bool:
        return compile_conditions(conditions, combine)(
            self.input if data is ... else data, self._scope
        )

    def matcher(
        self, conditions: list[dict[str, Any]], combine: str = "all"
    ) -> Callable[..., bool]:
        check = compile_conditions(conditions, combine)
        return lambda value, **names: check(value, {**self._scope, **names})

    def log(self, message: str, **details: Any) -> None:
        self._run.log(self._step.node_id, message, **details)

    def credential(self, field: str = "credential") -> Opened | None:
        word = self.config.get(field)
        if not word:
            return None
        types = self._node.node.config_schema["properties"][field]["x-credential"]
        return self._run.job.secrets.credential(word, types)

    def hide(self, text: str) -> None:
        self._run.job.secrets.hide(text)

    def redact(self, text: str) -> str:
        return str(self._run.job.secrets.redact(text))


class Run:
    """One execution on its way, in one process."""

    def __init__(
        self,
        job: Job,
        graph: Graph,
        recorded: list[StepRecord],
        journal: Journal,
        *,
        can_sleep: bool = True,
    ) -> None:
        self.job = job
        self.graph = graph
        self.journal = journal
        self.can_sleep = can_sleep
        self.logs = list(job.logs)
        self.is_cancelled = False
        self.is_interrupted = False
        self.unsaved: list[StepRecord] = []
        self.usage = sum_of(record.usage for record in recorded) if recorded else {}
        self._news: list[tuple[str, dict[str, Any]]] = []
        self._recorded = {
            (record.node_id, record.iteration): record for record in recorded
        }
        self._root = Scope()
        if job.only:
            self._root.outputs.update(job.pins)
        roots = [graph.nodes[job.only]] if job.only else graph.roots
        self._queue: deque[tuple[GraphNode, Scope]] = deque(
            (node, self._root) for node in roots
        )
        self._root.open = len(self._queue)
        self._tasks: dict[asyncio.Task[None], Scope] = {}
        self._sleepers: set[asyncio.Task[None]] = set()
        self._parked: list[tuple[Scope, datetime | None]] = []
        self._rounds: set[Rounds] = set()
        self._hungry: deque[Rounds] = deque()
        self._taken: set[str] = set()
        self._ending: Ending | None = None
        self._since_breath = 0
        self._number = max(
            (max(step.begun, step.ended) for step in recorded), default=1
        )

    # --- The walk ---

    async def execute(self) -> Ending:
        """Walk until nothing is left to do here. Raises LeaseLostError."""
        try:
            while True:
                if self._hungry and not self._is_stopping:
                    self._begin_turns(self._hungry.popleft())
                    if self._is_out_of_breath():
                        await self._breathe()
                elif (
                    self._queue
                    and not self._is_stopping
                    and len(self._tasks) < MAX_PARALLEL
                ):
                    await self._take_next()
                elif self._tasks:
                    await self._await_one()
                else:
                    return self._conclude()
        finally:
            for task in self._tasks:
                task.cancel()

    @property
    def _is_stopping(self) -> bool:
        return self.is_cancelled or self.is_interrupted or self._ending is not None

    def cancel(self) -> None:
        """End as cancelled, now: also the calls in flight. Called on the loop."""
        self.is_cancelled = True
        for task in self._tasks:
            task.cancel()

    def interrupt(self) -> None:
        """Stop where it is and leave the rest to another process. Calls in flight are awaited, since they may have done their work. Called on the loop."""
        self.is_interrupted = True
        for sleeper in self._sleepers:
            sleeper.cancel()

    async def _take_next(self) -> None:
        node, scope = self._queue.popleft()
        if scope.is_over:
            return
        record = self._recorded.get((node.id, scope.iteration))
        if record is not None and _is_settled(node, record):
            self._settle_again(node, record, scope)
        elif node.is_inline:
            await self._run_node(node, scope)
            if self._is_out_of_breath():
                await self._breathe()
        else:
            self._spawn(self._run_node(node, scope), scope)

    def _is_out_of_breath(self) -> bool:
        self._since_breath += 1
        return self.can_sleep and self._since_breath >= BREATHE_EVERY

    async def _breathe(self) -> None:
        self._since_breath = 0
        await asyncio.sleep(0)
        if len(self.unsaved) >= FLUSH_AT:
            await self.journal.progress(self, self.take_unsaved(), advanced=True)

    def _spawn(
        self, coroutine: Coroutine[Any, Any, None], scope: Scope
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks[task] = scope
        return task

    async def _await_one(self) -> None:
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._tasks[task]
            self._sleepers.discard(task)
            if not task.cancelled():
                task.result()

    def _conclude(self) -> Ending:
        if self.is_cancelled:
            self._break_off_all()
            return Ending("cancelled")
        if self._ending is not None:
            self._break_off_all()
            return self._ending
        if self.is_interrupted:
            return Ending("pending", wake_at=utcnow())
        # A turn that was broken off waits for nothing any more.
        parked = [until for scope, until in self._parked if not scope.is_over]
        if parked:
            times = [until for until in parked if until is not None]
            return Ending("waiting", wake_at=min(times, default=None))
        return Ending("completed", output=self._output())

    def _break_off_all(self) -> None:
        """The execution is over, so no step of it stays open."""
        for step in self._recorded.values():
            self._break_off(step)

    def _break_off(self, step: StepRecord) -> None:
        """What is finished stays finished; of a call that may happen once only, nobody knows whether it went out."""
        if step.completed_at is None:
            effect = self.graph.nodes[step.node_id].node.effect
            is_unknown = effect == "at_most_once" and step.status == "running"
            self._close(step, "unknown" if is_unknown else "cancelled")
            self.unsaved.append(step)

    def _output(self) -> Any:
        """That of the `output` or `respond` nodes that were reached, else that of the last node."""
        if self.job.only:
            return self._root.outputs.get(self.job.only)
        return self._result_of(self._root) if self.graph.nodes else self.job.input

    def _result_of(self, scope: Scope) -> Any:
        declared = {
            node_id: scope.outputs[node_id]
            for node_id in self.graph.answering
            if node_id in scope.outputs
            and (scope is self._root or node_id in scope.begun)
        }
        if declared:
            return next(iter(declared.values())) if len(declared) == 1 else declared
        if len(scope.terminals) < 2:
            return next(iter(scope.terminals.values()), None)
        last = [node_id for node_id in self.graph.nodes if node_id in scope.terminals]
        return scope.terminals[last[-1]]

    # --- One node ---

    async def _run_node(self, node: GraphNode, scope: Scope) -> None:
        step = self._open(node, scope)
        if step.error and step.wake_at and step.wake_at > utcnow():
            self._wait(node, step, scope, step.wake_at)  # what is due is another branch
            return
        if node.id in self.job.pins and node.id != self.job.only:
            self._pin(node, step, scope)
            return
        names = self._names_for(node, step, scope)
        try:
            if node.disabled or not self._is_wanted(node, names):
                self._pass_over(node, step, scope)
                return
            if step.status == "running" and node.node.effect == "at_most_once":
                self._fail(
                    node,
                    step,
                    scope,
                    NodeError(
                        "The process ended while this call was in flight; nobody knows whether it went out.",
                        code="unknown_outcome",
                    ),
                    status="unknown",
                )
                return
            await self._attempt(node, step, scope, names)
        except asyncio.CancelledError:
            self._break_off(step)
            raise

    def _open(self, node: GraphNode, scope: Scope) -> StepRecord:
        """A fresh step, or the one that an earlier process left waiting or in flight."""
        left = self._recorded.get((node.id, scope.iteration))
        if left is not None and left.completed_at is None:
            left.attempt += left.status == "running" and not node.body
            return left
        step = self._recorded[node.id, scope.iteration] = StepRecord(
            node_id=node.id,
            type=node.type,
            name=node.name,
            position=node.index,
            status="pending",
            started_at=utcnow(),
            input=self._input_of(node, scope),
            iteration=scope.iteration,
        )
        return step

    def _pin(self, node: GraphNode, step: StepRecord, scope: Scope) -> None:
        pinned = pinned_output(node, self.job.pins[node.id])
        step.output, step.handles = pinned.value, list(pinned.handles)
        step.origin = PINNED
        self._close(step, "completed")
        self.unsaved.append(step)
        self._settle(node, step, scope)

    def inputs_of(self, node: GraphNode, scope: Scope) -> dict[str, Any]:
        """What each edge brought that the node was begun on, by the node that it left."""
        if self.job.only:
            sources = {edge.source for edge in node.incoming}
            is_by_source = isinstance(self.job.input, dict) and len(sources) > 1
            return (
                {
                    source: value
                    for source, value in self.job.input.items()
                    if source in sources
                }
                if is_by_source
                else dict.fromkeys(sources, self.job.input)
            )
        return {
            edge.source: scope.outputs[edge.source]
            for edge in scope.begun.get(node.id, ())
        }

    def _input_of(self, node: GraphNode, scope: Scope) -> Any:
        if not node.incoming or node.id == self.job.only:
            return self.job.input
        taken = scope.begun[node.id]
        if len(taken) == 1:
            return scope.outputs[taken[0].source]
        return {edge.source: scope.outputs[edge.source] for edge in taken}

    def signal(self, name: str, step: StepRecord) -> Signal | None:
        """The first of this name that nobody has consumed. One that came long before anybody waited for it is forgotten."""
        too_old = step.started_at - SIGNAL_KEPT
        for signal in self.job.signals:
            is_meant = signal.name == name and signal.at >= too_old
            if is_meant and signal.id not in self._taken:
                return signal
        return None

    def _names_for(
        self, node: GraphNode, step: StepRecord, scope: Scope
    ) -> dict[str, Any]:
        names = {
            "input": step.input,
            "trigger": self.job.trigger,
            "variables": self.job.variables,
            "nodes": scope.outputs,
            "error": scope.error,
            "execution": {"id": self.job.execution_id, "attempt": step.attempt},
            "workflow": self.job.workflow,
            "now": utc_text(step.started_at),
            "secrets": self.job.secrets.scope,
        }
        if scope.within is not None:
            names["item"], names["index"] = scope.item, scope.index
        return names

    def _is_wanted(self, node: GraphNode, scope: dict[str, Any]) -> bool:
        if node.run_if is None:
            return True
        try:
            return bool(node.run_if.resolve(scope))
        except ExpressionError as error:
            self.log(
                node.id,
                f"run_if could not be evaluated, so the node is skipped: {error}",
                level="warning",
            )
            return False

    def _pass_over(self, node: GraphNode, step: StepRecord, scope: Scope) -> None:
        """A disabled node hands its input on; one whose `run_if` does not hold skips what follows."""
        step.output = step.input if node.disabled else None
        step.handles = [node.onward] if node.disabled else []
        self._close(step, "skipped")
        self.unsaved.append(step)
        self._settle(node, step, scope)

    async def _attempt(
        self, node: GraphNode, step: StepRecord, scope: Scope, names: dict[str, Any]
    ) -> None:
        try:
            outcome = await self._call(node, step, scope, names)
        except LeaseLostError:
            raise
        except NodeError as error:
            if error.usage:
                self._spend(step, error.usage)
            await self._retry_or_fail(node, step, scope, error)
        except ExpressionError as error:
            self._fail(node, step, scope, NodeError(str(error), code=error.code))
        except DomainError as error:
            await self._retry_or_fail(
                node,
                step,
                scope,
                NodeError(
                    error.message, code=error.code, retryable=error.status_code >= 500
                ),
            )
        except TimeoutError:
            limit = node.timeout_seconds or DEFAULT_EFFECT_TIMEOUT
            await self._retry_or_fail(
                node,
                step,
                scope,
                NodeError(
                    f"The node took longer than {limit:g} seconds.",
                    code="timeout",
                    retryable=True,
                ),
            )
        except Exception:
            told = self.job.secrets.redact(traceback.format_exc())
            logger.error(
                "node %s of %s broke\n%s", node.id, self.job.execution_id, told
            )  # as text: it may hold a secret
            self._fail(
                node,
                step,
                scope,
                NodeError(
                    "The node broke on its own side; the log says how.",
                    code="internal_error",
                ),
            )
        else:
            await self._apply(node, step, scope, outcome)

    async def _call(
        self, node: GraphNode, step: StepRecord, scope: Scope, names: dict[str, Any]
    ) -> Outcome:
        if node.secrets:
            self.job.secrets.require(node.secrets)
        config = node.resolve(names)
        if self.job.is_dry and (node.node.effect != "pure" or node.node.opens):
            step.origin = MOCKED
            return mocked_output(node)
        call = NodeCall(self, node, step, names, config, scope)
        if node.is_inline:
            return self.job.secrets.redact_outcome(await node.node.run(call))
        if node.cache:
            return await self._call_once(node, step, names, call)
        return await self._call_now(node, step, call)

    async def _call_now(
        self, node: GraphNode, step: StepRecord, call: NodeCall
    ) -> Outcome:
        if node.node.effect != "pure":
            job = self.job
            error = overrun(job.budget, self.usage, job.started_at, utcnow())
            if error is not None:
                return Stop(error=error)
            outcome = await self._call_outside(node, step, call)
        elif node.suspends:
            outcome = await self._call_in_time(node, call)
        else:
            outcome = await node.node.run(call)
        return self.job.secrets.redact_outcome(outcome)

    async def _call_once(
        self, node: GraphNode, step: StepRecord, names: dict[str, Any], call: NodeCall
    ) -> Outcome:
        """What an equal call gave, or is about to give, else the call itself. Only an output is kept: no error, no wait."""
        cache = node.cache or {}
        outcome: Outcome | None = None

        async def calling() -> flights.Result | None:
            nonlocal outcome
            outcome = await self._call_now(node, step, call)
            if isinstance(outcome, Output) and outcome.is_repeatable:
                return outcome.value, list(outcome.handles)
            return None

        key = self._cache_key(node, step, names, call.config)
        found, is_hit = await flights.once(
            self.journal, key, int(cache["ttl_seconds"]), calling
        )
        if found is not None and is_hit:
            self.log(node.id, "answered from the cache", cached=True)
            return Output(found[0], tuple(found[1]))
        assert outcome is not None  # noqa: S101  # narrows the type: the call was ours
        return outcome

    async def _call_outside(
        self, node: GraphNode, step: StepRecord, call: NodeCall
    ) -> Outcome:
        """The intent is committed before the call goes out, with all pure steps that led to it: a restart can't choose another way."""
        step.status = "running"
        await self._save(step)
        return await self._call_in_time(node, call)

    async def _call_in_time(self, node: GraphNode, call: NodeCall) -> Outcome:
        async with asyncio.timeout(node.timeout_seconds or DEFAULT_EFFECT_TIMEOUT):
            return await node.node.run(call)

    def _cache_key(
        self,
        node: GraphNode,
        step: StepRecord,
        names: dict[str, Any],
        config: dict[str, Any],
    ) -> str:
        said = (node.cache or {}).get("key")
        what = (
            compile_value(said).resolve(names)
            if said
            else [config, self._read_by(node, config, names), step.input]
        )
        text = json.dumps(
            [self.job.company_id, self.job.is_test, node.type, what],
            sort_keys=True,
            default=str,
        )
        return f"node:{hashlib.sha256(text.encode()).hexdigest()}"

    def _read_by(
        self, node: GraphNode, config: dict[str, Any], names: dict[str, Any]
    ) -> Any:
        """What stands in the fields that the node evaluates itself, and where that can't be told beforehand, all that they may read."""
        raw = {key: config[key] for key in node.node.raw_fields & config.keys()}
        if not raw:
            return None
        try:
            return compile_value(raw).resolve(names)
        except ExpressionError:
            return {name: names[name] for name in names.keys() - {"execution", "now"}}

    async def _apply(
        self, node: GraphNode, step: StepRecord, scope: Scope, outcome: Outcome
    ) -> None:
        match outcome:
            case Output():
                self._take_output(step, outcome)
                if node.is_inline:
                    self.unsaved.append(step)
                else:
                    await self._write_down(node, step)
                self._settle(node, step, scope)
            case Iterating(turns):
                await self._iterate(node, step, scope, turns)
            case Waiting() if self.job.is_dry:
                step.origin = MOCKED
                passed_on = Output(step.input, handles_of(node)[:1])
                await self._apply(node, step, scope, passed_on)
            case Waiting(until, opening):
                is_open = step.status == "waiting"
                self._wait(node, step, scope, until)
                if opening is not None and not is_open:
                    step.opening = opening
                    await self._save(step)
                    step.opening = None
            case Stop(output, error):
                step.output = output
                self._close(
                    step,
                    "failed" if error else "completed",
                    self._describe(node, error) if error else None,
                )
                await self._write_down(node, step)
                self._ending = (
                    Ending("failed", output=output, error=step.error)
                    if error
                    else Ending("completed", output=output)
                )

    def _take_output(self, step: StepRecord, outcome: Output) -> None:
        step.output, step.handles = outcome.value, list(outcome.handles)
        step.took, step.opening = outcome.took, outcome.opening
        if self.job.is_dry and step.opening is not None:
            step.origin, step.opening = MOCKED, None
        if step.took:
            self._taken.add(step.took)
        if outcome.usage:
            self._spend(step, outcome.usage)
        if outcome.news:
            self._news.extend(outcome.news)
        self._close(step, "completed")

    async def _write_down(self, node: GraphNode, step: StepRecord) -> None:
        if node.node.effect == "pure" or self.job.is_dry:
            self.unsaved.append(step)
        else:
            await self._save(step, advanced=True)

    def _spend(self, step: StepRecord, usage: Usage) -> None:
        """On the step, all its attempts together; on the run, also what earlier processes wrote down."""
        model = usage.get("model")
        step.usage = added(step.usage, usage) | ({"model": model} if model else {})
        self.usage = added(self.usage, usage)

    async def _save(self, step: StepRecord, *, advanced: bool = False) -> None:
        self.unsaved.append(step)
        await self.journal.progress(self, self.take_unsaved(), advanced=advanced)

    def take_unsaved(self) -> list[StepRecord]:
        """Copies: the writer reads them while the run goes on."""
        steps = [replace(step) for step in self.numbered_unsaved()]
        self.unsaved = []
        return steps

    def take_news(self) -> list[tuple[str, dict[str, Any]]]:
        """What the steps publish that are taken at the same time: to be written down with them."""
        news, self._news = self._news, []
        return news

    def numbered_unsaved(self) -> list[StepRecord]:
        """In the order in which they are written, which is that of their numbers."""
        for step in self.unsaved:
            self._count(step)
        return self.unsaved

    def _count(self, step: StepRecord) -> None:
        if not step.begun:
            self._number = step.begun = self._number + 1
        if step.completed_at is not None and not step.ended:
            self._number = step.ended = self._number + 1

    # --- Turns ---

    async def _iterate(
        self, node: GraphNode, step: StepRecord, scope: Scope, turns: Turns
    ) -> None:
        """Written down as running, so that its turns are taken for what they are should this process end."""
        rounds = Rounds(node, step, scope, turns)
        self._rounds.add(rounds)
        step.status = "running"
        self.unsaved.append(step)
        self._hungry.append(rounds)

    def _begin_turns(self, rounds: Rounds) -> None:
        """As many as may run side by side. What comes out of the last of them, the node goes on with."""
        if rounds.is_over:
            return
        try:
            while len(rounds.running) < rounds.turns.at_once:
                self._check_time(rounds)
                item = rounds.turns.begin()
                if item is None:
                    break
                self._begin_turn(rounds, item[0])
                if rounds.begun % BREATHE_EVERY == 0:
                    self._hungry.append(rounds)
                    return
        except (NodeError, ExpressionError) as error:
            self._fail_rounds(rounds, self._describe(rounds.node, error))
        else:
            if not rounds.running:
                self._end_rounds(rounds)

    def _check_time(self, rounds: Rounds) -> None:
        limit = rounds.node.timeout_seconds
        if limit and (utcnow() - rounds.step.started_at).total_seconds() > limit:
            raise NodeError(
                f"Its turns took longer than {limit:g} seconds.", code="timeout"
            )

    def _begin_turn(self, rounds: Rounds, item: Any) -> None:
        turn = rounds.begin(item)
        within = [edge for edge in rounds.node.outgoing if edge.handle == ITEM]
        for edge in within:
            turn.edges[edge.index] = TAKEN
        turn.open += 1  # until all that it begins with is queued
        self._look_behind(within, turn)
        self._leave(turn)

    def _end_rounds(self, rounds: Rounds) -> None:
        self._forget(rounds)
        step = rounds.step
        step.output, step.handles = rounds.turns.result(), [DONE]
        self._close(step, "completed")
        self.unsaved.append(step)
        self._settle(rounds.node, step, rounds.scope)

    def _fail_rounds(self, rounds: Rounds, error: dict[str, Any]) -> None:
        self._forget(rounds)
        self._break_off_inside(rounds)
        self._fail_with(rounds.node, rounds.step, rounds.scope, error)

    def _forget(self, rounds: Rounds) -> None:
        rounds.is_over = True
        self._rounds.discard(rounds)

    def _leave(self, scope: Scope) -> None:
        """One node less is open there. A turn in which none is any more is over."""
        scope.open -= 1
        rounds = scope.within
        if scope.open or rounds is None or scope.is_over:
            return
        self._end_turn(rounds, scope)
        rounds.turns.finish(scope.index, self._result_of(scope))
        self._hungry.append(rounds)

    def _end_turn(self, rounds: Rounds, scope: Scope) -> None:
        scope.is_over = True
        rounds.running.pop(scope.index, None)
        for node_id in rounds.node.body:
            record = self._recorded.get((node_id, scope.iteration))
            if record is not None and record.completed_at is not None:
                del self._recorded[node_id, scope.iteration]

    def _fail_turn(self, scope: Scope, error: dict[str, Any]) -> None:
        """The rest of the turn is broken off; whether the others go on is the node's own rule."""
        rounds = scope.within
        if rounds is None or scope.is_over:
            return
        self._break_off_scope(scope)
        self._end_turn(rounds, scope)
        if rounds.turns.fail(scope.index, error):
            self._hungry.append(rounds)
        else:
            self._fail_rounds(rounds, error)

    def _break_off_inside(self, rounds: Rounds) -> None:
        for scope in list(rounds.running.values()):
            self._break_off_scope(scope)
            self._end_turn(rounds, scope)

    def _break_off_scope(self, scope: Scope) -> None:
        scope.is_over = True
        inner = [rounds for rounds in self._rounds if rounds.scope is scope]
        for rounds in inner:
            self._forget(rounds)
            self._break_off(rounds.step)
            self._break_off_inside(rounds)
        current = asyncio.current_task() if self._tasks else None
        for task, place in self._tasks.items():
            if place is scope and task is not current:
                task.cancel()
        for node_id in scope.within.node.body if scope.within else ():
            step = self._recorded.get((node_id, scope.iteration))
            if step is not None and step.status == "waiting":
                self._break_off(step)

    # --- Waits, retries and errors ---

    def _wait(
        self, node: GraphNode, step: StepRecord, scope: Scope, until: datetime | None
    ) -> None:
        step.status, step.wake_at = "waiting", until
        if (
            until is not None
            and self.can_sleep
            and not self.is_interrupted
            and not node.node.opens
            and until - utcnow() <= SHORT_WAIT
        ):
            self._sleepers.add(self._spawn(self._sleep(node, scope, until), scope))
        else:
            self._parked.append((scope, until))
        self.unsaved.append(step)

    async def _sleep(self, node: GraphNode, scope: Scope, until: datetime) -> None:
        await asyncio.sleep(max(0.0, (until - utcnow()).total_seconds()))
        self._queue.appendleft((node, scope))

    async def _retry_or_fail(
        self, node: GraphNode, step: StepRecord, scope: Scope, error: NodeError
    ) -> None:
        retry = self._retry_for(node, step, error)
        if retry is None:
            is_unknown = node.node.effect == "at_most_once" and error.code == "timeout"
            status = "unknown" if is_unknown else "failed"
            self._fail(node, step, scope, error, status=status)
            await self._flush_failure(node)
            return
        key = f"{self.job.execution_id}:{node.id}{step.iteration}"
        seconds = max(
            retry.delay_before(step.attempt + 1, key=key), error.retry_after or 0.0
        )
        self.log(
            node.id,
            f"attempt {step.attempt} failed, the next one comes in {seconds:.1f} s: {error.message}",
            level="warning",
        )
        step.attempt += 1
        step.error = self._describe(node, error)
        self._wait(node, step, scope, utcnow() + timedelta(seconds=seconds))

    def _retry_for(
        self, node: GraphNode, step: StepRecord, error: NodeError
    ) -> RetryPolicy | None:
        """The node's policy, if it allows another attempt."""
        if (
            self.is_cancelled
            or self.job.is_dry
            or node.retry is None
            or node.node.effect == "at_most_once"
        ):
            return None
        allowed = node.retry.allows(step.attempt, error.code, error.retryable)
        return node.retry if allowed else None

    def _fail(
        self,
        node: GraphNode,
        step: StepRecord,
        scope: Scope,
        error: NodeError,
        *,
        status: str = "failed",
    ) -> None:
        self.log(node.id, error.message, level="error", code=error.code)
        self._fail_with(node, step, scope, self._describe(node, error), status)

    def _fail_with(
        self,
        node: GraphNode,
        step: StepRecord,
        scope: Scope,
        error: dict[str, Any],
        status: str = "failed",
    ) -> None:
        if node.on_error == "fail":
            step.handles = []
        else:
            scope.error = error
            step.handles = ["error"] if node.on_error == "branch" else [node.onward]
            step.output = {"error": error, "input": step.input}
        self._close(step, status, error)
        self.unsaved.append(step)
        if node.on_error != "fail":
            self._settle(node, step, scope)
        else:
            self._fail_scope(scope, error)

    def _fail_scope(self, scope: Scope, error: dict[str, Any]) -> None:
        if scope.within is None:
            self._ending = self._ending or Ending("failed", error=error)
        else:
            self._fail_turn(scope, error)

    async def _flush_failure(self, node: GraphNode) -> None:
        if node.node.effect != "pure" and self.unsaved:
            await self.journal.progress(self, self.take_unsaved(), advanced=True)

    def _describe(
        self, node: GraphNode, error: NodeError | ExpressionError
    ) -> dict[str, Any]:
        message = self.job.secrets.redact(str(error))
        return {"code": error.code, "message": message, "node_id": node.id}

    def _close(
        self, step: StepRecord, status: str, error: dict[str, Any] | None = None
    ) -> None:
        step.status, step.error, step.wake_at, step.completed_at = (
            status,
            error,
            None,
            utcnow(),
        )

    # --- Edges and joins ---

    def _settle_again(self, node: GraphNode, record: StepRecord, scope: Scope) -> None:
        """As an earlier process left it: also an error goes on where it went, and ends the run where it did."""
        if record.status in {"failed", "unknown"}:
            if node.on_error == "fail":
                self._fail_scope(scope, record.error or {})
                return
            scope.error = record.error
        self._settle(node, record, scope)

    def _settle(self, node: GraphNode, step: StepRecord, scope: Scope) -> None:
        """The node's edges are decided; look at what lies behind them."""
        handles = step.handles
        scope.outputs[node.id] = step.output
        onward = node.leading_on
        taken = False
        for edge in onward:
            scope.edges[edge.index] = is_taken = edge.handle in handles
            taken = taken or is_taken
        if step.status != "skipped" and not taken:
            scope.terminals[node.id] = step.output
        if onward and node.id != self.job.only:
            self._look_behind(onward, scope)
        self._leave(scope)

    def _look_behind(self, edges: Sequence[Edge], scope: Scope) -> None:
        pending = deque(edges)
        while pending:
            target = self.graph.nodes[pending.popleft().target]
            verdict = self._join(target, scope)
            if verdict is None or target.id in scope.begun:
                continue
            scope.begun[target.id] = [
                edge for edge in target.incoming if scope.edges.get(edge.index) is TAKEN
            ]
            if verdict:
                scope.open += 1
                self._queue.append((target, scope))
            else:
                self._skip(target, scope)
                pending.extend(target.leading_on)

    def _join(self, node: GraphNode, scope: Scope) -> bool | None:
        """Whether the node runs (True), is skipped (False), or has to wait for more (None)."""
        if len(node.incoming) == 1:  # then all joins are alike
            return scope.edges.get(node.incoming[0].index)
        states = [scope.edges.get(edge.index) for edge in node.incoming]
        if node.join == "any" and TAKEN in states:
            return True
        if None in states:
            return None
        return all(states) if node.join == "all" else any(states)

    def _skip(self, node: GraphNode, scope: Scope) -> None:
        for edge in node.leading_on:
            scope.edges[edge.index] = SKIPPED
        if (node.id, scope.iteration) not in self._recorded:
            now = utcnow()
            self.unsaved.append(
                StepRecord(
                    node.id,
                    node.type,
                    node.name,
                    node.index,
                    "skipped",
                    now,
                    completed_at=now,
                    iteration=scope.iteration,
                )
            )

    # --- The log ---

    def log(
        self, node_id: str | None, message: str, *, level: str = "info", **details: Any
    ) -> None:
        if len(self.logs) < MAX_LOG_LINES:
            line = {
                "time": utc_text(utcnow()),
                "level": level,
                "node_id": node_id,
                "message": self.job.secrets.redact(message)[:2_000],
            }
            told = self.job.secrets.redact(details)
            self.logs.append(line | ({"details": told} if told else {}))
