from typing import Any

import django_filters as filters

from craft.api.filters import TimeFilter
from craft.leases import Status
from workflows.models import Execution, Workflow, WorkflowStatus


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
