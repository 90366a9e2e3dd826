import json
from datetime import timedelta
from typing import Any

import django_filters as filters
from django import forms
from django.core.validators import EMPTY_VALUES
from django.db.models import DurationField, ExpressionWrapper, F, Q, TextField
from django.db.models.functions import Cast
from django.utils import timezone

from craft.api.filters import TimeFilter
from craft.fields import lowest_id
from craft.leases import Status
from workflows.models import (
    Approval,
    ApprovalStatus,
    Execution,
    ExecutionLabel,
    Workflow,
    WorkflowStatus,
)

MOST_SCANNED = 10_000
NEWEST_ONLY = "Looks through the newest 10,000 executions that fit all else."
MAX_MILLISECONDS = 10**12


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


class LabelField(forms.Field):
    widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> list[tuple[str, str]]:
        pairs = [text.partition(":") for text in value or []]
        if any(not key or not label or "\0" in key + label for key, _, label in pairs):
            raise forms.ValidationError("Must be key:value.")
        return [(key, label) for key, _, label in pairs]


class LabelFilter(filters.Filter):
    field_class = LabelField


class MillisecondsFilter(filters.NumberFilter):
    field_class = forms.IntegerField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, min_value=0, max_value=MAX_MILLISECONDS, **kwargs)

    def get_max_validator(self) -> None:
        return None


class ExecutionFilter(filters.FilterSet):
    """What no index finds is looked for among the newest of those that all other filters leave, so that no call reads a company's whole past."""

    scanning = ("trigger", "text", "min_duration_ms", "max_duration_ms")

    status = filters.ChoiceFilter(choices=Status.choices)
    workflow_id = filters.CharFilter()
    label = LabelFilter(
        method="with_labels",
        help_text="`key:value`. May be given several times: all have to fit.",
    )
    trigger = filters.CharFilter(
        field_name="trigger__type",
        max_length=40,
        help_text=f"The `type` of its trigger, such as `cron` or `webhook`. {NEWEST_ONLY}",
    )
    text = filters.CharFilter(
        method="with_text",
        min_length=2,
        max_length=200,
        help_text=f"In its input, output or error, any case. {NEWEST_ONLY}",
    )
    min_duration_ms = MillisecondsFilter(
        method="with_duration",
        lookup_expr="gte",
        help_text=f"It ended, and took at least so long. {NEWEST_ONLY}",
    )
    max_duration_ms = MillisecondsFilter(
        method="with_duration",
        lookup_expr="lte",
        help_text=f"It ended, and took at most so long. {NEWEST_ONLY}",
    )

    class Meta:
        model = Execution
        fields: list[str] = []

    def filter_queryset(self, queryset: Any) -> Any:
        given = {
            name: value
            for name, value in self.form.cleaned_data.items()
            if value not in EMPTY_VALUES
        }
        scanning = [name for name in self.scanning if name in given]
        for name in given.keys() - scanning:
            queryset = self.filters[name].filter(queryset, given[name])
        queryset = since(queryset, given.get("from"))
        if scanning:
            queryset = newest_of(queryset)
        for name in scanning:
            queryset = self.filters[name].filter(queryset, given[name])
        return queryset

    def with_labels(self, queryset: Any, name: str, value: Any) -> Any:
        company_id = queryset.query.company_id
        for key, label in value:
            found = ExecutionLabel.objects.for_company(company_id)
            having = found.filter(key=key, value=label).values("execution_id")
            queryset = queryset.filter(pk__in=having)
        return queryset

    def with_text(self, queryset: Any, name: str, value: str) -> Any:
        """As it stands in JSON."""
        text = json.dumps(value, ensure_ascii=False)[1:-1]
        found = Q()
        for field in ("input", "output", "error"):
            queryset = queryset.alias(**{f"{field}_text": Cast(field, TextField())})
            found |= Q(**{f"{field}_text__icontains": text})
        return queryset.filter(found)

    def with_duration(self, queryset: Any, name: str, value: int) -> Any:
        took = ExpressionWrapper(
            F("completed_at") - F("started_at"), output_field=DurationField()
        )
        compare = self.filters[name].lookup_expr
        span = timedelta(milliseconds=value)
        return queryset.alias(took=took).filter(**{f"took__{compare}": span})


def since(queryset: Any, moment: Any) -> Any:
    """Ids begin with the time, give or take what making a row lasts: the index that orders a list ends it where its time begins."""
    if moment is None or moment.year < 1971:
        return queryset
    earliest = lowest_id("exec", moment - timedelta(seconds=1))
    return queryset.filter(pk__gte=earliest)


def newest_of(queryset: Any) -> Any:
    ids = queryset.order_by("-pk").values_list("pk", flat=True)
    last = list(ids[MOST_SCANNED - 1 : MOST_SCANNED])
    return queryset.filter(pk__gte=last[0]) if last else queryset


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
