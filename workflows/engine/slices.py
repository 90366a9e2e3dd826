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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any

from django.db import (
    InterfaceError,
    OperationalError,
    connection,
    models,
)
from django.db.models.functions import Now

from craft import egress
from craft.leases import (
    ONCE_LOST,
    TWICE_LOST,
    Isolation,
    Keeper,
    claim,
    due,
)
from craft.lifetime import stopping
from workflows.engine import journal, payloads, results
from workflows.engine.arrivals import Come
from workflows.engine.executor import Ending, LeaseLostError, Run, StepRecord, drive
from workflows.engine.flights import Result
from workflows.engine.graph import Graph
from workflows.engine.journal import Write
from workflows.models import Execution

logger = logging.getLogger("craft.engine")

SLICE_SECONDS = 30.0
MAX_CLAIM = 100
MAX_OPEN = 200
"""As many executions may wait for the outside world in one slice; new ones join as old ones end."""
TOP_UP_SECONDS = 0.1
GATHER_SECONDS = 0.025
"""Who found little lets more come together: to look costs about as much as to run twenty."""
REMEMBERED_SECONDS = 1.0
MAX_WRITES = 200
FIRST_DOUBTED, MAX_DOUBTED = 2, 16
"""So many that a process was lost under may be at work side by side, when the process is new and when it has seen many prove themselves."""
CANCEL_POLL_SECONDS = 0.5
SUSPECT_PATIENCE = timedelta(seconds=30)
SETTLED_SECONDS = 5.0
"""A process that is younger runs no suspect: where processes die early, that would be taken for its fault."""

_starting = threading.Lock()
_doubting = threading.Lock()


def engine_loop() -> asyncio.AbstractEventLoop:
    """This process's one loop, on a thread of its own."""
    with _starting:
        return _loop_of(os.getpid())


@cache
def _loop_of(pid: int) -> asyncio.AbstractEventLoop:
    """By pid: a forked child starts its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="engine-loop", daemon=True).start()
    return loop


class HeldHere:
    """What this process has claimed and not yet let go of, by id and lease epoch: its leases are renewed, and a cancel reaches its run.

    It also knows the *doubted* among them: those under which a process was lost, and that have got no further since. Few of them are let in at first, and
    more as they prove themselves.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[str, int], Run | None] = {}
        self._doubted: set[tuple[str, int]] = set()
        self._window = FIRST_DOUBTED

    def add(self, execution: Execution, run: Run | None = None) -> None:
        key = execution.pk, execution.lease_epoch
        self._runs[key] = run
        if execution.attempts > 1:
            self._doubted.add(key)

    def remove(self, execution_id: str, epoch: int) -> None:
        self._runs.pop((execution_id, epoch), None)
        self._doubted.discard((execution_id, epoch))

    def ids(self) -> list[str]:
        return [execution_id for execution_id, _ in list(self._runs)]

    @property
    def room_for_doubted(self) -> int:
        return self._window - len(self._doubted)

    def is_doubted(self, execution: Execution) -> bool:
        return (execution.pk, execution.lease_epoch) in self._doubted

    def clear_of_doubt(self, execution_id: str, epoch: int) -> None:
        if (execution_id, epoch) in self._doubted:
            self._doubted.discard((execution_id, epoch))
            self._window = min(self._window + 1, MAX_DOUBTED)

    def cancel(self, execution_id: str) -> None:
        for (held_id, _), run in list(self._runs.items()):
            if held_id == execution_id and run is not None:
                engine_loop().call_soon_threadsafe(run.cancel)

    def obey_cancels(self) -> None:
        ids = self.ids()
        for execution_id in (
            journal.claimed_here(ids).values_list("pk", flat=True) if ids else []
        ):
            self.cancel(execution_id)


class Gate:
    """Lets few threads of this process look for work. Who is turned away need not come again: one of those inside looks once more before it leaves, and
    one that waits for the outside world is woken to look now."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._inside = 0
        self._is_asked = False
        self._pieces: set[Slice] = set()

    def enter(self) -> bool:
        with self._lock:
            if self._inside < self._most:
                self._inside += 1
                return True
            self._is_asked = True
            for piece in self._pieces:
                piece.wake()
            return False

    def leave(self) -> bool:
        """False when somebody was turned away since the last look: then it is not left."""
        with self._lock:
            if self._is_asked:
                self._is_asked = False
                return False
            self._inside -= 1
            return True

    def give_up(self) -> None:
        with self._lock:
            self._inside -= 1

    @contextlib.contextmanager
    def waking(self, piece: Slice) -> Iterator[None]:
        with self._lock:
            self._pieces.add(piece)
        try:
            yield
        finally:
            with self._lock:
                self._pieces.discard(piece)


held_here = HeldHere()
isolation = Isolation()
gate = Gate(most=2)
keeper = Keeper(
    Execution,
    held=held_here.ids,
    on_tick=held_here.obey_cancels,
    tick_seconds=CANCEL_POLL_SECONDS,
)


@dataclass(frozen=True, eq=False)
class _Request:
    """What a run asks its writer for. Without `done` the run is over here, and without a `write` it left nothing to keep."""

    run: Run
    write: Write | None
    done: asyncio.Future[None] | None = None


class Surroundings:
    """What executions are of: their versions, workflows and companies, read once for as many batches as come within a second."""

    def __init__(self) -> None:
        self._until = 0.0
        self._known: dict[str, dict[Any, models.Model]] = {}

    def attach(self, executions: Sequence[Execution]) -> None:
        if not executions:
            return
        if time.monotonic() >= self._until:
            self._until = time.monotonic() + REMEMBERED_SECONDS
            self._known = {"version": {}, "workflow": {}, "company": {}}
        for name, known in self._known.items():
            place: Any = Execution._meta.get_field(name)
            ids = {getattr(execution, place.attname) for execution in executions}
            if new := ids - known.keys():
                known |= place.related_model._base_manager.in_bulk(new)
            for execution in executions:
                found = known.get(getattr(execution, place.attname))
                if found is not None:
                    place.set_cached_value(execution, found)


class Slice:
    """One batch on its way. Also the journal of its runs."""

    def __init__(self) -> None:
        self.around = Surroundings()
        self._requests: SimpleQueue[_Request | None] = SimpleQueue()
        self._open: dict[Run, Execution] = {}
        self._is_woken = False

    # --- As the journal, on the loop ---

    async def progress(
        self, run: Run, steps: list[StepRecord], *, advanced: bool
    ) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        write = Write(
            self._open[run],
            run.job.epoch,
            steps,
            advanced=advanced,
            news=run.take_news(),
        )
        self._requests.put(_Request(run, write, done))
        await done

    async def recall(self, key: str) -> Result | None:
        return await asyncio.to_thread(results.recall, key)

    async def remember(self, key: str, result: Result, seconds: int) -> None:
        await asyncio.to_thread(results.remember, key, result, seconds)

    async def mark(self, key: str, seconds: int) -> bool:
        return await asyncio.to_thread(results.mark, key, seconds)

    async def renew(self, key: str, seconds: int) -> None:
        await asyncio.to_thread(results.renew, key, seconds)

    async def unmark(self, key: str) -> None:
        await asyncio.to_thread(results.unmark, key)

    async def _carry(self, run: Run) -> None:
        """One run from here to wherever it ends."""
        write: Write | None = None
        try:
            with egress.test_mode(run.job.is_test):
                write = self._ending_of(run, await run.execute())
        except LeaseLostError:
            logger.info(
                "lease of %s lost, its work here is dropped", run.job.execution_id
            )
        except Exception:
            logger.exception("execution %s broke", run.job.execution_id)
            write = self._ending_of(run, broken())
        finally:
            self._requests.put(_Request(run, write))

    def _ending_of(self, run: Run, ending: Ending) -> Write:
        return Write(
            self._open[run],
            run.job.epoch,
            run.take_unsaved(),
            ending,
            run.logs,
            usage=run.usage,
            news=run.take_news(),
        )

    # --- As the writer, in the thread that began the slice ---

    @property
    def open(self) -> int:
        """How many runs have not ended."""
        return len(self._open)

    @property
    def is_doubted(self) -> bool:
        """Whether one of them was lost before and has got no further since."""
        return any(map(held_here.is_doubted, list(self._open.values())))

    def begin(self, executions: Sequence[Execution]) -> None:
        """Set claimed executions going. Those of instant graphs are over, and written down, when this returns."""
        for execution in executions:
            held_here.add(execution)
        recorded = journal.recorded_steps(executions)
        come = journal.what_has_come(executions)
        ended = [
            write
            for execution in executions
            if (
                write := self._set_going(
                    execution, recorded[execution.pk], come[execution.pk]
                )
            )
        ]
        _keep(ended)
        for write in ended:
            held_here.remove(write.execution.pk, write.epoch)

    def _set_going(
        self, execution: Execution, recorded: list[StepRecord], come: Come
    ) -> Write | None:
        """The ending of one that is over at once."""
        try:
            graph = journal.graph_of(execution.version)
            if graph.is_instant:
                return run_instantly(execution, graph, recorded)
            self.start(execution, graph, recorded, come)
        except Exception:  # of all executions, this one only
            logger.exception("execution %s could not be begun", execution.pk)
            return Write(execution, execution.lease_epoch, ending=broken())
        return None

    def start(
        self,
        execution: Execution,
        graph: Graph,
        recorded: list[StepRecord],
        come: Come | None = None,
    ) -> None:
        run = Run(journal.job_of(execution, graph, come), graph, recorded, self)
        run.is_cancelled = execution.cancel_requested_at is not None
        self._open[run] = execution
        held_here.add(execution, run)
        asyncio.run_coroutine_threadsafe(self._carry(run), engine_loop())

    def wake(self) -> None:
        """There is new work: whoever serves this until some time may look for it now. May be called from any thread."""
        self._requests.put(None)

    def serve(self, *, until: float | None = None, while_doubted: bool = False) -> bool:
        """Commit what the runs ask for until all have ended (True) or the time (monotonic seconds) is up or it is woken, or, if asked, until none is
        doubted."""
        while self._open and (self.is_doubted or not while_doubted):
            requests = self._collect(until)
            if not requests and until is not None and time.monotonic() >= until:
                return False
            self._commit(requests)
            if self._is_woken and until is not None:
                self._is_woken = False
                return not self._open
        return not self._open

    def finish(self) -> None:
        """Leave what is not over to another process, once the calls in flight have come back."""
        if self._open:
            self.interrupt()
            self.serve()

    def interrupt(self) -> None:
        for run in list(self._open):
            engine_loop().call_soon_threadsafe(run.interrupt)

    def _collect(self, until: float | None) -> list[_Request]:
        timeout = None if until is None else max(0.0, until - time.monotonic())
        found = []
        with contextlib.suppress(Empty):
            found.append(self._requests.get(timeout=timeout))
            while len(found) < MAX_WRITES:
                found.append(self._requests.get_nowait())
        self._is_woken = self._is_woken or None in found
        return [request for request in found if request is not None]

    def _commit(self, requests: Sequence[_Request]) -> None:
        kept = _keep([request.write for request in requests if request.write])
        for request in requests:
            if request.done is not None:
                engine_loop().call_soon_threadsafe(
                    _answer, request.done, id(request.write) in kept
                )
            else:
                held_here.remove(request.run.job.execution_id, request.run.job.epoch)
                del self._open[request.run]


_UNUSED = Slice()
"""The journal of runs that need none on their way."""


def _keep(writes: Sequence[Write]) -> set[int]:
    """Commit the writes together; the `id()` of each that was accepted.

    Those that were not are dropped by their runs, and when their leases run out another process goes on. Where a write is at fault, not the database, it
    takes no other with it, and its execution ends: nobody else could keep it either.
    """
    if not writes:
        return set()
    try:
        accepted = journal.commit(writes)
    except (OperationalError, InterfaceError):
        logger.exception("could not write down %d steps and endings", len(writes))
        connection.close()
        return set()
    except Exception:
        if len(writes) > 1:
            return {kept for write in writes for kept in _keep([write])}
        logger.exception(
            "what %s has done can't be written down", writes[0].execution.pk
        )
        _give_up(writes[0])
        return set()
    kept = [write for write, is_ours in zip(writes, accepted, strict=True) if is_ours]
    for write in kept:
        if write.advanced or write.ending:
            held_here.clear_of_doubt(write.execution.pk, write.epoch)
    return set(map(id, kept))


def _give_up(write: Write) -> None:
    with contextlib.suppress(Exception):  # else its lease runs out
        journal.commit([Write(write.execution, write.epoch, ending=broken())])


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
    claimed = 0
    if not gate.enter():
        return claimed
    try:
        claimed += _run_slice(most)
        while not gate.leave():
            claimed += _run_slice(most)
    except BaseException:
        gate.give_up()
        raise
    return claimed


def _run_slice(most: int) -> int:
    _at_work_since(os.getpid())
    until = time.monotonic() + SLICE_SECONDS
    claimed = 0
    with keeper.holding():
        while True:
            claimed += run_batch(most, until)
            tried = 0 if stopping else run_suspects()
            claimed += tried
            if not tried or time.monotonic() >= until:
                return claimed


@cache
def _at_work_since(pid: int) -> float:
    """When this process first looked for work."""
    return time.monotonic()


def run_batch(most: int, until: float) -> int:
    claimed = 0
    with isolation.shared():
        piece = Slice()
        with gate.waking(piece):
            while not (time.monotonic() >= until or isolation.is_asked_for or stopping):
                found = claim_for(piece, most)
                claimed += len(found)
                piece.begin(found)
                if not piece.open and not found:
                    break
                if piece.open:
                    piece.serve(until=min(until, time.monotonic() + TOP_UP_SECONDS))
                elif len(found) < most // 2:
                    time.sleep(GATHER_SECONDS)
        piece.finish()
    return claimed


def claim_for(piece: Slice, most: int) -> list[Execution]:
    """A few of those that were lost once, and new ones."""
    room = min(most, MAX_OPEN - piece.open)
    found = claim_once_lost(room, piece.around)
    new = claim_executions(limit=room - len(found), around=piece.around)
    return [*found, *new]


def claim_once_lost(room: int, around: Surroundings) -> list[Execution]:
    with _doubting:  # the threads of this process count together
        room = min(room, held_here.room_for_doubted)
        found = claim_executions(limit=room, lost=ONCE_LOST, around=around)
        for execution in found:
            held_here.add(execution)
    return found


def run_suspects() -> int:
    """What was lost twice runs with nothing beside it, one after the other, each until it gets somewhere; then it goes on as one of the others. They come
    last, unless they have waited long."""
    suspects = due(Execution, lost=[TWICE_LOST])
    is_settled = time.monotonic() - _at_work_since(os.getpid()) >= SETTLED_SECONDS
    if not is_settled or not suspects.exists():
        return 0
    tried = 0
    until = time.monotonic() + SLICE_SECONDS
    long_ago = Now() - SUSPECT_PATIENCE
    is_urgent = suspects.filter(next_attempt_at__lt=long_ago).exists()
    with isolation.alone(at_any_price=is_urgent) as is_ours:
        while is_ours and time.monotonic() < until and not stopping:
            found = claim_executions(limit=1, lost=TWICE_LOST)
            if not found:
                break
            tried += 1
            piece = Slice()
            piece.begin(found)
            piece.serve(until=until, while_doubted=True)
            piece.finish()
    return tried


def claim_executions(
    *, limit: int, lost: int = 0, around: Surroundings | None = None
) -> list[Execution]:
    executions = claim(Execution, limit=limit, lost=lost)
    (around or Surroundings()).attach(executions)
    payloads.load(executions)
    return executions


def run_instantly(
    execution: Execution,
    graph: Graph,
    recorded: list[StepRecord],
    *,
    is_new: bool = False,
) -> Write:
    """Run an instant graph to its end, here and now. What to write is returned, so that a batch shares a commit."""
    job = journal.job_of(execution, graph)
    run = Run(job, graph, recorded, _UNUSED, can_sleep=False)
    run.is_cancelled = execution.cancel_requested_at is not None
    try:
        ending = drive(run.execute())
    except Exception:
        logger.exception("execution %s broke", execution.pk)
        ending = broken()
    steps = run.numbered_unsaved()  # nobody changes them any more
    if not graph.keeps_steps and ending.status == "completed":
        execution.usage = {**execution.usage, "steps": len(steps)}
        steps = []
    return Write(
        execution,
        execution.lease_epoch,
        steps,
        ending,
        run.logs,
        is_new=is_new,
        usage=run.usage,
        news=run.take_news(),
    )


def run_until(
    execution: Execution,
    graph: Graph,
    *,
    seconds: float,
    then: Callable[[], object],
) -> None:
    """Carry one execution inline until its deadline; then let go of it, so that a worker goes on: `then` is called once it may. What is in flight is awaited
    in the background."""
    piece = Slice()
    with keeper.holding():
        piece.start(execution, graph, [])
        if piece.serve(until=time.monotonic() + seconds):
            return
    piece.interrupt()
    threading.Thread(
        target=_finish, args=(piece, then), name="engine-writer", daemon=True
    ).start()


def _finish(piece: Slice, then: Callable[[], object]) -> None:
    try:
        with keeper.holding():
            piece.serve()
    finally:
        connection.close()
    then()
