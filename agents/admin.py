from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.admin import TabularInline

from agents.models import Agent, AgentExecution, AgentVersion
from craft.admin import CompanyColumn, ReadOnlyAdmin, count_of, is_operator
from craft.admin.shown import (
    as_badge,
    as_count,
    as_duration,
    as_json,
    as_moment,
    as_paragraphs,
    as_row_link,
    as_time,
    joined,
)

QUESTION_SHOWN = 80


class VersionInline(TabularInline):
    model = AgentVersion
    extra = 0
    can_delete = False
    hide_title = True
    fields = readonly_fields = ["number", "told", "made_by", "made"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Told")
    def told(self, version: AgentVersion) -> SafeString:
        return as_json(version.configuration)

    @admin.display(description="By")
    def made_by(self, version: AgentVersion) -> SafeString:
        return as_row_link(version.created_by)

    @admin.display(description="When")
    def made(self, version: AgentVersion) -> SafeString:
        return as_moment(version.created_at)


@admin.register(Agent)
class AgentAdmin(ReadOnlyAdmin):
    """Agents of all companies: what they are told, and which data they may ask."""

    list_display = ["name", "state", "type", "model_name", "of_company", "changed"]
    list_filter = ["status"]
    list_select_related = ["company"]
    search_fields = ["name", "type", "company__name"]
    ordering = ["-id"]
    inlines = [VersionInline]
    empty_hint = "An agent is made by POST /api/v1/agents."
    company_column = CompanyColumn("agents", "Agents", lambda: count_of(Agent))
    fieldsets = [
        (
            None,
            {"fields": ["name", "id", "of_company", "state", "type", "description"]},
        ),
        ("What it is told", {"fields": ["told", "version", "sources"]}),
        ("When", {"fields": ["created", "changed"]}),
    ]
    readonly_fields = [
        "id",
        "of_company",
        "state",
        "told",
        "sources",
        "created",
        "changed",
    ]

    @admin.display(description="Status", ordering="status")
    def state(self, agent: Agent) -> SafeString:
        return as_badge(agent.status)

    @admin.display(description="Model")
    def model_name(self, agent: Agent) -> str:
        return agent.model

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, agent: Agent) -> SafeString:
        return as_row_link(agent.company)

    @admin.display(description="Data sources")
    def sources(self, agent: Agent) -> SafeString:
        return joined([as_row_link(source) for source in agent.data_sources.all()])

    @admin.display(description="Configuration")
    def told(self, agent: Agent) -> SafeString:
        return as_json(agent.configuration)

    @admin.display(description="Made")
    def created(self, agent: Agent) -> SafeString:
        return as_time(agent.created_at)

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
        "tokens",
        "took",
        "of_company",
        "asked",
    ]
    list_filter = ["status", "model", "is_preview"]
    list_select_related = ["company", "agent"]
    search_fields = ["agent_name", "company__name"]
    is_found_by_id_only = True
    ordering = ["-id"]
    empty_hint = "Nobody has asked an agent anything yet."
    fieldsets = [
        (
            None,
            {
                "fields": [
                    "id",
                    "state",
                    "of_agent",
                    "version",
                    "of_company",
                    "is_preview",
                    "asked",
                ]
            },
        ),
        ("Question and answer", {"fields": ["input", "answer", "value", "failure"]}),
        ("What the answer rests on", {"fields": ["rests_on"]}),
        ("What it took", {"fields": ["model", "tokens", "cost", "took", "outlet_id"]}),
    ]
    readonly_fields = [
        "id",
        "state",
        "of_agent",
        "of_company",
        "asked",
        "answer",
        "value",
        "failure",
        "rests_on",
        "tokens",
        "cost",
        "took",
    ]

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

    @admin.display(description="Answer")
    def answer(self, execution: AgentExecution) -> SafeString:
        return as_paragraphs(execution.response)

    @admin.display(description="Value")
    def value(self, execution: AgentExecution) -> SafeString:
        return as_json(execution.output)

    @admin.display(description="Error")
    def failure(self, execution: AgentExecution) -> SafeString:
        return as_json(execution.error)

    @admin.display(description="Statements and rows")
    def rests_on(self, execution: AgentExecution) -> SafeString:
        return as_json(execution.citations)

    @admin.display(description="Tokens")
    def tokens(self, execution: AgentExecution) -> str:
        return as_count(execution.tokens_used)

    @admin.display(description="Cost at list price")
    def cost(self, execution: AgentExecution) -> str:
        micros = execution.cost_micros
        return "–" if micros is None else f"{micros / 1_000_000:.6f} USD"

    @admin.display(description="Took")
    def took(self, execution: AgentExecution) -> str:
        return as_duration(execution.execution_time_ms)
