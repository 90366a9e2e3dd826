from typing import Any

from rest_framework import serializers

from craft.api.serializers import ModelSerializer, Serializer
from workflows.models import Approval, Decision, Signal


class SignalSerializer(ModelSerializer):
    """Something that is sent to an execution by a name, for its `wait` nodes."""

    execution_id = serializers.CharField(read_only=True)
    name = serializers.CharField(
        max_length=200, help_text="As the `wait` node has it in `signal`."
    )
    sent_by = serializers.CharField(
        source="sent_by_id", read_only=True, allow_null=True
    )

    class Meta:
        model = Signal
        resource = "signal"
        fields = ["id", "execution_id", "name", "data", "sent_by", "created_at"]
        read_only_fields = ["created_at"]


class DecisionSerializer(ModelSerializer):
    user_id = serializers.CharField(read_only=True, allow_null=True)
    name = serializers.SerializerMethodField()
    approved = serializers.BooleanField(source="approves", read_only=True)

    class Meta:
        model = Decision
        fields = ["user_id", "name", "approved", "comment", "data", "created_at"]
        read_only_fields = fields

    def get_name(self, decision: Decision) -> str | None:
        return decision.user.get_full_name() if decision.user else None


class ApprovalSerializer(ModelSerializer):
    """A question to people, which an execution waits for the answer to."""

    execution_id = serializers.CharField(read_only=True)
    workflow_id = serializers.CharField(source="execution.workflow_id", read_only=True)
    status = serializers.CharField(
        source="shown_status",
        read_only=True,
        help_text="`pending`, `approved`, `rejected`, `expired` or `cancelled`.",
    )
    fields_ = serializers.ListField(
        child=serializers.DictField(),
        read_only=True,
        help_text="What is filled in to answer: each `{name, label, type, required, options}`.",
    )
    people = serializers.ListField(child=serializers.CharField(), read_only=True)
    roles = serializers.ListField(child=serializers.CharField(), read_only=True)
    decisions = DecisionSerializer(many=True, read_only=True)

    class Meta:
        model = Approval
        resource = "approval"
        fields = [
            "id",
            "execution_id",
            "workflow_id",
            "node_id",
            "title",
            "message",
            "fields_",
            "needed",
            "people",
            "roles",
            "excludes_starter",
            "status",
            "decisions",
            "expires_at",
            "decided_at",
            "created_at",
        ]
        read_only_fields = fields

    def get_fields(self) -> dict[str, Any]:
        """`fields` is DRF's own word for what a serializer has, and the wire's for what the people fill in."""
        found = super().get_fields()
        return {
            "fields" if name == "fields_" else name: field
            for name, field in found.items()
        }


class AnswerSerializer(Serializer):
    comment = serializers.CharField(
        required=False, allow_blank=True, max_length=5_000, default=""
    )
    data = serializers.DictField(  # type: ignore[assignment]  # DRF takes it off the class
        required=False, help_text="What the question's `fields` ask for, by name."
    )
