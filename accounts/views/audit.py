from __future__ import annotations

from typing import ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request

from accounts.filters import AuditExportFilter, AuditFilter
from accounts.models import AuditEntry
from accounts.serializers.audit import AuditEntrySerializer, as_file
from craft.api.filters import filter_rows
from craft.api.viewsets import ADMINS_ONLY, CompanyViewSet

PARAMETERS = [
    OpenApiParameter(
        name,
        enum=["csv", "jsonl"] if name == "format" else None,
        description=str(one.extra["help_text"]),
    )
    for name, one in AuditExportFilter.base_filters.items()
]


class AuditViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, CompanyViewSet):
    """The audit log: every change in the company, newest first. Runs of agents and workflows are no changes, and have lists of their own."""

    queryset = AuditEntry.objects.with_actor()
    serializer_class = AuditEntrySerializer
    filterset_class = AuditFilter
    access = ADMINS_ONLY
    problems: ClassVar = {"export": (400,)}

    @extend_schema(
        parameters=PARAMETERS,
        responses={
            (200, "text/csv"): OpenApiTypes.STR,
            (200, "application/x-ndjson"): OpenApiTypes.STR,
        },
    )
    @action(
        detail=False,
        methods=["get"],
        filterset_class=AuditExportFilter,
        pagination_class=None,
    )
    def export(self, request: Request) -> StreamingHttpResponse:
        """The whole log as a file, oldest first, or the part that the filters name."""
        rows = filter_rows(self, self.get_queryset(), AuditExportFilter)
        return as_file(rows, request.query_params.get("format") or "csv")
