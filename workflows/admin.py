from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.decorators import action, display

from craft.admin import ReadOnlyAdmin, as_duration, as_json
from craft.exceptions import DomainError
from workflows.models import Execution, Step, Workflow
from workflows.services import executions

STATUS_COLOURS = {
    "completed": "success",
    "failed": "danger",
    "unknown": "danger",
    "running": "info",
    "waiting": "warning",
    "pending": "warning",
    "cancelled": "default",
    "skipped": "default",
    "active": "success",
    "published": "success",
    "draft": "default",
}


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin):
    list_display = [
        "name",
        "shown_status",
        "kind",
        "company",
        "usage_count",
        "ended_count",
        "mean_latency",
        "updated_at",
    ]
    list_filter = ["status", "public"]
    list_select_related = ["company"]
    search_fields = ["name", "id", "company__name"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "name",
                    "id",
                    "company",
                    "shown_status",
                    "description",
                    "trigger",
                    "category",
                    "public",
                    "created_by",
                ]
            },
        ),
        (
            "Use",
            {
                "fields": [
                    "usage_count",
                    "ended_count",
                    "mean_latency",
                    "created_at",
                    "updated_at",
                ]
            },
        ),
        (
            "What it does",
            {"fields": ["shown_version", "shown_steps", "shown_nodes", "shown_edges"]},
        ),
    ]
    readonly_fields = ["id"]

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def shown_status(self, workflow: Workflow) -> str:
        return str(workflow.status)

    @admin.display
    def kind(self, workflow: Workflow) -> str:
        return "pipeline" if workflow.is_pipeline else "graph"

    @admin.display
    def mean_latency(self, workflow: Workflow) -> str:
        return as_duration(workflow.metrics["avg_latency_ms"])

    @admin.display(description="Version")
    def shown_version(self, workflow: Workflow) -> int:
        return workflow.version.number if workflow.version else 0

    @admin.display(description="Steps")
    def shown_steps(self, workflow: Workflow) -> SafeString:
        return as_json(workflow.version and workflow.version.steps)

    @admin.display(description="Nodes")
    def shown_nodes(self, workflow: Workflow) -> SafeString:
        return as_json(workflow.version and workflow.version.nodes)

    @admin.display(description="Edges")
    def shown_edges(self, workflow: Workflow) -> SafeString:
        return as_json(workflow.version and workflow.version.edges)


class StepInline(TabularInline):
    model = Step
    extra = 0
    can_delete = False
    fields = [
        "node_id",
        "type",
        "shown_status",
        "attempt",
        "started_at",
        "took",
        "failure",
        "shown_output",
    ]
    readonly_fields = fields
    ordering = ["position", "id"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Status", label=STATUS_COLOURS)
    def shown_status(self, step: Step) -> str:
        return str(step.status)

    @admin.display
    def took(self, step: Step) -> str:
        return as_duration(step.duration_ms)

    @admin.display
    def failure(self, step: Step) -> str:
        return f"{step.error['code']}: {step.error['message']}" if step.error else "-"

    @admin.display(description="Output")
    def shown_output(self, step: Step) -> SafeString:
        return as_json(step.output)


@admin.register(Execution)
class ExecutionAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "workflow",
        "company",
        "shown_status",
        "created_at",
        "took",
        "failure",
    ]
    list_filter = ["status", "created_at"]
    list_select_related = ["workflow", "company"]
    search_fields = ["id", "workflow__name", "workflow__id", "company__name"]
    ordering = ["-id"]
    inlines = [StepInline]
    actions = ["cancel_selected", "rerun_selected"]
    actions_detail = ["cancel_one", "rerun_one"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "id",
                    "workflow",
                    "company",
                    "shown_status",
                    "version",
                    "trigger",
                    "created_by",
                ]
            },
        ),
        (
            "Times",
            {
                "fields": [
                    "created_at",
                    "started_at",
                    "completed_at",
                    "took",
                    "next_attempt_at",
                    "cancel_requested_at",
                ]
            },
        ),
        (
            "Data",
            {"fields": ["shown_error", "shown_input", "shown_output", "shown_logs"]},
        ),
        (
            "Lease",
            {
                "classes": ["collapse"],
                "fields": [
                    "attempts",
                    "lease_owner",
                    "lease_expires_at",
                    "lease_epoch",
                ],
            },
        ),
    ]
    readonly_fields = ["id"]

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def shown_status(self, execution: Execution) -> str:
        return str(execution.status)

    @admin.display
    def took(self, execution: Execution) -> str:
        return as_duration(execution.duration_ms)

    @admin.display
    def failure(self, execution: Execution) -> str:
        return str(execution.error["message"])[:100] if execution.error else "-"

    @admin.display(description="Error")
    def shown_error(self, execution: Execution) -> SafeString:
        return as_json(execution.error)

    @admin.display(description="Input")
    def shown_input(self, execution: Execution) -> SafeString:
        return as_json(execution.input)

    @admin.display(description="Output")
    def shown_output(self, execution: Execution) -> SafeString:
        return as_json(execution.output)

    @admin.display(description="Log")
    def shown_logs(self, execution: Execution) -> SafeString:
        return as_json(execution.logs or None)

    @admin.action(description="Cancel the selected executions")
    def cancel_selected(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> None:
        self._each(request, queryset, executions.cancel_execution, "cancelled")

    @admin.action(description="Run the selected executions again")
    def rerun_selected(
        self, request: HttpRequest, queryset: QuerySet[Execution]
    ) -> None:
        self._each(
            request,
            queryset,
            lambda execution: executions.rerun_execution(execution, user=request.user),
            "started again",
        )  # type: ignore[arg-type]  # the admin lets users in only

    @action(description="Cancel", url_path="cancel", icon="cancel")
    def cancel_one(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        self._each(
            request,
            Execution.unscoped.filter(pk=object_id),
            executions.cancel_execution,
            "cancelled",
        )
        return HttpResponseRedirect(
            reverse("admin:workflows_execution_change", args=[object_id])
        )

    @action(description="Run again", url_path="rerun", icon="replay")
    def rerun_one(self, request: HttpRequest, object_id: str) -> HttpResponseRedirect:
        execution = executions.rerun_execution(
            Execution.unscoped.get(pk=object_id), user=request.user
        )  # type: ignore[arg-type]  # the admin lets users in only
        self.message_user(
            request, f"Started again as {execution.pk}.", messages.SUCCESS
        )
        return HttpResponseRedirect(
            reverse("admin:workflows_execution_change", args=[execution.pk])
        )

    def _each(
        self, request: HttpRequest, queryset: QuerySet[Execution], act: Any, done: str
    ) -> None:
        succeeded = 0
        for execution in queryset.select_related("workflow__version", "company"):
            try:
                act(execution)
                succeeded += 1
            except DomainError as error:
                self.message_user(
                    request, f"{execution.pk}: {error.message}", messages.WARNING
                )
        if succeeded:
            self.message_user(request, f"{succeeded} {done}.", messages.SUCCESS)
