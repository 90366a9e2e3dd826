from collections import Counter
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.envelopes import FlatResponse, dialect_of
from craft.api.idempotency import key_for_work
from craft.api.viewsets import (
    MEMBERS_WRITE,
    Access,
    CompanyModelViewSet,
    created,
)
from craft.exceptions import InvalidError
from craft.leases import Status
from workflows.engine.journal import CATALOGUE
from workflows.filters import ExecutionFilter, WorkflowFilter
from workflows.models import Execution, Workflow
from workflows.serializers.executions import (
    AcceptedSerializer,
    BatchResultSerializer,
    BatchSerializer,
    ExecuteSerializer,
    ExecutionListSerializer,
    FinishedSerializer,
    RunNodeSerializer,
)
from workflows.serializers.workflows import (
    NodeTypeSerializer,
    WorkflowListSerializer,
    WorkflowMetricsSerializer,
    WorkflowSerializer,
)
from workflows.services import (
    batches,
    debugging,
    executions,
    labels,
    versions,
    workflows,
)
from workflows.views.executions import accepted, batched, finished, listed, total_of
from workflows.views.library import LibraryActions
from workflows.views.schedules import ScheduleActions
from workflows.views.triggers import TriggerActions
from workflows.views.validation import ValidationActions
from workflows.views.versions import VersionActions

LATENCY_SAMPLE = 1_000
OPEN = frozenset({"execute", "copy", "rate"})
"""What everybody may do with a workflow that its owner made public."""


class WorkflowViewSet(
    TriggerActions,
    ScheduleActions,
    VersionActions,
    LibraryActions,
    ValidationActions,
    CompanyModelViewSet,
):
    """Workflows: pipelines of steps, and graphs of nodes and edges."""

    queryset = Workflow.objects.select_related("version", "published_version")
    serializer_class = WorkflowSerializer
    filterset_class = WorkflowFilter
    access: ClassVar[Access] = {
        **MEMBERS_WRITE,
        "trigger": "write",
        "validate": "read",
    }
    deletes = {"delete_trigger_secret": "trigger secret"}
    keyless = frozenset({"trigger"})
    unheld = frozenset({"execute", "execute_batch", "publish", "run_node", "trigger"})
    problems = {
        "trigger": (409,),
        "execute": (409,),
        "update": (409,),
        "partial_update": (409,),
        "publish": (409,),
        "unpublish": (409,),
        "pause_schedule": (409,),
        "resume_schedule": (409,),
        "backfill_schedule": (409,),
    }
    flat = frozenset({"create"})

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        asks = self.request.query_params.get("public", "").lower() == "true"
        if self.action in OPEN or (asks and self.action in {"list", "retrieve"}):
            queryset = Workflow.objects.readable_by(
                credentials_of(self.request).company
            ).select_related("version", "published_version")
        if self.action == "list":
            queryset = queryset.defer(
                *(
                    f"{version}__{name}"
                    for version in ("version", "published_version")
                    for name in ("nodes", "edges", "variables", "steps")
                )
            )
        return queryset

    def get_total(self, queryset: Any) -> int:
        """Of a workflow's executions: as of all of them."""
        if self.action != "executions":
            return int(queryset.count())
        return total_of(self.request, queryset, self._count_executions)

    def _count_executions(self) -> int:
        workflow = self.get_object()
        return int(workflow.usage_count - workflow.removed_count)

    def get_serializer_class(self) -> Any:
        return (
            WorkflowListSerializer
            if self.action == "list"
            else super().get_serializer_class()
        )

    @extend_schema(responses={201: WorkflowSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """With `steps`: a pipeline, active at once. With `nodes` and `edges`: a graph, a draft until it is published."""
        caller, fields = credentials_of(request), self.read(WorkflowSerializer)
        workflow = workflows.create_workflow(
            company=caller.company, user=caller.user, **fields
        )
        response_class = FlatResponse if workflow.is_pipeline else Response
        return created(
            self, self.get_serializer(workflow).data, response_class=response_class
        )

    def perform_update(self, serializer: Any) -> None:
        workflow = serializer.instance
        serializer.instance = workflows.update_workflow(
            workflow,
            user=credentials_of(self.request).user,
            **serializer.validated_data,
        )

    def perform_destroy(self, instance: Any) -> None:
        workflows.delete_workflow(instance)

    @extend_schema(
        request=ExecuteSerializer,
        responses={200: FinishedSerializer, 202: AcceptedSerializer},
    )
    @action(detail=True, methods=["post"])
    def execute(self, request: Request, pk: str) -> Response:
        """Run it with this input: what is live of it, or the version that you name. A draft runs too. `sync` answers with the finished execution, or with what is known when the time runs out."""
        caller, asked = credentials_of(request), self.read(ExecuteSerializer)
        runs_inline = (
            asked["mode"] == "sync"
            if "mode" in asked
            else dialect_of(request).runs_inline
        )
        workflow = self.get_object()
        fields = {
            "workflow": workflow,
            "version": self.version_asked_for(workflow, asked.get("version")),
            "company": caller.company,
            "user": caller.user,
            "input": asked["input"],
            "trigger": {"type": "api"},
            "idempotency_key": key_for_work(request),
            "labels": asked["labels"],
            "pins": asked["pins"],
            "is_dry": asked["dry_run"],
        }
        labels.check_labels(asked["labels"])
        debugging.check_pins(fields["workflow"], asked["pins"])
        if not runs_inline:
            return accepted(executions.start_execution(**fields))
        execution = executions.run_execution(
            timeout_seconds=asked["timeout_seconds"], **fields
        )
        return finished(execution)

    @extend_schema(
        request=RunNodeSerializer,
        responses={200: FinishedSerializer, 202: AcceptedSerializer},
    )
    @action(
        detail=True,
        methods=["post"],
        url_path="nodes/(?P<node_id>[A-Za-z_][A-Za-z0-9_-]{0,63})/run",
    )
    def run_node(self, request: Request, pk: str, node_id: str) -> Response:
        """Run one node by itself, with this input. It is an execution like others, whose `trigger` is `{"type": "node", "node_id": …}`; its output is the
        node's. Also of a draft. 202 when it takes longer than `timeout_seconds`; it goes on."""
        caller, asked = credentials_of(request), self.read(RunNodeSerializer)
        execution = debugging.run_node(
            workflow=self.get_object(),
            company=caller.company,
            user=caller.user,
            node_id=node_id,
            input=asked["input"],
            nodes=asked["nodes"],
            pinned=asked["pins"],
            is_dry=asked["dry_run"],
            timeout_seconds=asked["timeout_seconds"],
            idempotency_key=key_for_work(request),
        )
        return finished(execution)

    def version_asked_for(self, workflow: Workflow, asked: Any) -> Any:
        """None for what is live."""
        if asked is None:
            return None
        is_own = workflow.company_id == credentials_of(self.request).company.pk
        if not is_own and asked != "published":
            raise InvalidError(
                "Of another company's workflow you can run what is live.",
                details={"version": "Must be published."},
            )
        return versions.find_version(workflow, asked)

    @extend_schema(
        request=BatchSerializer,
        responses={200: BatchResultSerializer, 202: BatchResultSerializer},
    )
    @action(detail=True, methods=["post"], url_path="execute/batch")
    def execute_batch(self, request: Request, pk: str) -> Response:
        """Run it for each of these inputs. Where nothing in it waits or reaches outside, they are over with the answer (200); otherwise they are queued (202)."""
        caller = credentials_of(request)
        inputs = self.read(BatchSerializer)["inputs"]
        workflow = self.get_object()
        found = batches.start_batch(
            workflow=workflow,
            company=caller.company,
            user=caller.user,
            inputs=inputs,
            idempotency_key=key_for_work(request),
        )
        return batched(workflow, found)

    @extend_schema(responses=ExecutionListSerializer(many=True))
    @action(
        detail=True,
        methods=["get"],
        url_path="executions",
        filterset_class=ExecutionFilter,
    )
    def executions(self, request: Request, pk: str) -> Response:
        """Its executions, newest first."""
        workflow = self.get_object()
        company = credentials_of(request).company
        found = Execution.objects.for_company(company).filter(workflow=workflow)
        return self.list_rows(listed(found), ExecutionListSerializer, ExecutionFilter)

    @extend_schema(responses=WorkflowMetricsSerializer)
    @action(detail=True, methods=["get"])
    def metrics(self, request: Request, pk: str) -> Response:
        """How many executions ended, how, and how long they took."""
        workflow = self.get_object()
        company = credentials_of(request).company
        own = Execution.objects.for_company(company).filter(workflow=workflow)
        recent = list(
            own.order_by("-id").only("status", "started_at", "completed_at")[
                :LATENCY_SAMPLE
            ]
        )
        latencies = sorted(
            execution.duration_ms or 0.0
            for execution in recent
            if execution.status == Status.COMPLETED
        )
        figures = {
            "workflow_id": workflow.pk,
            "started": workflow.usage_count,
            **workflow.metrics,
            "by_status": dict(Counter(str(execution.status) for execution in recent)),
            "p50_latency_ms": quantile(latencies, 0.5),
            "p95_latency_ms": quantile(latencies, 0.95),
        }
        return Response(dict(WorkflowMetricsSerializer(figures).data))

    @extend_schema(responses=NodeTypeSerializer(many=True))
    @action(
        detail=False,
        methods=["get"],
        url_path="node-types",
        filterset_class=None,
        pagination_class=None,
    )
    def node_types(self, request: Request) -> Response:
        """Every type of node, with the schema of its config and an example."""
        return Response(NodeTypeSerializer(list(CATALOGUE.values()), many=True).data)


def quantile(ordered: list[float], share: float) -> float | None:
    return (
        ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None
    )
