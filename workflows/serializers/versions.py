from typing import Any

from rest_framework import serializers

from craft.api.serializers import ModelSerializer, Serializer
from workflows.models import WorkflowVersion

MAX_NUMBER = 2_147_483_647


class VersionField(serializers.JSONField):
    """A version: its number, `draft` for the newest, or `published` for the live one."""

    def to_internal_value(self, data: Any) -> Any:
        is_number = isinstance(data, int) and not isinstance(data, bool)
        if data in ("draft", "published") or (is_number and 1 <= data <= MAX_NUMBER):
            return data
        raise serializers.ValidationError(
            "Must be draft, published or the number of a version."
        )


class WorkflowVersionSerializer(ModelSerializer):
    """What a workflow did, from one change to the next."""

    id = serializers.IntegerField(source="number", read_only=True)
    version = serializers.IntegerField(source="number", read_only=True)
    is_live = serializers.BooleanField(
        read_only=True, help_text="Whether it is what triggers and schedules start."
    )
    created_by = serializers.CharField(
        source="created_by_id", read_only=True, allow_null=True
    )
    published_by = serializers.CharField(
        source="published_by_id", read_only=True, allow_null=True
    )

    class Meta:
        model = WorkflowVersion
        resource = "version"
        fields = [
            "id",
            "version",
            "name",
            "note",
            "is_live",
            "nodes",
            "edges",
            "variables",
            "steps",
            "output",
            "created_by",
            "created_at",
            "published_at",
            "published_by",
        ]
        read_only_fields = [name for name in fields if name not in {"name", "note"}]


class DescriptionSerializer(Serializer):
    name = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="What this version is called, such as `Spring sale`.",
    )
    note = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=2_000,
        help_text="What was changed, and why.",
    )


class PublishSerializer(DescriptionSerializer):
    version = VersionField(
        required=False,
        help_text="What to make live: the newest (`draft`), or a version by its number.",
    )
    force = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Publish although tests fail. They are not run.",
    )


class ChangeSerializer(Serializer):
    path = serializers.CharField(help_text="Dotted, such as `config.url`.")
    before = serializers.JSONField(
        required=False, help_text="Missing where there was nothing."
    )
    after = serializers.JSONField(
        required=False, help_text="Missing where there is nothing any more."
    )


class ChangedNodeSerializer(Serializer):
    id = serializers.CharField()
    type = serializers.CharField()
    changes = ChangeSerializer(many=True)


class NodeDifferencesSerializer(Serializer):
    added = serializers.ListField(child=serializers.DictField())
    removed = serializers.ListField(child=serializers.DictField())
    changed = ChangedNodeSerializer(many=True)
    moved = serializers.ListField(
        child=serializers.CharField(),
        help_text="The ids of nodes that are drawn elsewhere.",
    )


class EdgeDifferencesSerializer(Serializer):
    added = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField()),
        help_text="Each with `source`, `target` and `source_handle`.",
    )
    removed = serializers.ListField(
        child=serializers.DictField(child=serializers.CharField())
    )


class DifferencesSerializer(Serializer):
    """What became of one version by another."""

    to = serializers.IntegerField()
    nodes = NodeDifferencesSerializer()
    edges = EdgeDifferencesSerializer()
    variables = ChangeSerializer(many=True)

    def get_fields(self) -> dict[str, Any]:
        """`from` is a word of Python's."""
        return {"from": serializers.IntegerField(), **super().get_fields()}
