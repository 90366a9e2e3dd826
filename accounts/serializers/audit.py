from __future__ import annotations

from typing import Any

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
