"""Where runs meet rows.

A *slice* is a stretch of work on a batch of executions. The thread that begins it is its writer: it commits what the runs ask for, all that has come
in since the last commit at once, while the runs themselves go on on this process's one event loop. So a batch of fifty shares its commits, and no
database connection is ever used from the loop. Executions of instant graphs need no loop: they are run to their end in the writer itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from collections.abc import Sequence
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

from django.db import connection
from django.db.models import prefetch_related_objects

from craft.leases import Isolation, Keeper, claim, due
from workflows.engine import journal
from workflows.engine.executor import Ending, LeaseLostError, Run, StepRecord, drive
from workflows.engine.graph import Graph
from workflows.engine.journal import Write
from workflows.models import Execution

logger = logging.getLogger("craft.engine")

SLICE_SECONDS = 30.0
MAX_CLAIM = 50
MAX_OPEN = 200
"""As many executions may wait for the outside world in one slice; new ones join as old ones end."""
TOP_UP_SECONDS = 0.1
MAX_WRITES = 200
CANCEL_POLL_SECONDS = 0.5


@cache
def _loop_of(pid: int) -> asyncio.AbstractEventLoop:
    """This process's loop, on a thread of its own. By pid: a forked child starts its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="engine-loop", daemon=True).start()
    return loop


def engine_loop() -> asyncio.AbstractEventLoop:
    return _loop_of(os.getpid())


class RunningHere:
    """The runs of this process, so that a cancel reaches them."""

    def __init__(self) -> None:
        self._runs: dict[str, Run] = {}

    def add(self, run: Run) -> None:
        self._runs[run.job.execution_id] = run

    def remove(self, run: Run) -> None:
        self._runs.pop(run.job.execution_id, None)

    def ids(self) -> list[str]:
        return list(self._runs)

    def cancel(self, execution_id: str) -> None:
        run = self._runs.get(execution_id)
        if run is not None:
            engine_loop().call_soon_threadsafe(run.cancel)

    def obey_cancels(self) -> None:
        ids = self.ids()
        for execution_id in (
            journal.claimed_here(ids).values_list("pk", flat=True) if ids else []
        ):
            self.cancel(execution_id)


running_here = RunningHere()
isolation = Isolation()
keeper = Keeper(
    Execution,
    held=running_here.ids,
    on_tick=running_here.obey_cancels,
    tick_seconds=CANCEL_POLL_SECONDS,
)


class Slice:
    """One batch on its way. Also the journal of its runs."""

    def __init__(self) -> None:
        self._requests: SimpleQueue[tuple[Write, asyncio.Future[None] | None]] = (
            SimpleQueue()
        )
        self._executions: dict[str, Execution] = {}
        self._runs: list[Run] = []
        self._open = 0

    # --- As the journal, on the loop ---

    async def progress(
        self, run: Run, steps: list[StepRecord], *, advanced: bool
    ) -> None:
        execution = self._executions[run.job.execution_id]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._requests.put(
            (Write(execution, run.job.epoch, steps, advanced=advanced), done)
        )
        await done

    def recall(self, key: str) -> Any:
        return journal.recall(key)

    def remember(self, key: str, value: Any, seconds: int) -> None:
        journal.remember(key, value, seconds)

    async def _carry(self, run: Run) -> None:
        """One run from here to wherever it ends."""
        running_here.add(run)
        write: Write | None = None
        try:
            write = self._ending_of(run, await run.execute())
        except LeaseLostError:
            logger.info(
                "lease of %s lost, its work here is dropped", run.job.execution_id
            )
        except Exception:
            logger.exception("execution %s broke", run.job.execution_id)
            write = self._ending_of(run, broken())
        finally:
            running_here.remove(run)
            self._requests.put(
                (write or Write(self._executions[run.job.execution_id], -1), None)
            )

    def _ending_of(self, run: Run, ending: Ending) -> Write:
        return Write(
            self._executions[run.job.execution_id],
            run.job.epoch,
            run.take_unsaved(),
            ending,
            run.logs,
        )

    # --- As the writer, in the thread that began the slice ---

    @property
    def open(self) -> int:
        """How many runs have not ended."""
        return self._open

    def begin(self, executions: Sequence[Execution]) -> None:
        """Set claimed executions going. Those of instant graphs are over, and written down, when this returns."""
        recorded = journal.recorded_steps(executions) if executions else {}
        instant = []
        for execution in executions:
            graph = journal.graph_of(execution.version)
            if graph.is_instant:
                instant.append(run_instantly(execution, graph, recorded[execution.pk]))
            else:
                self.start(execution, graph, recorded[execution.pk])
        self._open += len(instant)
        self._commit([(write, None) for write in instant])

    def finish(self) -> None:
        """Leave what is not over to another process, once the calls in flight have come back."""
        if self._open:
            self.interrupt()
            self.serve()

    def start(
        self, execution: Execution, graph: Graph, recorded: list[StepRecord]
    ) -> None:
        run = Run(journal.job_of(execution), graph, recorded, self)
        self._executions[execution.pk] = execution
        self._runs.append(run)
        self._open += 1
        asyncio.run_coroutine_threadsafe(self._carry(run), engine_loop())

    def serve(self, *, until: float | None = None) -> bool:
        """Commit what the runs ask for until all have ended (True) or the time (monotonic seconds) is up."""
        while self._open:
            requests = self._collect(until)
            if not requests and until is not None and time.monotonic() >= until:
                return False
            self._commit(requests)
        return True

    def interrupt(self) -> None:
        for run in self._runs:
            engine_loop().call_soon_threadsafe(run.interrupt)

    def _collect(
        self, until: float | None
    ) -> list[tuple[Write, asyncio.Future[None] | None]]:
        timeout = None if until is None else max(0.0, until - time.monotonic())
        requests = []
        with contextlib.suppress(Empty):
            requests.append(self._requests.get(timeout=timeout))
            while len(requests) < MAX_WRITES:
                requests.append(self._requests.get_nowait())
        return requests

    def _commit(
        self, requests: Sequence[tuple[Write, asyncio.Future[None] | None]]
    ) -> None:
        writes = [write for write, _ in requests if write.epoch >= 0]
        accepted: dict[int, bool] = {}
        try:
            accepted = (
                dict(zip(map(id, writes), journal.commit(writes), strict=True))
                if writes
                else {}
            )
        except (
            Exception
        ):  # the runs are told; their leases run out and another process goes on
            logger.exception("could not write down %d steps and endings", len(writes))
        for write, done in requests:
            self._open -= done is None
            if done is not None:
                engine_loop().call_soon_threadsafe(
                    _answer, done, accepted.get(id(write), False)
                )


def _answer(done: asyncio.Future[None], is_written: bool) -> None:
    if done.done():
        return
    if is_written:
        done.set_result(None)
    else:
        done.set_exception(LeaseLostError())


def broken() -> Ending:
    return Ending(
        "failed",
        error={
            "code": "internal_error",
            "message": "The engine broke on its own side; the log says how.",
            "node_id": None,
        },
    )


def run_due(*, most: int = MAX_CLAIM) -> int:
    """Claim what is due and carry it as far as it goes, for one slice at the most. Returns how many executions were claimed."""
    until = time.monotonic() + SLICE_SECONDS
    claimed = 0
    with isolation.shared(), keeper.holding():
        piece = Slice()
        while time.monotonic() < until:
            found = claim_executions(limit=min(most, MAX_OPEN - piece.open))
            claimed += len(found)
            piece.begin(found)
            if not piece.open and not found:
                break
            piece.serve(until=min(until, time.monotonic() + TOP_UP_SECONDS))
        piece.finish()
    return claimed + (0 if claimed else run_suspect())


def run_suspect() -> int:
    """An execution under which processes were lost before runs with nobody beside it."""
    if not due(Execution, suspects=True).exists():
        return 0
    with isolation.alone() as is_ours, keeper.holding():
        found = claim_executions(limit=1, suspects=True) if is_ours else []
        piece = Slice()
        piece.begin(found)
        piece.serve(until=time.monotonic() + SLICE_SECONDS)
        piece.finish()
    return len(found)


def claim_executions(*, limit: int, suspects: bool = False) -> list[Execution]:
    executions = claim(Execution, limit=limit, suspects=suspects) if limit > 0 else []
    prefetch_related_objects(executions, "version", "workflow")
    return executions


def run_instantly(
    execution: Execution,
    graph: Graph,
    recorded: list[StepRecord],
    *,
    is_new: bool = False,
) -> Write:
    """Run an instant graph to its end, here and now. What to write is returned, so that a batch shares a commit."""
    run = Run(journal.job_of(execution), graph, recorded, Slice(), can_sleep=False)
    if execution.cancel_requested_at:
        run.is_cancelled = True
    try:
        ending = drive(run.execute())
    except Exception:
        logger.exception("execution %s broke", execution.pk)
        ending = broken()
    return Write(
        execution,
        execution.lease_epoch,
        run.take_unsaved(),
        ending,
        run.logs,
        is_new=is_new,
    )


def run_until(execution: Execution, graph: Graph, *, seconds: float) -> None:
    """Carry one execution inline until its deadline; then let go of it, so that a worker goes on. What is in flight is awaited in the background."""
    piece = Slice()
    with keeper.holding():
        piece.start(execution, graph, [])
        if piece.serve(until=time.monotonic() + seconds):
            return
    piece.interrupt()
    threading.Thread(
        target=_finish, args=(piece,), name="engine-writer", daemon=True
    ).start()


def _finish(piece: Slice) -> None:
    try:
        with keeper.holding():
            piece.serve()
    finally:
        connection.close()
