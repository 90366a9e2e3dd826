from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request

from accounts.filters import AuditExportFilter, AuditFilter
from accounts.models import AuditEntry
from accounts.serializers.audit import AuditEntrySerializer
from craft.api.filters import filter_rows
from craft.api.viewsets import ADMINS_ONLY, CompanyViewSet

COLUMNS = [
    "id",
    "created_at",
    "event",
    "resource_type",
    "resource_id",
    "user_id",
    "email",
    "api_key_id",
    "ip_address",
    "user_agent",
    "request_id",
    "data",
    "changes",
    "sequence",
]
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
        entries = rows.order_by("pk").iterator(chunk_size=500)
        shown = (dict(AuditEntrySerializer(entry).data) for entry in entries)  # type: ignore[call-overload]  # its field hides the property's type
        if request.query_params.get("format") == "jsonl":
            return as_file(as_lines(shown), "application/x-ndjson", "jsonl")
        return as_file(as_table(shown), "text/csv; charset=utf-8", "csv")


def as_file(lines: Iterable[str], kind: str, ending: str) -> StreamingHttpResponse:
    name = f'attachment; filename="audit-log.{ending}"'
    headers = {"Content-Disposition": name, "Cache-Control": "no-store"}
    return StreamingHttpResponse(lines, content_type=kind, headers=headers)


def as_lines(entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    for entry in entries:
        yield json.dumps(entry) + "\n"


class _Line:
    """A file for `csv` that hands back each line."""

    def write(self, line: str) -> str:
        return line


def as_table(entries: Iterable[dict[str, Any]]) -> Iterator[str]:
    table = csv.writer(_Line())
    yield table.writerow(COLUMNS)
    for entry in entries:
        row = {**entry, **entry["actor"]}
        yield table.writerow([as_cell(row[name]) for name in COLUMNS])


def as_cell(value: Any) -> Any:
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"  # else a spreadsheet takes it for a formula
    return value
