from typing import Any

import django_filters as filters
from django.db.models import Q
from django.utils import timezone

from craft.api.filters import TimeFilter
from craft.leases import Status
from workflows.models import (
    Approval,
    ApprovalStatus,
    Execution,
    Workflow,
    WorkflowStatus,
)


class WorkflowFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=WorkflowStatus.choices)
    category = filters.CharFilter()
    search = filters.CharFilter(
        field_name="name", lookup_expr="icontains", help_text="In the name, any case."
    )
    public = filters.BooleanFilter(
        method="with_public", help_text="Also what other companies made public."
    )

    class Meta:
        model = Workflow
        fields: list[str] = []

    def with_public(self, queryset: Any, name: str, value: bool) -> Any:
        return queryset  # the view widened the scope already


class ExecutionFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=Status.choices)
    workflow_id = filters.CharFilter()

    class Meta:
        model = Execution
        fields: list[str] = []


class ApprovalFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=ApprovalStatus.choices, method="by_status")
    execution_id = filters.CharFilter()

    class Meta:
        model = Approval
        fields: list[str] = []

    def by_status(self, queryset: Any, name: str, value: str) -> Any:
        """What has run out by the clock is expired, whether or not its execution has gone on already."""
        late = Q(status=ApprovalStatus.PENDING, expires_at__lte=timezone.now())
        if value == ApprovalStatus.EXPIRED:
            return queryset.filter(late | Q(status=value))
        return queryset.filter(status=value).exclude(late)


def add_times(filterset: type[filters.FilterSet]) -> type[filters.FilterSet]:
    """`from` is a word of Python's, so these two can't be written as attributes."""
    filterset.base_filters["from"] = TimeFilter(
        field_name="created_at",
        lookup_expr="gte",
        help_text="Begun at or after (ISO 8601).",
    )
    filterset.base_filters["to"] = TimeFilter(
        field_name="created_at",
        lookup_expr="lte",
        help_text="Begun at or before (ISO 8601).",
    )
    return filterset


add_times(ExecutionFilter)
