"""Query parameters: known ones are checked, unknown ones refused, so that a typo never passes for a filter."""

from typing import Any

from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework.exceptions import ValidationError

from craft.api.envelopes import dialect_of
from craft.api.exceptions import QueryError
from craft.api.pagination import PARAMETERS


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter's backend, which refuses parameters that the list does not take."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        if view.action == "list":
            self.refuse_unknown(request, queryset, view)
        try:
            return super().filter_queryset(request, queryset, view)
        except ValidationError as error:
            raise QueryError(error.detail) from None

    def refuse_unknown(self, request: Any, queryset: Any, view: Any) -> None:
        filterset = self.get_filterset_class(view, queryset)
        known = {
            *(
                PARAMETERS[dialect_of(request).pages_by_number]
                if view.paginator
                else ()
            ),
            *(filterset.base_filters if filterset else ()),
            *getattr(view, "extra_parameters", ()),
        }
        unknown = sorted(set(request.query_params) - known)
        if unknown:
            sentence = f"Unknown parameter. Known are: {', '.join(sorted(known))}."
            raise QueryError(dict.fromkeys(unknown, sentence))


__all__ = ["FilterSet", "StrictFilterBackend"]
