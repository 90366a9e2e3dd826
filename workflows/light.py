"""Starting workflows, and looking at workflows and executions, for callers that do it by the thousand: what `WorkflowViewSet.trigger`, `.execute` and
`.list` and `ExecutionViewSet.retrieve` answer, where nothing stands in the way."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db.models import Count
from orjson import Fragment

from accounts.authentication import Credentials, admit_together
from craft import rows
from craft.api.envelopes import Dialect, Page, Resource
from craft.api.light import Answer, Call, LightCall, NotPlainError
from craft.api.pagination import DEFAULT_LIMIT, cursor_after
from craft.encoding import to_json, utc_text
from craft.prepared import PreparedQuery
from workflows.engine import journal, lines, payloads
from workflows.engine.journal import Write
from workflows.engine.quick import instant_graph, is_quick
from workflows.models import MOST_STEPS, Execution, Step, Workflow, workflow_subject
from workflows.serializers.bodies import EXECUTION_HEADER, request_told
from workflows.serializers.executions import FinishedSerializer, UsageSerializer
from workflows.services import executions
from workflows.services.lookups import find_workflow
from workflows.services.triggers import webhook_settings

WORKFLOWS = "/(?:api/v1|api|v1)/workflows"
EXECUTIONS = "/(?:api/v1|v1)/executions"
ID = "/([A-Za-z0-9_-]{1,64})"
INPUT_NAMES = ("input", "inputs")
MOST_NODES = 100
"""A larger graph takes so long to run that others should not wait for it."""

Start = tuple[Call, Execution]


# --- Starts ---


def trigger(calls: Sequence[Call]) -> None:
    with _who_starts_what(calls) as found:
        starts: list[Start] = []
        for call, caller, workflow in found:
            webhook = webhook_settings(workflow.trigger)
            if workflow.is_live and (webhook is None or webhook.is_plain):
                told = request_told(call.request, webhook) if webhook else None
                fields = {"input": call.body, "trigger": told or {"type": "webhook"}}
                starts.append((call, _build(caller, workflow, **fields)))
    _start(starts)
    for call, execution in starts:
        if call.answer:
            call.answer.headers[EXECUTION_HEADER] = execution.pk


def execute(calls: Sequence[Call]) -> None:
    with _who_starts_what(calls) as found:
        background: list[Start] = []
        instant: list[Start] = []
        for call, caller, workflow in found:
            try:
                input, runs_inline = _asked(call)
            except NotPlainError:
                continue
            if runs_inline and not _is_instant(workflow):
                continue
            fields = {"input": input, "trigger": {"type": "api"}}
            starts = instant if runs_inline else background
            starts.append((call, _build(caller, workflow, **fields)))
    _start(background)
    _run(instant)


@contextmanager
def _who_starts_what(
    calls: Sequence[Call],
) -> Iterator[list[tuple[Call, Credentials, Workflow]]]:
    subjects = {workflow_subject(call.found[1]) for call in calls}
    metas = [call.environ for call in calls]
    with admit_together(metas, level="write", subjects=subjects) as callers:
        found = []
        for call, caller in zip(calls, callers, strict=True):
            workflow = caller and find_workflow(caller.company.pk, call.found[1])
            if caller and workflow and not lines.concurrency_of(workflow):
                found.append((call, caller, workflow))
        yield found


def _asked(call: Call) -> tuple[Any, bool]:
    """The input, and whether the caller waits for the end."""
    body = call.body
    if not isinstance(body, dict) or not body.keys() <= {*INPUT_NAMES, "mode"}:
        raise NotPlainError
    inputs = [body[name] for name in INPUT_NAMES if name in body]
    mode = body.get("mode")
    if len(inputs) > 1 or mode not in (None, "sync", "async"):
        raise NotPlainError
    runs_inline = call.dialect.runs_inline if mode is None else mode == "sync"  # fmt: skip
    return inputs[0] if inputs else {}, runs_inline


def _is_instant(workflow: Workflow) -> bool:
    version = workflow.live_version
    return version is not None and bool(instant_graph(version, most_nodes=MOST_NODES))


def _build(caller: Credentials, workflow: Workflow, **fields: Any) -> Execution:
    return executions.build_execution(
        workflow=workflow, company=caller.company, user=caller.user, **fields
    )


def _start(starts: Sequence[Start]) -> None:
    """What takes less than handing it to a worker is run; each is answered once it is kept."""
    quick: list[Start] = []
    others: list[Start] = []
    for start in starts:
        (quick if is_quick(start[1]) else others).append(start)
    if quick:
        writes = executions.run_together([execution for _, execution in quick])
        _accept(quick, {write.execution.id for write in writes})
    if others:
        kept = executions.start_together([execution for _, execution in others])
        _accept(others, {execution.id for execution in kept})


def _accept(starts: Sequence[Start], kept: Collection[str]) -> None:
    """As `AcceptedSerializer` says it."""
    for call, execution in starts:
        if execution.id in kept:
            begun_at = execution.started_at or execution.created_at
            data = {
                "id": execution.id,
                "execution_id": execution.id,
                "workflow_id": execution.workflow_id,
                "status": execution.status,
                "started_at": utc_text(begun_at),
                "created_at": utc_text(execution.created_at),
            }
            call.answer = Answer(202, call.dialect.result(data))


def _run(starts: Sequence[Start]) -> None:
    if not starts:
        return
    writes = executions.run_together([execution for _, execution in starts])
    told = {write.execution.pk: _finished(write) for write in writes}
    for call, execution in starts:
        if data := told.get(execution.pk):
            status = 200 if execution.is_over else 202
            call.answer = Answer(status, call.dialect.result(data))


def _finished(write: Write) -> Any:
    """What `FinishedSerializer` says, without a look at the rows that were just written."""
    execution = write.execution
    latest = {(each.node_id, each.iteration): each for each in write.steps}
    steps = [
        {name: getattr(step, name) for name in SHOWN_OF_STEP}
        for step in sorted(latest.values(), key=lambda step: step.position)
    ]
    known = {name: getattr(execution, name) for name in SHOWN_OF_EXECUTION}
    for values in (known, *steps):
        for name in PASSED_ON & values.keys():
            values[name] = Fragment(journal.text_of(values[name]))
    text = to_json(_execution(known, execution.version.number, steps))
    if len(text) > payloads.LIMIT:  # something may stand apart
        return FinishedSerializer(execution).data
    return Fragment(text)


# --- Looks ---

SHOWN_OF_WORKFLOW = (
    "id",
    "name",
    "description",
    "status",
    "trigger",
    "category",
    "public",
    "tags",
    "created_by_id",
    "company_id",
    "created_at",
    "updated_at",
    "usage_count",
    "rating_count",
    "rating_total",
    "version_id",
    "published_version_id",
    "error_workflow_id",
    "ended_count",
    "ended_ms_total",
)
SHOWN_OF_EXECUTION = (
    "id",
    "workflow_id",
    "status",
    "input",
    "output",
    "apart",
    "error",
    "trigger",
    "usage",
    "labels",
    "is_dry",
    "rerun_of_id",
    "concurrency_key",
    "created_by_id",
    "created_at",
    "started_at",
    "completed_at",
    "cancel_requested_at",
    "pins",
    "logs",
)
SHOWN_OF_STEP = (
    "node_id",
    "iteration",
    "type",
    "name",
    "status",
    "input",
    "output",
    "error",
    "attempt",
    "started_at",
    "completed_at",
    "usage",
    "origin",
)
PASSED_ON = {"trigger", "tags", "input", "output", "labels", "pins"}
"""JSON that is shown as it is stored."""
LOOKED_INTO = {"error", "usage", "logs"}

_page = PreparedQuery(
    lambda company, _: (
        Workflow.objects.for_company(company)
        .order_by("-pk")
        .values_list(
            *SHOWN_OF_WORKFLOW, "version__number", "published_version__number"
        )[: DEFAULT_LIMIT + 1]
    )
)
_count = PreparedQuery(
    lambda company, _: (
        Workflow.objects.for_company(company)
        .values("company")
        .annotate(number=Count("pk"))
        .values_list("number")
    )
)
_one = PreparedQuery(
    lambda company, pk: (
        Execution.objects.for_company(company)
        .filter(pk=pk)
        .values_list(*SHOWN_OF_EXECUTION, "version__number")
    )
)
_steps = PreparedQuery(
    lambda _, execution: Step.objects.filter(execution=execution).values_list(
        *SHOWN_OF_STEP, "apart"
    )[:MOST_STEPS]
)


def list_workflows(calls: Sequence[Call]) -> None:
    _look(
        calls,
        find=lambda company_id, _: _page_of(company_id),
        tell=lambda dialect, page: dialect.many(WORKFLOW, page),
    )


def read_execution(calls: Sequence[Call]) -> None:
    _look(calls, find=_find, tell=lambda dialect, found: dialect.one(EXECUTION, found))


def _look(
    calls: Sequence[Call],
    *,
    find: Callable[[int, str], Any],
    tell: Callable[[Dialect, Any], Any],
) -> None:
    """Calls that came together and ask the same of the same company are told the same: all of them were there before it was looked for."""
    told: dict[tuple[int, str, Dialect], Fragment | None] = {}
    with admit_together([call.environ for call in calls], level="read") as callers:
        for call, caller in zip(calls, callers, strict=True):
            if caller is None:
                continue
            wanted = call.found[1] if call.found.re.groups else ""
            key = caller.company.pk, wanted, call.dialect
            if key not in told:
                found = find(caller.company.pk, wanted)
                told[key] = found and Fragment(to_json(tell(call.dialect, found)))
            if body := told[key]:
                call.answer = Answer(200, body)


def _page_of(company_id: int) -> Page:
    found = _page.rows(company_id)
    shown, has_more = found[:DEFAULT_LIMIT], len(found) > DEFAULT_LIMIT
    return Page(
        items=[_workflow(*row) for row in shown],
        total=_count.rows(company_id)[0][0] if has_more else len(shown),
        limit=DEFAULT_LIMIT,
        offset=0,
        page=1,
        has_more=has_more,
        next_cursor=cursor_after(shown[-1][0]) if has_more else None,
    )


def _workflow(*row: Any) -> dict[str, Any]:
    """What `WorkflowListSerializer` says."""
    *values, version, published = row
    known = _read(SHOWN_OF_WORKFLOW, values)
    workflow = rows.bare(Workflow, known)
    return {
        "id": known["id"],
        "name": known["name"],
        "description": known["description"],
        "status": known["status"],
        "trigger": known["trigger"],
        "category": known["category"],
        "public": bool(known["public"]),
        "tags": known["tags"],
        "created_by": known["created_by_id"],
        "company_id": known["company_id"],
        "created_at": _time(known["created_at"]),
        "updated_at": _time(known["updated_at"]),
        "usage_count": known["usage_count"],
        "rating": workflow.rating,
        "rating_count": known["rating_count"],
        "version": version,
        "published_version": published,
        "has_unpublished_changes": workflow.has_unpublished_changes,
        "error_workflow": known["error_workflow_id"],
        "metrics": workflow.metrics,
        "endpoint": workflow.endpoint,
    }


def _find(company_id: int, execution_id: str) -> dict[str, Any] | None:
    found = _one.rows(company_id, execution_id)
    if not found:
        return None
    *values, version = found[0]
    execution, steps = _read(SHOWN_OF_EXECUTION, values), _steps.rows(0, execution_id)
    if execution["apart"] or any(row[-1] for row in steps):
        return None
    shown = [_read(SHOWN_OF_STEP, row[:-1]) for row in steps]
    return _execution(execution, version, shown)


def _read(names: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    found = dict(zip(names, row, strict=True))
    for name in PASSED_ON & found.keys():
        found[name] = None if found[name] is None else Fragment(found[name])
    for name in LOOKED_INTO & found.keys():
        found[name] = found[name] and json.loads(found[name])
    return found


# --- As serializers show it ---


def _execution(
    known: Mapping[str, Any], version: int, steps: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What `ExecutionSerializer` says of one with nothing apart."""
    return {
        "id": known["id"],
        "execution_id": known["id"],
        "workflow_id": known["workflow_id"],
        "status": known["status"],
        "input": known["input"],
        "output": known["output"],
        "apart": [],
        "error": _error(known["error"]),
        "trigger": known["trigger"],
        "version": version,
        "usage": _usage(known["usage"]),
        "labels": known["labels"],
        "dry_run": bool(known["is_dry"]),
        "rerun_of": known["rerun_of_id"],
        "concurrency_key": known["concurrency_key"],
        "created_by": known["created_by_id"],
        "created_at": _time(known["created_at"]),
        "started_at": _time(known["started_at"]),
        "completed_at": _time(known["completed_at"]),
        "cancel_requested_at": _time(known["cancel_requested_at"]),
        "duration_ms": _span(known),
        "pins": known["pins"],
        "steps": [_step(step) for step in steps[:MOST_STEPS]],
        "logs": [_line(line) for line in known["logs"]],
    }


def _step(known: Mapping[str, Any]) -> dict[str, Any]:
    node_id, iteration, usage = known["node_id"], known["iteration"], known["usage"]
    return {
        "id": f"{node_id}:{iteration}" if iteration else node_id,
        "node_id": node_id,
        "iteration": iteration,
        "type": known["type"],
        "name": known["name"],
        "status": known["status"],
        "input": known["input"],
        "output": known["output"],
        "apart": [],
        "error": _error(known["error"]),
        "attempt": known["attempt"],
        "started_at": _time(known["started_at"]),
        "completed_at": _time(known["completed_at"]),
        "duration_ms": _span(known),
        "usage": None if usage is None else _usage(usage),
        "origin": known["origin"],
    }


def _error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    return error and {name: error[name] for name in ("code", "message", "node_id")}


def _usage(usage: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = UsageSerializer().to_representation(usage) if usage else {}
    return shown


def _line(line: dict[str, Any]) -> dict[str, Any]:
    shown = {name: line[name] for name in ("time", "level", "node_id", "message")}
    if "details" in line:
        shown["details"] = Fragment(to_json(line["details"]))
    return shown


def _moment(stored: datetime | str | None) -> datetime | None:
    """Of a time in UTC, as an object or as a database tells it."""
    if isinstance(stored, str):
        return datetime.fromisoformat(stored).replace(tzinfo=UTC)
    return stored


def _time(stored: datetime | str | None) -> str | None:
    """As `utc_text` writes it."""
    if not isinstance(stored, str):
        return None if stored is None else utc_text(stored)
    whole, point, fraction = stored.removesuffix("+00").replace(" ", "T").partition(".")
    return f"{whole}.{fraction:0<6}Z" if point else f"{whole}Z"


def _span(known: Mapping[str, Any]) -> float | None:
    start, end = _moment(known["started_at"]), _moment(known["completed_at"])
    return (end - start).total_seconds() * 1000 if start and end else None


WORKFLOW = Resource("workflow", "workflows", "Workflow")
EXECUTION = Resource("execution", "executions", "Execution")
TRIGGER = LightCall(
    "POST", re.compile(f"{WORKFLOWS}{ID}/trigger"), "POST, OPTIONS", trigger
)
EXECUTE = LightCall(
    "POST", re.compile(f"{WORKFLOWS}{ID}/execute"), "POST, OPTIONS", execute
)
LIST = LightCall(
    "GET", re.compile(WORKFLOWS), "GET, POST, HEAD, OPTIONS", list_workflows
)
READ = LightCall(
    "GET", re.compile(EXECUTIONS + ID), "GET, PATCH, HEAD, OPTIONS", read_execution
)
