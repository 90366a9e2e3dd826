from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from rest_framework import serializers

from accounts.models import AuditEntry
from craft.api.serializers import ModelSerializer


class AuditEntrySerializer(ModelSerializer):
    """One change: who made it, from where, to what, and what was before and after."""

    event = serializers.CharField(
        source="type",
        read_only=True,
        help_text="What happened: `workflow.updated`, `api_key.created` …",
    )
    actor = serializers.SerializerMethodField(
        help_text="Who did it: the person, and the API key if it was by one. Both are null for what Craft did by itself."
    )
    ip_address = serializers.CharField(
        source="address", read_only=True, help_text="Where the call came from."
    )
    user_agent = serializers.CharField(read_only=True)
    data = serializers.DictField(  # type: ignore[assignment]  # REST framework takes fields out of the class
        read_only=True, help_text="What the event says of the resource."
    )
    changes = serializers.DictField(
        read_only=True,
        help_text="Each field that changed, with what it was before and what it is after. Secrets are shown as `***`.",
    )
    sequence = serializers.IntegerField(
        read_only=True,
        allow_null=True,
        help_text="Its place in the company's chain; null for the few seconds before it has one.",
    )

    class Meta:
        model = AuditEntry
        resource = "entry"
        resources = "entries"
        label = "Audit entry"
        fields = [
            "id",
            "event",
            "resource_type",
            "resource_id",
            "actor",
            "ip_address",
            "user_agent",
            "request_id",
            "data",
            "changes",
            "sequence",
            "created_at",
        ]
        read_only_fields = fields

    def get_actor(self, entry: Any) -> dict[str, str | None]:
        return {
            "user_id": entry.user_id or None,
            "email": entry.actor_email,
            "api_key_id": entry.api_key_id or None,
        }


# --- As a file ---

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


def as_file(rows: QuerySet[AuditEntry], kind: str) -> StreamingHttpResponse:
    """`csv` or `jsonl`, oldest first, read from the database while it is sent."""
    entries = rows.order_by("pk").iterator(chunk_size=500)
    serializer = AuditEntrySerializer()  # one for all: its fields are built once
    shown = (serializer.to_representation(entry) for entry in entries)
    is_table = kind == "csv"
    response = StreamingHttpResponse(as_table(shown) if is_table else as_lines(shown))
    response["Content-Type"] = (
        "text/csv; charset=utf-8" if is_table else "application/x-ndjson"
    )
    response["Content-Disposition"] = f'attachment; filename="audit-log.{kind}"'
    response["Cache-Control"] = "no-store"
    return response


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
