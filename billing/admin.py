from typing import Any

from django.contrib import admin

from billing import services
from billing.models import Plan, Subscription
from craft.admin import ConsoleAdmin


@admin.register(Plan)
class PlanAdmin(ConsoleAdmin):
    list_display = [
        "name",
        "family",
        "slug",
        "has_api_access",
        "per_minute",
        "per_minute_burst",
        "per_hour",
        "per_day",
    ]
    list_filter = ["family"]
    search_fields = ["name", "slug"]


@admin.register(Subscription)
class SubscriptionAdmin(ConsoleAdmin):
    list_display = ["company", "plan", "status", "updated_at"]
    list_select_related = ["company", "plan"]
    list_filter = ["status", "plan"]
    search_fields = ["company__name"]
    readonly_fields = ["company"]

    def save_model(
        self, request: Any, obj: Subscription, form: Any, change: bool
    ) -> None:
        services.set_plan(company=obj.company, slug=obj.plan.slug, status=obj.status)
