from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import (
    MethodNotAllowed,
    NotAuthenticated,
    UnsupportedMediaType,
)
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft import egress
from craft.api.envelopes import Deleted, dialect_of
from craft.api.idempotency import key_for_work
from craft.api.viewsets import CompanyViewSet, Level
from craft.encoding import to_json
from craft.exceptions import DomainError, InvalidError
from craft.leases import Status
from workflows.engine.expressions import ExpressionError, compile_value
from workflows.models import Execution, Workflow
from workflows.nodes.respond import header_fault
from workflows.serializers.bodies import (
    EXECUTION_HEADER,
    AnyBody,
    AnyBodyParser,
    is_json,
    request_told,
)
from workflows.serializers.executions import AcceptedSerializer
from workflows.serializers.triggers import (
    ChangeSecretSerializer,
    NewTriggerSecretSerializer,
    TriggerSecretSerializer,
)
from workflows.services import executions, trigger_secrets
from workflows.services.lookups import find_for_stranger
from workflows.services.signatures import has_token, is_signed
from workflows.services.triggers import WebhookSettings, webhook_settings
from workflows.views.executions import accepted

ANSWER_FIELDS = {"status", "headers", "body"}
WITHOUT_BODY = {204, 205, 304}
UNTRUSTED = {
    # Whatever a workflow answers is no page of ours: a browser gives it an origin of its own, and runs nothing in it.
    "Content-Security-Policy": "sandbox",
    "X-Content-Type-Options": "nosniff",
}


class ExecutionFailedError(DomainError):
    """The caller waited for an output, and there is none. Why stands in the execution, for whoever may read it."""

    code = "execution_failed"
    status_code = 500
    is_told = True


class TriggerActions(CompanyViewSet):
    """The door for whoever starts a workflow from outside: with a key, or as its trigger says."""

    stranger: Workflow | None = None
    """What a caller without a key has shown to be allowed to start."""

    @property
    def level(self) -> Level:
        """Without a key, nobody is asked for one: they prove themselves to the workflow."""
        is_described = getattr(self, "swagger_fake_view", False)
        if getattr(self, "action", None) != "trigger" or is_described:
            return super().level
        is_shown = shows_credentials(self.request._request)
        return super().level if is_shown else "public"

    def initialize_request(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> Request:
        """Which methods a trigger takes is known to the workflow only."""
        made = super().initialize_request(request, *args, **kwargs)
        if not self.action and "trigger" in (self.action_map or {}).values():
            self.action = "trigger"
        return made

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if self.action == "trigger":
            return self.trigger(request, **kwargs)
        return super().http_method_not_allowed(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action != "trigger":
            return
        _ = request._request.body  # as it came: whoever parses it first would use it up
        if self.level == "public":
            self.stranger = admit_stranger(request._request, kwargs["pk"])

    @extend_schema(
        request={"application/json": {}},
        responses={200: OpenApiTypes.ANY, 202: AcceptedSerializer},
    )
    @action(
        detail=True,
        methods=["post"],
        parser_classes=[AnyBodyParser],
        content_negotiation_class=AnyBody,
    )
    def trigger(self, request: Request, pk: str) -> HttpResponseBase:
        """Start it with this body, any JSON, as its input. Only what is published, or a pipeline, can be triggered.

        A workflow whose trigger is a webhook takes the methods that it names, and bodies of any kind: a form becomes an object, a text a text, other bytes `{content_type, base64}`. It is started without a key, too, where its `auth` is `open`, or by its own secret. Its executions keep
        `trigger.method`, `.headers`, `.query` and `.body`. With `answer: "last"` the output is the answer, with `"respond"` what its respond node says; 202 and the execution, where the time runs out.
        """
        workflow = self.stranger or self.get_object()
        webhook = webhook_settings(workflow.trigger)
        if webhook is None:
            if request.method != "POST":
                raise MethodNotAllowed(str(request.method))
            if not is_json(request.content_type or ""):
                raise UnsupportedMediaType(request.content_type)
            told: dict[str, Any] = {"type": "webhook"}
            webhook = WebhookSettings()
        else:
            self.headers["Allow"] = ", ".join([*webhook.methods, "OPTIONS"])
            if request.method not in webhook.methods:
                raise MethodNotAllowed(str(request.method))
            told = request_told(request._request, webhook)
        is_waited_for = webhook.answer != "accepted"
        execution = executions.trigger_workflow(
            workflow=workflow,
            company=workflow.company,
            user=request.user if request.auth else None,
            input=request.data,
            trigger=told,
            idempotency_key=key_of_repeats(workflow, webhook, told, request)
            or key_for_work(request),
            wait_seconds=webhook.timeout_seconds if is_waited_for else 0,
        )
        answer = (
            answered(request, execution, webhook)
            if is_waited_for and execution.is_over
            else accepted(execution)
        )
        answer[EXECUTION_HEADER] = execution.pk
        return answer

    @extend_schema(responses=TriggerSecretSerializer)
    @action(detail=True, methods=["get"], url_path="trigger-secret")
    def trigger_secret(self, request: Request, pk: str) -> Response:
        """The secret of its trigger: since when, and how it ends. Never the secret itself."""
        row = trigger_secrets.get_secret(self.get_object())
        return Response(dict(TriggerSecretSerializer(row).data))

    @extend_schema(
        request=ChangeSecretSerializer, responses={200: NewTriggerSecretSerializer}
    )
    @trigger_secret.mapping.post
    def change_trigger_secret(self, request: Request, pk: str) -> Response:
        """Give the trigger a secret, or a new one: `whsec_…`, or the one that the sender made. It is shown this once; the one before works on for `overlap_seconds`."""
        row, secret = trigger_secrets.change_secret(
            self.get_object(),
            user=credentials_of(request).user,
            **self.read(ChangeSecretSerializer),
        )
        shown = NewTriggerSecretSerializer(row, context={"secret": secret})
        return Response(dict(shown.data))

    @extend_schema(request=None)
    @trigger_secret.mapping.delete
    def delete_trigger_secret(self, request: Request, pk: str) -> Response:
        """Take the secret away: from now on nobody can prove anything by it."""
        workflow = self.get_object()
        trigger_secrets.delete_secret(workflow)
        return Response(Deleted(workflow.pk, "Trigger secret"))


def shows_credentials(request: HttpRequest) -> bool:
    """What the API lets people in by. A sender's own `Authorization: Basic …` is none."""
    scheme = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")[0]
    has_session = settings.SESSION_COOKIE_NAME in request.COOKIES
    return scheme.lower() == "bearer" or (has_session and request.user.is_authenticated)


def admit_stranger(request: HttpRequest, workflow_id: str) -> Workflow:
    """Raises the same 401 for what is not there, what wants a key, what rests as a draft and a proof that is wrong: nobody learns which."""
    workflow = find_for_stranger(workflow_id)
    if not has_proof(request, workflow) or workflow is None:
        raise NotAuthenticated
    request.company = workflow.company  # type: ignore[attr-defined]  # as accounts.authentication sets it
    if workflow.company.is_sandbox:
        request.is_test = True  # type: ignore[attr-defined]  # read by craft.middleware
        egress.enter_test_mode()
    return workflow


def has_proof(request: HttpRequest, workflow: Workflow | None) -> bool:
    webhook = webhook_settings(workflow.trigger) if workflow else None
    if workflow and webhook and webhook.auth == "open":
        return workflow.is_live
    secrets = secrets_of(workflow) if workflow else []
    if webhook and webhook.auth == "secret":
        return has_token(request.headers.get(webhook.header, ""), secrets=secrets)
    is_right = is_signed(
        webhook.preset if webhook and webhook.preset else "standard",
        request.headers,
        request.body,
        secrets=secrets,
        now=time.time(),
    )
    return is_right and webhook is not None and webhook.auth == "signature"


def secrets_of(workflow: Workflow) -> list[str]:
    try:
        row = workflow.trigger_secret
    except ObjectDoesNotExist:
        return []
    return trigger_secrets.open_secrets(row)


def key_of_repeats(
    workflow: Workflow,
    webhook: WebhookSettings,
    told: dict[str, Any],
    request: Request,
) -> str | None:
    """The same for every repetition of a call; None where it has no name."""
    if webhook.repeats is None:
        return None
    name: Any = request.headers.get(webhook.repeats.header)
    if webhook.repeats.expression:
        scope = {**told, "body": request.data, "input": request.data}
        try:
            name = compile_value(webhook.repeats.expression).resolve(scope)
        except ExpressionError as error:
            raise InvalidError(
                "What names this call can't be told: the workflow's idempotency expression fails.",
                details={"idempotency": str(error)[:300]},
            ) from None
    if name in (None, ""):
        return None
    digest = hashlib.sha256(json.dumps(name, sort_keys=True).encode()).hexdigest()
    return f"webhook:{workflow.pk}:{digest}"


def answered(
    request: Request, execution: Execution, webhook: WebhookSettings
) -> HttpResponse:
    if execution.status != Status.COMPLETED:
        raise ExecutionFailedError(
            f"The workflow did not complete: its execution {execution.pk} {'was cancelled' if execution.status == Status.CANCELLED else 'failed'}."
        )
    said = response_in(execution) if webhook.answer == "respond" else None
    if said is None:
        data = dialect_of(request._request).result(execution.output)
        return as_json(data)
    return as_told(said)


def as_json(data: Any) -> HttpResponse:
    response = HttpResponse(
        to_json(data), content_type="application/json; charset=utf-8"
    )
    response.headers["Allow"] = "POST, OPTIONS"  # as DRF says it on every answer
    return response


def response_in(execution: Execution) -> dict[str, Any] | None:
    """What a respond node left as the output, alone or, by its id, among those of others."""
    responders = [
        node["id"] for node in execution.version.nodes if node.get("type") == "respond"
    ]
    output = execution.output
    if not responders or not isinstance(output, dict):
        return None
    candidates = [output, *(output.get(name) for name in responders)]
    return next(filter(is_response, candidates), None)


def is_response(found: Any) -> bool:
    if not isinstance(found, dict) or found.keys() != ANSWER_FIELDS:
        return False
    status, headers = found["status"], found["headers"]
    return type(status) is int and 200 <= status <= 599 and isinstance(headers, dict)


def as_told(said: dict[str, Any]) -> HttpResponse:
    """The customer's own answer. Its headers were looked at in the node, and are again here: this is the door."""
    status, body = said["status"], said["body"]
    is_text = isinstance(body, str)
    kind = "text/plain; charset=utf-8" if is_text else "application/json; charset=utf-8"
    content = body.encode() if is_text else to_json(body)
    response = HttpResponse(
        b"" if status in WITHOUT_BODY else content,
        status=status,
        content_type=kind,
    )
    for name, value in said["headers"].items():
        if not header_fault(name, value):
            response[name] = value
    for name, value in UNTRUSTED.items():
        response[name] = value
    return response
