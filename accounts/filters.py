from __future__ import annotations

from typing import Any

import django_filters as filters
from django.db.models import Q

from accounts.models import AuditEntry, Membership, Role
from craft.api.filters import TimeFilter
from craft.fields import lowest_id


class AuditFilter(filters.FilterSet):
    actor = filters.CharFilter(
        method="by_actor", help_text="The id of a person, or of an API key."
    )
    event = filters.CharFilter(
        field_name="type", help_text="Exactly, such as `workflow.updated`."
    )
    resource_id = filters.CharFilter(help_text="What was changed.")

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    def by_actor(self, queryset: Any, name: str, value: str) -> Any:
        return queryset.filter(Q(user_id=value) | Q(api_key_id=value))

    def since(self, queryset: Any, name: str, value: Any) -> Any:
        return queryset.filter(pk__gte=_bound(value))

    def until(self, queryset: Any, name: str, value: Any) -> Any:
        return queryset.filter(pk__lt=_bound(value))


def _bound(moment: Any) -> str:
    """Ids sort by creation; what lies before the first of all ids is all of them."""
    return lowest_id("audit", moment) if moment.timestamp() > 0 else ""


# `from` is a word of Python's, so these two can't be written as attributes.
AuditFilter.base_filters["from"] = TimeFilter(
    method="since", help_text="Made at or after (ISO 8601)."
)
AuditFilter.base_filters["to"] = TimeFilter(
    method="until", help_text="Made before (ISO 8601)."
)


class AuditExportFilter(AuditFilter):
    format = filters.ChoiceFilter(
        choices=[("csv", "CSV"), ("jsonl", "JSON lines")],
        method="as_it_is",
        help_text="`csv` (the default) or `jsonl`, one JSON object a line.",
    )

    def as_it_is(self, queryset: Any, name: str, value: str) -> Any:
        return queryset


class MemberFilter(filters.FilterSet):
    q = filters.CharFilter(
        method="containing", help_text="In the name or the e-mail address, any case."
    )
    role = filters.ChoiceFilter(choices=Role.choices)

    class Meta:
        model = Membership
        fields: list[str] = []

    def containing(self, queryset: Any, name: str, value: str) -> Any:
        return queryset.filter(
            Q(user__full_name__icontains=value) | Q(user__email__icontains=value)
        )
