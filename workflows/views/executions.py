from collections import Counter
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.viewsets import (
    MEMBERS_WRITE,
    CompanyViewSet,
)
from craft.leases import Status
from workflows.filters import ExecutionFilter
from workflows.models import Execution, Step, Workflow
from workflows.serializers.executions import (
    AcceptedSerializer,
    ExecutionListSerializer,
    ExecutionSerializer,
    StepSerializer,
)
from workflows.serializers.waits import SignalSerializer
from workflows.services import executions
from workflows.services.signals import send_signal


class ExecutionViewSet(
    mixins.RetrieveModelMixin, mixins.ListModelMixin, CompanyViewSet
):
    """Executions: the runs of workflows."""

    queryset = Execution.objects.select_related("version")
    serializer_class = ExecutionSerializer
    filterset_class = ExecutionFilter
    access = MEMBERS_WRITE
    unheld = frozenset({"cancel"})
    problems = {"cancel": (409,), "signals": (409,)}

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
        """Executions grow without end: without a filter the workflows' own counts answer."""
        is_filtered = set(self.request.query_params) & set(ExecutionFilter.base_filters)
        if self.action != "list" or is_filtered:
            return queryset.count()
        return executions.count_executions(credentials_of(self.request).company)

    @extend_schema(responses=StepSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def steps(self, request: Request, pk: str) -> Response:
        """All its steps, the newest first; those inside a `map` or `loop` by their `iteration`."""
        rows = Step.objects.filter(execution=self.get_object())
        return self.list_rows(rows, StepSerializer)

    @extend_schema(request=SignalSerializer, responses={202: SignalSerializer})
    @action(detail=True, methods=["post"])
    def signals(self, request: Request, pk: str) -> Response:
        """Send it a signal, for its `wait` nodes. One that comes before its node is reached is kept for 24 hours; each is consumed once."""
        signal = send_signal(
            self.get_object(),
            user=credentials_of(request).user,
            **{"data": None, **self.read(SignalSerializer)},
        )
        return Response(
            dict(SignalSerializer(signal).data), status=status.HTTP_202_ACCEPTED
        )

    @extend_schema(request=None, responses=ExecutionSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop it. What is in flight is broken off within a second; what is finished stays finished."""
        execution = executions.cancel_execution(self.get_object())
        return Response(self.get_serializer(execution).data)


def listed(queryset: Any) -> Any:
    return queryset.select_related("version").defer(
        "logs",
        "version__nodes",
        "version__edges",
        "version__variables",
        "version__steps",
    )


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
