"""Query parameters: known ones are checked, unknown ones refused, so that a typo never passes for a filter."""

from typing import Any

from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from rest_framework.exceptions import ValidationError

PAGING = {"limit", "offset", "page", "cursor"}


class StrictFilterBackend(DjangoFilterBackend):
    """django-filter's backend, which refuses parameters that the list does not take."""

    def filter_queryset(self, request: Any, queryset: Any, view: Any) -> Any:
        if view.action == "list":
            filterset = self.get_filterset_class(view, queryset)
            known = (
                PAGING
                | set(filterset.base_filters if filterset else ())
                | set(getattr(view, "extra_parameters", ()))
            )
            unknown = sorted(set(request.query_params) - known)
            if unknown:
                raise ValidationError(
                    {
                        name: f"Unknown parameter. Known are: {', '.join(sorted(known))}."
                        for name in unknown
                    }
                )
        return super().filter_queryset(request, queryset, view)


__all__ = ["FilterSet", "StrictFilterBackend"]
