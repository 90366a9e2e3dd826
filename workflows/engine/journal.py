"""What the engine writes: batches of steps and endings, each batch one transaction, each write fenced by its execution's lease epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from craft import rows
from craft.events import Event, is_heard, publish
from craft.leases import QUEUED, TERMINAL, Status, as_lease_fields, this_process
from integrations.services.credentials import open_credentials
from workflows.engine import arrivals, lines, payloads
from workflows.engine.arrivals import Come
from workflows.engine.counts import count_endings, count_usage, count_whole
from workflows.engine.executor import Ending, Job, StepRecord
from workflows.engine.graph import Graph, GraphError, compile_graph
from workflows.engine.secrets import Secrets
from workflows.engine.sequels import after_failures
from workflows.engine.usage import sum_of
from workflows.events import EXECUTION_CANCELLED, EXECUTION_FAILED, WORKFLOW_EXECUTED
from workflows.models import Execution, ExecutionLabel, Step, WorkflowVersion
from workflows.nodes import NODES
from workflows.nodes.base import Node, Usage

CATALOGUE: dict[str, Node] = {kind: node() for kind, node in NODES.items()}

ENDED_EVENTS = {
    Status.COMPLETED: WORKFLOW_EXECUTED,
    Status.FAILED: EXECUTION_FAILED,
    Status.CANCELLED: EXECUTION_CANCELLED,
}
NOBODY = (-1, 0)
NUL = b"\\u0000"
SKIPPED = {
    "code": "concurrency_limit",
    "message": "As many executions were under way as this workflow lets run at once, and its rule is to skip.",
    "node_id": None,
}
STEP_FIELDS = (
    "status",
    "input",
    "output",
    "handles",
    "error",
    "attempt",
    "started_at",
    "completed_at",
    "wake_at",
    "usage",
    "origin",
    "begun",
    "ended",
)
ENDING_FIELDS = (
    "updated_at",
    "status",
    "output",
    "apart",
    "error",
    "logs",
    "usage",
    "completed_at",
    "started_at",
    "next_attempt_at",
    "last_error",
    "attempts",
    "lease_owner",
    "lease_expires_at",
)


@dataclass
class Write:
    """Steps to keep, what they publish, and how the run ended if it did, with all that it has taken. `is_new`: the execution itself has no row yet."""

    execution: Execution
    epoch: int
    steps: list[StepRecord] = field(default_factory=list)
    ending: Ending | None = None
    logs: list[dict[str, Any]] = field(default_factory=list)
    advanced: bool = False
    is_new: bool = False
    usage: Usage | None = None
    news: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass(frozen=True)
class _Source:
    """What a graph is compiled from. A version never changes, so its id and time tell it from all others without a look at the definition."""

    version_id: int
    created_at: datetime
    definition: dict[str, Any] = field(compare=False)


@lru_cache(maxsize=512)
def _compiled(source: _Source) -> Graph:
    return compile_graph(source.definition, CATALOGUE)


def graph_of(version: WorkflowVersion) -> Graph:
    """Found once for each object that stands for the version."""
    known = version.__dict__
    if "_graph" not in known:
        source = _Source(version.pk, version.created_at, version.definition)
        known["_graph"] = _compiled(source)
    graph: Graph = known["_graph"]
    return graph


def job_of(execution: Execution, graph: Graph, come: Come | None = None) -> Job:
    workflow, version = execution.workflow, execution.version
    come = come or Come()
    return Job(
        execution_id=execution.pk,
        company_id=execution.company_id,
        epoch=execution.lease_epoch,
        input=execution.input,
        trigger={"input": execution.input, **execution.trigger},
        variables=version.variables,
        workflow={
            "id": workflow.pk,
            "name": workflow.name,
            "version": version.number,
        },
        logs=execution.logs,
        is_test=execution.company.is_sandbox,
        depth=execution.depth,
        wakes=execution.wakes,
        signals=come.signals,
        answers=come.answers,
        secrets=secrets_of(execution, graph),
        budget=workflow.settings.get("budget") or {},
        started_at=execution.started_at,
        pins=execution.pins or {},
        is_dry=execution.is_dry,
        only=execution.only_node_id,
    )


def secrets_of(execution: Execution, graph: Graph) -> Secrets:
    """What its graph names, as it is now; a graph that names none costs no query."""
    if not graph.secrets:
        return Secrets()
    found = open_credentials(
        company_id=execution.company_id, names={use.name for use in graph.secrets}
    )
    return Secrets(found.opened, found.faults)


def recorded_steps(executions: Sequence[Execution]) -> dict[str, list[StepRecord]]:
    """What earlier processes wrote down, by execution."""
    found: dict[str, list[StepRecord]] = {execution.pk: [] for execution in executions}
    resumed = [
        execution.pk
        for execution in executions
        if execution.lease_epoch > 1 or execution.rerun_of_id
    ]
    if not resumed:
        return found
    steps = list(Step.objects.filter(execution__in=resumed).order_by("id"))
    payloads.load(steps)
    for step in steps:
        found[step.execution_id].append(
            StepRecord(
                node_id=step.node_id,
                type=step.type,
                name=step.name,
                position=step.position,
                iteration=step.iteration,
                **{name: getattr(step, name) for name in STEP_FIELDS},
            )
        )
    return found


def what_has_come(executions: Sequence[Execution]) -> dict[str, Come]:
    """What came for them from outside so far, by execution."""
    found: dict[str, Come] = {execution.pk: Come() for execution in executions}
    woken = [execution.pk for execution in executions if execution.wakes]
    if woken:
        arrivals.collect(woken, found)
    return found


def commit(writes: Sequence[Write]) -> list[bool]:
    """Commit all writes together. False for each whose lease was lost: nothing of it is kept."""
    if all(map(_stands_alone, writes)) and not is_heard(WORKFLOW_EXECUTED):
        _commit_whole(writes)
        return [True] * len(writes)
    with transaction.atomic():
        held = _lock(writes)
        accepted = [
            write.is_new or held.get(write.execution.pk, NOBODY)[0] == write.epoch
            for write in writes
        ]
        kept = [
            write for write, is_ours in zip(writes, accepted, strict=True) if is_ours
        ]
        ended = [write for write in kept if write.ending]
        now = timezone.now()
        for write in ended:
            _apply_ending(write, held, now)
        sequels = after_failures([write.execution for write in ended])
        with rows.gathered():
            _insert_new([write for write in kept if write.is_new])
            save_steps(_as_rows(kept))
            arrivals.exchange([(write.execution, write.steps) for write in kept])
            _publish_news(kept)
            _note_progress(
                [write for write in kept if write.advanced and not write.ending]
            )
            _save_endings(ended)
            insert(sequels)
    return accepted


def _stands_alone(write: Write) -> bool:
    """Whether it is all there is of its execution, and concerns no other row than its workflow's."""
    execution, ending = write.execution, write.ending
    return (
        write.is_new
        and ending is not None
        and ending.status == Status.COMPLETED
        and not write.news
        and not execution.labels
        and execution.concurrency_key is None
        and execution.parent_id is None
        and execution.company_id == execution.workflow.company_id
        and not _may_have_opened([execution])
    )


def _commit_whole(writes: Sequence[Write]) -> None:
    """In one message, where the database takes that: to wait for each answer costs more than all that is written."""
    now = timezone.now()
    for write in writes:
        _apply_ending(write, {}, now)
    executions = [write.execution for write in writes]
    with rows.gathered(alone=True):
        with payloads.set_apart(executions):
            rows.insert(executions)
        steps = _as_rows(writes)
        with payloads.set_apart(steps):
            rows.insert(steps)
        count_whole(executions)  # last: others wait for the row until the commit
        for execution in executions:
            announce(execution)


def _lock(writes: Iterable[Write]) -> dict[str, tuple[int, int]]:
    """The epoch of each execution that is still running, and how often something has come for it. The rows stay locked until the commit, and with them those
    that wait for one that ends here: always in one order, so that two batches never wait for each other."""
    ids = {write.execution.pk for write in writes if not write.is_new}
    ids |= {
        write.execution.parent_id
        for write in writes
        if write.ending and write.execution.parent_id
    }
    if not ids:
        return {}
    held = (
        Execution.unscoped.filter(pk__in=sorted(ids)).order_by("pk").select_for_update()
    )
    return {
        pk: (epoch, wakes)
        for pk, epoch, wakes, status in held.values_list(
            "pk", "lease_epoch", "wakes", "status"
        )
        if status == Status.RUNNING
    }


def _insert_new(writes: Sequence[Write]) -> None:
    insert([write.execution for write in writes])


def insert(executions: Sequence[Execution]) -> None:
    """Called within a transaction."""
    with payloads.set_apart(executions):
        rows.insert(executions)
    index_labels([execution for execution in executions if execution.labels])
    count_usage(executions)
    _queue_up([each for each in executions if each.concurrency_key is not None])


def _queue_up(executions: Sequence[Execution]) -> None:
    """In their lines. Who finds no place there, and is not to wait, is over."""
    if not executions:
        return
    for execution in executions:
        if execution.error:  # there is no telling which line is its
            end_unclaimed(execution, status=Status.FAILED, error=execution.error)
    lines.give_places(lines.lines_of(executions))
    impatient = [
        execution
        for execution in executions
        if lines.concurrency_of(execution.workflow).get("rule") == lines.SKIP
    ]
    for execution in lines.without_place(impatient) if impatient else ():
        end_unclaimed(execution, status=Status.CANCELLED, error=SKIPPED)


def index_labels(executions: Sequence[Execution]) -> None:
    rows = [
        ExecutionLabel(
            company_id=execution.company_id, execution=execution, key=key, value=value
        )
        for execution in executions
        for key, value in execution.labels.items()
    ]
    if rows:
        ExecutionLabel.unscoped.bulk_create(rows)


def _as_rows(writes: Iterable[Write]) -> list[Step]:
    """What is latest of each step."""
    latest: dict[tuple[str, str, str], Step] = {}
    texts = _Texts()
    for write in writes:
        key = write.execution.pk
        for record in write.steps:
            row = _as_row(key, record, texts)
            latest[key, record.node_id, record.iteration] = row
    return list(latest.values())


def save_steps(steps: Sequence[Step]) -> None:
    with payloads.set_apart(steps):
        rows.insert_or_update(
            steps,
            unique=("execution", "node_id", "iteration"),
            update=(*STEP_FIELDS, "apart"),
        )


class _Texts:
    """What steps hold, as it is stored. Most of it is put out by one and taken in by the next: it is encoded once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, rows.Encoded]] = {}

    def of(self, value: Any) -> rows.Encoded | None:
        if value is None:
            return None
        known = self._known.get(id(value))
        if known is None:
            # With the value, so that nothing else gets its id meanwhile.
            known = self._known[id(value)] = value, _stored(value)[1]
        return known[1]


def _as_row(execution_id: str, record: StepRecord, texts: _Texts) -> Step:
    return rows.bare(
        Step,
        {
            "id": None,
            "execution_id": execution_id,
            "node_id": record.node_id,
            "iteration": record.iteration,
            "position": record.position,
            "type": record.type,
            "name": record.name,
            "status": record.status,
            "input": texts.of(record.input),
            "output": texts.of(record.output),
            "apart": "",
            "handles": record.handles,
            "error": texts.of(record.error),
            "attempt": record.attempt,
            "started_at": record.started_at,
            "completed_at": record.completed_at,
            "wake_at": record.wake_at,
            "usage": record.usage,
            "origin": record.origin,
            "begun": record.begun,
            "ended": record.ended,
        },
    )


def _publish_news(writes: Iterable[Write]) -> None:
    """What nodes tell: with their steps or not at all, so that it is told once."""
    for write in writes:
        for kind, data in write.news:
            company_id = write.execution.company_id
            publish(Event(kind, company_id, storable(data), is_change=False))


def _note_progress(writes: Iterable[Write]) -> None:
    """A row that got somewhere is no suspect: its count of lost processes starts anew."""
    doubted = [write.execution for write in writes if write.execution.attempts > 1]
    if doubted:
        ids = [execution.pk for execution in doubted]
        Execution.unscoped.filter(pk__in=ids).update(attempts=1)


def _apply_ending(
    write: Write, held: dict[str, tuple[int, int]], now: datetime
) -> None:
    """One that was sent something while it came to rest looks again at once."""
    ending, execution = write.ending, write.execution
    assert ending is not None  # noqa: S101  # narrows the type: callers pass endings only
    is_over = Status(ending.status).is_terminal
    wakes = held.get(execution.pk, (0, execution.wakes))[1]
    wake_at = now if wakes != execution.wakes else ending.wake_at
    error = kept(ending.error)
    # None of these is a relation, which would want to be set.
    execution.__dict__ |= as_lease_fields(
        updated_at=now,
        status=ending.status,
        output=kept(ending.output),
        error=error,
        last_error=error["message"] if error else "",
        logs=kept(write.logs),
        usage={**execution.usage, **(write.usage or {})},
        completed_at=now if is_over else None,
        next_attempt_at=None if is_over else wake_at,
    )


def _save_endings(writes: Sequence[Write]) -> None:
    if not writes:
        return
    known = [write.execution for write in writes if not write.is_new]
    with payloads.set_apart(known, fields=("output",)):
        rows.update(known, fields=ENDING_FIELDS)
    over = [
        write.execution
        for write in writes
        if Status(write.execution.status).is_terminal
    ]
    _tell_of_endings(over)


def _tell_of_endings(over: Sequence[Execution]) -> None:
    count_endings(over)
    lines.give_places(lines.lines_of(over))
    openers = _may_have_opened({each.version_id: each for each in over}.values())
    arrivals.close(
        [each for each in over if each.version_id in openers],
        [each for each in over if each.parent_id and each.is_awaited],
    )
    for execution in over:
        announce(execution)


def _may_have_opened(executions: Iterable[Execution]) -> set[int]:
    """The versions among theirs that may."""
    found = set()
    for execution in executions:
        try:
            may_open = graph_of(execution.version).may_open
        except GraphError:  # it compiled once: nobody knows any more
            may_open = True
        if may_open:
            found.add(execution.version_id)
    return found


def announce(execution: Execution) -> None:
    data = {
        "workflow_id": execution.workflow_id,
        "execution_id": execution.pk,
        "status": execution.status,
        "error": execution.error,
    }
    kind = ENDED_EVENTS[Status(execution.status)]
    publish(Event(kind, execution.company_id, data, is_change=False))


def end_unclaimed(
    execution: Execution, *, status: Status, error: dict[str, Any] | None = None
) -> bool:
    """End an execution that no process is running: one that waits in the queue, or whose processes were lost. False when somebody has taken it meanwhile."""
    with transaction.atomic():
        mine = Execution.unscoped.filter(
            pk=execution.pk, lease_epoch=execution.lease_epoch
        ).exclude(status__in=TERMINAL)
        if status == Status.CANCELLED:
            mine = mine.filter(status__in=QUEUED)
        now = timezone.now()
        message = (error or {}).get("message", "")
        fields = as_lease_fields(
            status=status,
            error=error,
            last_error=message,
            completed_at=now,
            next_attempt_at=None,
            usage={**execution.usage, **usage_of(execution)},
        )
        if not mine.update(**fields, updated_at=now):
            return False
        Step.objects.filter(execution=execution, completed_at=None).update(
            status=status, completed_at=now, error=error, wake_at=None
        )
        execution.refresh_from_db()
        _tell_of_endings([execution])
        insert(after_failures([execution]))
    return True


def usage_of(execution: Execution) -> Usage:
    """By its steps: of what a lost process had not finished, the execution's own row knows nothing."""
    spent = Step.objects.filter(execution=execution, usage__isnull=False)
    return sum_of(spent.values_list("usage", flat=True))


def storable(value: Any) -> Any:
    """The same JSON with what PostgreSQL can't hold (NUL, lone surrogates) replaced: pages from outside may carry it."""
    match value:
        case str():
            if "\0" in value or not value.isascii():
                return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
            return value
        case dict():
            return {storable(key): storable(item) for key, item in value.items()}
        case list():
            return [storable(item) for item in value]
        case _:
            return value


def kept(value: Any) -> Any:
    """The same, or what is storable of it."""
    return _stored(value)[0] if value else value


def text_of(value: Any) -> bytes:
    """The JSON that is kept of it."""
    return _stored(value)[1].text


def _stored(value: Any) -> tuple[Any, rows.Encoded]:
    """What is kept of it, and how it is written. To look into the text is much quicker than to walk through the value."""
    try:
        encoded = rows.Encoded(value)
    except UnicodeEncodeError:  # of lone surrogates
        pass
    else:
        if NUL not in encoded.text:
            return value, encoded
    value = storable(value)
    return value, rows.Encoded(value)


def claimed_here(ids: Iterable[str]) -> models.QuerySet[Execution]:
    """Those of the executions that this process holds and somebody asked to cancel."""
    return Execution.unscoped.filter(
        pk__in=list(ids),
        lease_owner=this_process(),
        status=Status.RUNNING,
        cancel_requested_at__isnull=False,
    )
