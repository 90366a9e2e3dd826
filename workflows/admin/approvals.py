"""Approvals: what workflows asked of people, and what they answered."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from craft.admin import ReadOnlyAdmin
from craft.admin.shown import DASH, as_badge, as_moment, as_row_link
from workflows.models import Approval


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    list_display = ["title", "state", "of_workflow", "of_company", "asked", "expires"]
    list_filter = ["status", ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["id__endswith", "title", "company__name"]
    is_found_by_id_only = True
    ordering = ["-id"]
    fields = [
        "title",
        "message",
        "state",
        "of_company",
        "of_workflow",
        "of_execution",
        "who",
        "needed",
        "answers",
        "asked",
        "expires",
    ]
    empty_hint = "A workflow asks people by a node of the type approval."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        rows: QuerySet[Approval] = super().get_queryset(request)
        return rows.select_related("company", "execution__workflow")

    @admin.display(description="Status", ordering="status")
    def state(self, approval: Approval) -> SafeString:
        return as_badge(approval.shown_status)

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, approval: Approval) -> SafeString:
        return as_row_link(approval.company)

    @admin.display(description="Workflow")
    def of_workflow(self, approval: Approval) -> Any:
        return as_row_link(approval.execution.workflow)

    @admin.display(description="Execution")
    def of_execution(self, approval: Approval) -> Any:
        return as_row_link(approval.execution)

    @admin.display(description="Asked", ordering="id")
    def asked(self, approval: Approval) -> Any:
        return as_moment(approval.created_at)

    @admin.display(description="Until", ordering="expires_at")
    def expires(self, approval: Approval) -> Any:
        return as_moment(approval.expires_at)

    @admin.display(description="Who may answer")
    def who(self, approval: Approval) -> str:
        named = [*approval.people, *(f"every {role}" for role in approval.roles)]
        said = ", ".join(named) or "every admin and member"
        return f"{said}, but for who started it" if approval.excludes_starter else said

    @admin.display(description="Answers")
    def answers(self, approval: Approval) -> SafeString | str:
        given = [
            (
                each.user.get_full_name() if each.user else "Somebody who has left",
                "approved" if each.approves else "rejected",
                f": {each.comment}" if each.comment else "",
            )
            for each in approval.decisions.select_related("user")
        ]
        return format_html_join("", "<div>{} {}{}</div>", given) or DASH
