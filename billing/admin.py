from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from billing import services
from billing.models import Plan, Subscription
from craft.admin import CompanyColumn, ConsoleAdmin
from craft.admin.shown import (
    NOTHING,
    as_badge,
    as_count,
    as_link,
    as_moment,
    as_row_link,
    list_of,
)
from craft.admin.writing import Writer


@admin.register(Plan)
class PlanAdmin(ConsoleAdmin):
    """What a company may do, kept as data."""

    list_display = [
        "name",
        "family",
        "minute",
        "hour",
        "day",
        "api",
        "companies",
    ]
    list_filter = ["family"]
    search_fields = ["name", "slug"]
    fieldsets = [
        (None, {"fields": ["name", "slug", "family", "has_api_access"]}),
        (
            "Calls to the API",
            {
                "fields": ["per_minute", "per_minute_burst", "per_hour", "per_day"],
                "description": "Without a number there is no limit.",
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        rows: QuerySet[Plan] = super().get_queryset(request)
        return rows.annotate(company_count=Count("subscriptions"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["slug"] if obj else []  # programs know a plan by it

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A plan that companies are on stays."""
        is_used = getattr(obj, "company_count", 0) > 0
        return bool(super().has_delete_permission(request, obj)) and not is_used

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    @admin.display(description="A minute", ordering="per_minute")
    def minute(self, plan: Plan) -> str:
        burst = plan.per_minute_burst
        told = f" ({as_count(burst)} at once)" if burst else ""
        return as_limit(plan.per_minute) + told

    @admin.display(description="An hour", ordering="per_hour")
    def hour(self, plan: Plan) -> str:
        return as_limit(plan.per_hour)

    @admin.display(description="A day", ordering="per_day")
    def day(self, plan: Plan) -> str:
        return as_limit(plan.per_day)

    @admin.display(description="API", ordering="has_api_access", boolean=True)
    def api(self, plan: Plan) -> bool:
        return plan.has_api_access

    @admin.display(ordering="company_count")
    def companies(self, plan: Any) -> SafeString:
        url = list_of(Subscription, plan__id__exact=plan.pk)
        return as_link(url, plan.company_count) if plan.company_count else NOTHING


def as_limit(number: int | None) -> str:
    return "no limit" if number is None else as_count(number)


def plan_name() -> Subquery:
    own = Subscription.unscoped.filter(company=OuterRef("pk"))
    return Subquery(own.values("plan__name")[:1])


class SubscriptionWriter(Writer):
    def update(self, row: Subscription, values: dict[str, Any]) -> None:
        services.set_plan(company=row.company, slug=row.plan.slug, status=row.status)


@admin.register(Subscription)
class SubscriptionAdmin(ConsoleAdmin):
    """Comes with its company, and stays with it: only the plan changes."""

    list_display = ["of_company", "plan", "standing", "changed"]
    list_filter = ["status", "plan", ("company", AutocompleteSelectFilter)]
    list_filter_submit = True
    search_fields = ["company__name", "plan__name"]
    ordering = ["-id"]
    fields = ["company_link", "plan", "status", "changed"]
    readonly_fields = ["company_link", "changed"]
    empty_hint = "A subscription comes with its company."
    company_column = CompanyColumn("plan_name", "Plan", plan_name)
    writer = SubscriptionWriter()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        rows: QuerySet[Subscription] = super().get_queryset(request)
        return rows.select_related("company", "plan")

    @admin.display(description="Company", ordering="company__name")
    def of_company(self, subscription: Subscription) -> str:
        return subscription.company.name

    @admin.display(description="Company")
    def company_link(self, subscription: Subscription) -> SafeString:
        return as_row_link(subscription.company)

    @admin.display(description="Status", ordering="status")
    def standing(self, subscription: Subscription) -> SafeString:
        return as_badge(subscription.status, subscription.get_status_display())

    @admin.display(ordering="updated_at")
    def changed(self, subscription: Subscription) -> SafeString:
        return as_moment(subscription.updated_at)
