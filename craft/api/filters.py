"""Query parameters: known ones are checked, unknown ones refused, so that a typo never passes for a filter."""

from datetime import UTC, datetime
from typing import Any

from django.core import exceptions as django_exceptions
from django_filters import IsoDateTimeFilter
from django_filters.fields import IsoDateTimeField
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework.exceptions import ValidationError

from craft.api.envelopes import dialect_of
from craft.api.exceptions import QueryError
from craft.api.pagination import PARAMETERS


class TimeField(IsoDateTimeField):
    """As UTC: PostgreSQL refuses offsets that no place on Earth has, and no calendar holds the first hour of year 1 west of Greenwich."""

    def to_python(self, value: Any) -> datetime | None:
        time = super().to_python(value)
        if not isinstance(time, datetime):
            return None
        try:
            return time.astimezone(UTC)
        except OverflowError:
            raise django_exceptions.ValidationError("No such time.") from None


class TimeFilter(IsoDateTimeFilter):
    """ISO 8601."""

    field_class = TimeField


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter's backend for lists. A single object is found by its id alone."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        if view.action != "list":
            return queryset
        filterset_class = self.get_filterset_class(view, queryset)
        refuse_unknown(request, view, filterset_class)
        if not is_filtered(request, filterset_class):
            return queryset
        try:
            return super().filter_queryset(request, queryset, view)
        except ValidationError as error:
            raise QueryError(error.detail) from None


def filter_rows(view: Any, rows: Any, filterset_class: type[FilterSet] | None) -> Any:
    """The same for a list that is nested below a resource."""
    refuse_unknown(view.request, view, filterset_class)
    if filterset_class is None or not is_filtered(view.request, filterset_class):
        return rows
    filterset = filterset_class(
        view.request.query_params, queryset=rows, request=view.request
    )
    if not filterset.is_valid():
        raise QueryError(filterset.errors)
    return filterset.qs


def is_filtered(request: Any, filterset_class: type[FilterSet] | None) -> bool:
    """A filter set makes a form for each call, which costs more than the query that it leaves as it is."""
    return bool(
        filterset_class
        and filterset_class.base_filters.keys() & request.query_params.keys()
    )


def refuse_unknown(
    request: Any, view: Any, filterset_class: type[FilterSet] | None
) -> None:
    paging = PARAMETERS[dialect_of(request).pages_by_number] if view.paginator else ()
    known = {*paging, *(filterset_class.base_filters if filterset_class else ())}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        sentence = f"Unknown parameter. Known are: {', '.join(sorted(known))}."
        raise QueryError(dict.fromkeys(unknown, sentence))


__all__ = ["FilterSet", "StrictFilterBackend", "TimeFilter", "filter_rows"]
