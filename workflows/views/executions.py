from collections import Counter
from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.exceptions import QueryError
from craft.api.filters import filter_rows, refuse_unknown
from craft.api.viewsets import (
    MEMBERS_WRITE,
    CompanyViewSet,
)
from craft.leases import Status
from workflows.engine import payloads
from workflows.filters import ExecutionFilter
from workflows.models import Execution, Step, Workflow
from workflows.serializers.executions import (
    AcceptedSerializer,
    ChangeExecutionSerializer,
    ExecutionListSerializer,
    ExecutionSerializer,
    FinishedSerializer,
    ForkSerializer,
    RerunSerializer,
    StepSerializer,
)
from workflows.serializers.waits import SignalSerializer
from workflows.services import executions, labels, reruns
from workflows.services.signals import send_signal
from workflows.services.watching import EventStream

MOST_COUNTED = 10_000


class ExecutionViewSet(
    mixins.RetrieveModelMixin, mixins.ListModelMixin, CompanyViewSet
):
    """Executions: the runs of workflows."""

    queryset = Execution.objects.select_related("version")
    serializer_class = ExecutionSerializer
    filterset_class = ExecutionFilter
    access = MEMBERS_WRITE
    unheld = frozenset({"cancel"})
    problems = {
        "cancel": (409,),
        "signals": (409,),
        "rerun": (409,),
        "fork": (409,),
        "events": (400, 503),
    }

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        return listed(queryset) if self.action == "list" else queryset

    def get_serializer_class(self) -> Any:
        return (
            ExecutionListSerializer
            if self.action == "list"
            else super().get_serializer_class()
        )

    def get_total(self, queryset: QuerySet[Execution]) -> int:
        if self.action != "list":
            return queryset.count()
        return total_of(self.request, queryset, self._count_all)

    def _count_all(self) -> int:
        return executions.count_executions(credentials_of(self.request).company)

    @extend_schema(responses=StepSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def steps(self, request: Request, pk: str) -> Response:
        """All its steps, the newest first; those inside a `map` or `loop` by their `iteration`."""
        rows = Step.objects.filter(execution=self.get_object())
        page = self.paginate_queryset(filter_rows(self, rows, None)) or []
        payloads.load(page)
        return self.get_paginated_response(StepSerializer(page, many=True).data)

    @extend_schema(request=SignalSerializer, responses={202: SignalSerializer})
    @action(detail=True, methods=["post"])
    def signals(self, request: Request, pk: str) -> Response:
        """Send it a signal, for its `wait` nodes. One that comes before its node is reached is kept for 24 hours; each is consumed once."""
        signal = send_signal(
            self.get_object(),
            user=credentials_of(request).user,
            **{"data": None, **self.read(SignalSerializer)},
        )
        shown = SignalSerializer(signal).data
        return Response(shown, status=status.HTTP_202_ACCEPTED)

    @extend_schema(request=ChangeExecutionSerializer, responses=ExecutionSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change its labels. Nothing else of an execution can be changed."""
        asked = self.read(ChangeExecutionSerializer)
        execution = labels.change_labels(self.get_object(), asked["labels"])
        return Response(self.get_serializer(execution).data)

    @extend_schema(request=None, responses=ExecutionSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop it. What is in flight is broken off within a second; what is finished stays finished."""
        execution = executions.cancel_execution(self.get_object())
        return Response(self.get_serializer(execution).data)

    @extend_schema(
        parameters=[
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.INT,
                OpenApiParameter.HEADER,
                description="The `id` of the last event that was seen: those after it follow.",
            )
        ],
        responses={(200, "text/event-stream"): OpenApiTypes.STR},
    )
    @action(detail=True, methods=["get"], filterset_class=None, pagination_class=None)
    def events(self, request: Request, pk: str) -> StreamingHttpResponse:
        """Watch it by server-sent events. They are `execution.started`, `step.started`, `step.completed`, `step.failed`, `step.skipped` … up to
        `execution.completed`, `execution.failed` or `execution.cancelled`, with which the stream ends. Watched afterwards it is the same, number by number. A
        node without effects is shown together with the next effect, or with the end. A stream that ends before a terminal event wants to be asked again, with
        `Last-Event-ID`. 429 where the company watches too many at a time, 503 where all together do."""
        refuse_unknown(request, self, None)
        last, execution = last_event_of(request), self.get_object()
        is_asked = request.method != "HEAD"
        stream = EventStream(execution, last=last) if is_asked else []
        response = StreamingHttpResponse(stream, content_type="text/event-stream")
        response["Cache-Control"] = "no-store"
        response["X-Accel-Buffering"] = "no"
        return response

    @extend_schema(request=RerunSerializer, responses={202: AcceptedSerializer})
    @action(detail=True, methods=["post"])
    def rerun(self, request: Request, pk: str) -> Response:
        """Run it again with the same input, as a new execution. A 409 names the nodes that have changed where their steps were to be taken over."""
        caller, asked = credentials_of(request), self.read(RerunSerializer)
        execution = reruns.rerun_execution(
            self.get_object(),
            user=caller.user,
            start=asked["from"],
            version=asked["version"],
        )
        return accepted(execution)

    @extend_schema(request=ForkSerializer, responses={202: AcceptedSerializer})
    @action(detail=True, methods=["post"])
    def fork(self, request: Request, pk: str) -> Response:
        """Go on from one of its nodes with other data, as a new execution. What is settled and does not stand behind the node is taken over."""
        caller, asked = credentials_of(request), self.read(ForkSerializer)
        node_id = asked.pop("node_id")
        execution = reruns.fork_execution(
            self.get_object(), user=caller.user, node_id=node_id, edited=asked
        )
        return accepted(execution)


def last_event_of(request: Request) -> int:
    raw = request.headers.get("Last-Event-ID") or "0"
    if not (raw.isascii() and raw.isdigit() and len(raw) < 12):
        sentence = "Must be the id of an event."
        raise QueryError({"Last-Event-ID": sentence})
    return int(raw)


def total_of(
    request: Request, found: QuerySet[Execution], count_all: Callable[[], int]
) -> int:
    """Executions grow without end: all of them are counted where they are kept, and with a filter no further than to MOST_COUNTED."""
    if not request.query_params.keys() & ExecutionFilter.base_filters.keys():
        return count_all()
    return found.order_by()[:MOST_COUNTED].count()


def listed(queryset: Any) -> Any:
    return queryset.select_related("version").defer(
        "logs",
        "pins",
        "version__nodes",
        "version__edges",
        "version__variables",
        "version__steps",
    )


def finished(execution: Execution) -> Response:
    """What a call answers that waited for the end: what is known so far, when the time ran out."""
    code = status.HTTP_200_OK if execution.is_over else status.HTTP_202_ACCEPTED
    return Response(FinishedSerializer(execution).data, status=code)


def accepted(execution: Execution) -> Response:
    execution.accepted_at = execution.started_at or execution.created_at  # type: ignore[attr-defined]  # shown by AcceptedSerializer
    return Response(
        dict(AcceptedSerializer(execution).data), status=status.HTTP_202_ACCEPTED
    )


def batched(workflow: Workflow, executions: list[Execution]) -> Response:
    """What `BatchResultSerializer` says, of a thousand at once."""
    statuses = Counter(str(execution.status) for execution in executions)
    is_over = all(execution.is_over for execution in executions)
    told = {
        "workflow_id": workflow.pk,
        "total": len(executions),
        "completed": statuses[Status.COMPLETED],
        "failed": statuses[Status.FAILED],
        "executions": [
            {
                "execution_id": execution.pk,
                "status": execution.status,
                "output": execution.output,
                "error": execution.error,
            }
            for execution in executions
        ],
    }
    code = status.HTTP_200_OK if is_over else status.HTTP_202_ACCEPTED
    return Response(told, status=code)
