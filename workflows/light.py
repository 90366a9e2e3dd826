"""Starting a workflow, for callers that do it by the thousand: what `WorkflowViewSet.trigger` and `.execute` answer, where nothing stands in the way."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpRequest, HttpResponse

from accounts.authentication import Credentials, live_caller
from craft.api.envelopes import dialect_of
from craft.api.light import LightCall, NotPlainError, as_response, plain_body
from craft.api.limits import lets_in
from craft.api.serializers import DateTimeField
from workflows.models import Execution, Workflow
from workflows.serializers.bodies import EXECUTION_HEADER, request_told
from workflows.serializers.executions import FinishedSerializer
from workflows.services import executions
from workflows.services.lookups import find_workflow
from workflows.services.triggers import webhook_settings

PATH = "/(?:api/v1|api|v1)/workflows/([A-Za-z0-9_-]{1,64})/"
INPUT_NAMES = ("input", "inputs")
USUAL_TIMEOUT_SECONDS = 30.0
_shown = DateTimeField().to_representation


def trigger(request: HttpRequest, found: re.Match[str]) -> HttpResponse | None:
    try:
        body = plain_body(request)
        caller, workflow = _who_starts_what(request, found[1])
        webhook = webhook_settings(workflow.trigger)
        if not workflow.is_live or (webhook and not webhook.is_plain):
            return None
    except NotPlainError:
        return None
    execution = executions.start_execution(
        workflow=workflow,
        company=caller.company,
        user=caller.user,
        input=body,
        trigger=request_told(request, webhook) if webhook else {"type": "webhook"},
    )
    answer = _accepted(request, execution)
    answer[EXECUTION_HEADER] = execution.pk
    return answer


def execute(request: HttpRequest, found: re.Match[str]) -> HttpResponse | None:
    try:
        body = plain_body(request)
        input, runs_inline = _asked(request, body)
        caller, workflow = _who_starts_what(request, found[1])
    except NotPlainError:
        return None
    fields = {
        "workflow": workflow,
        "company": caller.company,
        "user": caller.user,
        "input": input,
        "trigger": {"type": "api"},
    }
    if not runs_inline:
        return _accepted(request, executions.start_execution(**fields))
    execution = executions.run_execution(
        timeout_seconds=USUAL_TIMEOUT_SECONDS, **fields
    )
    data = dialect_of(request).result(FinishedSerializer(execution).data)
    return as_response(data, status=200 if execution.is_over else 202)


TRIGGER = LightCall("POST", re.compile(PATH + "trigger"), trigger)
EXECUTE = LightCall("POST", re.compile(PATH + "execute"), execute)


def _asked(request: HttpRequest, body: Any) -> tuple[Any, bool]:
    """The input, and whether the caller waits for the end."""
    if not isinstance(body, dict) or not body.keys() <= {*INPUT_NAMES, "mode"}:
        raise NotPlainError
    inputs = [body[name] for name in INPUT_NAMES if name in body]
    mode = body.get("mode")
    if len(inputs) > 1 or mode not in (None, "sync", "async"):
        raise NotPlainError
    runs_inline = dialect_of(request).runs_inline if mode is None else mode == "sync"
    return inputs[0] if inputs else {}, runs_inline


def _who_starts_what(
    request: HttpRequest, workflow_id: str
) -> tuple[Credentials, Workflow]:
    caller = live_caller(request)
    if caller is None or "write" not in caller.levels:
        raise NotPlainError
    workflow = find_workflow(caller.company.pk, workflow_id)
    if workflow is None or not lets_in(request, caller.company):
        raise NotPlainError
    return caller, workflow


def _accepted(request: HttpRequest, execution: Execution) -> HttpResponse:
    """What `AcceptedSerializer` says."""
    data = {
        "id": execution.pk,
        "execution_id": execution.pk,
        "workflow_id": execution.workflow_id,
        "status": execution.status,
        "started_at": _shown(execution.started_at or execution.created_at),
        "created_at": _shown(execution.created_at),
    }
    return as_response(dialect_of(request).result(data), status=202)
