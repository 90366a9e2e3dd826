"""Workflows: what each does, drawn and in a table, and how its executions went."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from craft.admin import CompanyColumn, ReadOnlyAdmin, count_of
from craft.admin.shown import (
    as_badge,
    as_count,
    as_duration,
    as_moment,
    as_row_link,
    list_of,
)
from workflows.admin.drawing import draw
from workflows.admin.executions import STARTED_BY, recent_executions
from workflows.models import (
    Execution,
    Schedule,
    Workflow,
    WorkflowTest,
    WorkflowVersion,
)
from workflows.nodes import NODES
from workflows.services.schedules import overview_of
from workflows.services.triggers import (
    schedule_settings,
    trigger_type,
    webhook_settings,
)

VERSIONS_SHOWN = 20
STRANGERS = {
    "key": "with a key",
    "secret": "with a key or its secret",
    "signature": "with a key or a signature",
    "open": "open to everybody",
}
GRAPH = ("nodes", "edges", "variables", "steps")


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin):
    list_display = [
        "name",
        "state",
        "kind",
        "begins",
        "of_company",
        "begun",
        "mean_latency",
        "changed",
    ]
    list_filter = ["status", "public", ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["name", "id__endswith", "company__name"]
    ordering = ["-id"]
    fields: list[str] = []
    change_form_template = "workflows/admin/workflow.html"
    empty_hint = "A workflow is made by POST /v1/workflows, with steps or with nodes and edges. The API console has examples."
    company_column = CompanyColumn(
        "workflow_count", "Workflows", lambda: count_of(Workflow)
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Workflow]:
        rows: QuerySet[Workflow] = super().get_queryset(request)
        return rows.select_related("company")

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Workflow | None:
        rows = self.get_queryset(request).select_related(
            "company",
            "version",
            "published_version",
            "error_workflow",
            "created_by",
            "schedule__paused_by",
        )
        return rows.filter(pk=object_id).first()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= page_of_workflow(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="Status", ordering="status")
    def state(self, workflow: Workflow) -> SafeString:
        return as_badge(workflow.status)

    @admin.display
    def kind(self, workflow: Workflow) -> str:
        return "pipeline" if workflow.is_pipeline else "graph"

    @admin.display(description="Started by")
    def begins(self, workflow: Workflow) -> str:
        return trigger_type(workflow)

    @admin.display(description="Company")
    def of_company(self, workflow: Workflow) -> SafeString:
        return as_row_link(workflow.company)

    @admin.display(description="Executions", ordering="usage_count")
    def begun(self, workflow: Workflow) -> str:
        return as_count(workflow.usage_count)

    @admin.display(description="Mean time")
    def mean_latency(self, workflow: Workflow) -> str:
        return as_duration(workflow.metrics["avg_latency_ms"])

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, workflow: Workflow) -> SafeString:
        return as_moment(workflow.updated_at)


def page_of_workflow(workflow: Workflow) -> dict[str, Any]:
    version = workflow.version
    nodes = version.nodes if version else []
    edges = version.edges if version else []
    versions = (
        WorkflowVersion.objects.filter(workflow=workflow)
        .select_related("created_by")
        .defer(*GRAPH)
        .order_by("-number")[:VERSIONS_SHOWN]
    )
    return {
        "workflow": workflow,
        "title": workflow.name,
        "version": version,
        "begins": begins_by(workflow),
        "schedule": schedule_of(workflow),
        "paused_by": paused_by(workflow),
        "drawing": draw(nodes, edges),
        "nodes": table_of(nodes, edges),
        "versions": versions,
        "live": workflow.live_version if workflow.is_live else None,
        "tests": WorkflowTest.unscoped.filter(workflow=workflow).count(),
        "executions": recent_executions(workflow=workflow),
        "figures": [
            ("Executions", workflow.usage_count, all_of(workflow)),
            ("Of these ended", workflow.ended_count, all_of(workflow)),
            (
                "Mean time",
                as_duration(workflow.metrics["avg_latency_ms"]),
                all_of(workflow),
            ),
        ],
        "all_executions": all_of(workflow),
    }


def all_of(workflow: Workflow) -> str:
    return list_of(Execution, workflow__id__exact=workflow.pk)


def begins_by(workflow: Workflow) -> str:
    kind = trigger_type(workflow)
    webhook = webhook_settings(workflow.trigger)
    said = STARTED_BY.get(kind, kind)
    return f"{said}, {STRANGERS[webhook.auth]}" if webhook else said


def schedule_of(workflow: Workflow) -> dict[str, Any] | None:
    if schedule_settings(workflow.trigger) is None:
        return None
    overview = overview_of(workflow)
    return {**overview, "every_text": as_duration(overview["every_seconds"] * 1000)}


def paused_by(workflow: Workflow) -> Any:
    schedule: Schedule | None = getattr(workflow, "schedule", None)
    return schedule.paused_by if schedule else None


def table_of(
    nodes: list[dict[str, Any]], edges: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    names = {node["id"]: node.get("name") or node["id"] for node in nodes}
    leaving: dict[str, list[str]] = {}
    for edge in edges:
        handle = edge.get("source_handle")
        target = names.get(edge["target"], edge["target"])
        said = target if handle in {None, "", "main"} else f"{handle} → {target}"
        leaving.setdefault(edge["source"], []).append(said)
    return [
        {
            "id": node["id"],
            "name": names[node["id"]],
            "type": node["type"],
            "summary": NODES[node["type"]].summary if node["type"] in NODES else "",
            "leaving": leaving.get(node["id"], []),
            "config": node.get("config") or None,
            "is_disabled": bool(node.get("disabled")),
        }
        for node in nodes
    ]
