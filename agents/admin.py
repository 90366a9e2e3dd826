from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from agents.models import Agent, AgentExecution
from craft.admin import CompanyColumn, ReadOnlyAdmin, count_of
from craft.admin.shown import (
    as_badge,
    as_duration,
    as_failure,
    as_moment,
    as_quiet,
    as_row_link,
    list_of,
)
from datasources.models import DataSource

QUESTION_SHOWN = 80
LATEST_SHOWN = 10
VERSIONS_SHOWN = 20
ROWS_SHOWN = 20


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    """Agents of all companies: what they are told, and which data they may ask."""

    list_display = ["name", "state", "type", "model_name", "of_company", "changed"]
    list_filter = ["status", ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    list_select_related = ["company"]
    search_fields = ["name", "type", "company__name"]
    ordering = ["-id"]
    fields: list[str] = []
    change_form_template = "agents/admin/agent.html"
    empty_hint = "An agent is made by POST /api/v1/agents."
    company_column = CompanyColumn("agents", "Agents", lambda: count_of(Agent))

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Agent | None:
        rows: QuerySet[Agent] = self.get_queryset(request)
        return rows.select_related("company", "created_by").filter(pk=object_id).first()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= page_of_agent(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="Status", ordering="status")
    def state(self, agent: Agent) -> SafeString:
        return as_badge(agent.status)

    @admin.display(description="Model")
    def model_name(self, agent: Agent) -> str:
        return agent.model

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, agent: Agent) -> SafeString:
        return as_row_link(agent.company)

    @admin.display(description="Changed", ordering="updated_at")
    def changed(self, agent: Agent) -> SafeString:
        return as_moment(agent.updated_at)


@admin.register(AgentExecution)
class AgentExecutionAdmin(ReadOnlyAdmin):
    """What agents were asked, what they answered, and what the answer rests on."""

    list_display = [
        "question",
        "state",
        "of_agent",
        "model",
        "took",
        "of_company",
        "asked",
        "failure",
    ]
    list_filter = [
        "status",
        "model",
        "is_preview",
        ("company", AutocompleteSelectFilter),
    ]
    list_filter_submit = True
    list_select_related = ["company", "agent"]
    search_fields = ["agent_name", "company__name"]
    is_found_by_id_only = True
    ordering = ["-id"]
    fields: list[str] = []
    change_form_template = "agents/admin/execution.html"
    empty_hint = "Nobody has asked an agent anything yet."

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> AgentExecution | None:
        rows: QuerySet[AgentExecution] = self.get_queryset(request)
        found = rows.select_related("company", "agent", "created_by")
        return found.filter(pk=object_id).first()

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context |= page_of_execution(context["original"])
        return super().render_change_form(request, context, *args, **kwargs)

    @admin.display(description="Asked")
    def question(self, execution: AgentExecution) -> str:
        text = " ".join(execution.input.split())
        return text if len(text) <= QUESTION_SHOWN else f"{text[:QUESTION_SHOWN]}…"

    @admin.display(description="Status", ordering="status")
    def state(self, execution: AgentExecution) -> SafeString:
        return as_badge(execution.status)

    @admin.display(description="Agent")
    def of_agent(self, execution: AgentExecution) -> SafeString | str:
        """By name where the agent itself is gone."""
        return as_row_link(execution.agent) if execution.agent else execution.agent_name

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, execution: AgentExecution) -> SafeString:
        return as_row_link(execution.company)

    @admin.display(description="When", ordering="id")
    def asked(self, execution: AgentExecution) -> SafeString:
        return as_moment(execution.created_at)

    @admin.display(description="Error")
    def failure(self, execution: AgentExecution) -> SafeString | str:
        return as_failure(execution.error) if execution.error else ""

    @admin.display(description="Took")
    def took(self, execution: AgentExecution) -> str:
        return as_duration(execution.execution_time_ms)


# --- Pages ---


def page_of_agent(agent: Agent) -> dict[str, Any]:
    versions = agent.versions.select_related("created_by")
    asked = agent.executions.order_by("-pk")
    settings = dict(agent.configuration)
    return {
        "agent": agent,
        "title": agent.name,
        "instructions": settings.pop("instructions", ""),
        "settings": settings,
        "sources": agent.data_sources.order_by("source_name"),
        "versions": versions.order_by("-number")[:VERSIONS_SHOWN],
        "executions": asked.defer("response", "output", "citations")[:LATEST_SHOWN],
        "all_executions": list_of(AgentExecution, agent__id__exact=agent.pk),
    }


def page_of_execution(execution: AgentExecution) -> dict[str, Any]:
    return {
        "execution": execution,
        "title": f"{execution.agent_name} · {execution.status}",
        "cost": cost_of(execution),
        "citations": [as_citation(one) for one in execution.citations],
    }


def cost_of(execution: AgentExecution) -> SafeString | str:
    micros = execution.cost_micros
    if micros is None:
        return as_quiet("no price is known")
    return f"{micros / 1_000_000:.6f} USD"


def as_citation(said: dict[str, Any]) -> dict[str, Any]:
    """A statement and its first rows, as a table."""
    rows = said.get("rows") or []
    columns = list(rows[0]) if rows else []
    return {
        **said,
        "source": DataSource(
            pk=said.get("source_id"), source_name=said.get("source_name", "")
        ),
        "columns": columns,
        "cells": [[row.get(column) for column in columns] for row in rows[:ROWS_SHOWN]],
    }
