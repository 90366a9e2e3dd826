from typing import Any

from rest_framework import serializers

from craft.api.serializers import CompanyRelatedField, ModelSerializer, Serializer
from workflows.models import Workflow
from workflows.serializers.triggers import TriggerField

MAX_TAGS = 50


class ObjectField(serializers.JSONField):
    """A JSON object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.")
        return super().to_internal_value(data)


class MetricsSerializer(Serializer):
    executions = serializers.IntegerField(help_text="How many ended.")
    avg_latency_ms = serializers.FloatField(
        allow_null=True,
        help_text="Their mean time from start to end; null before the first.",
    )


class WorkflowListSerializer(ModelSerializer):
    """A workflow: a pipeline of steps, or a graph of nodes and edges."""

    name = serializers.CharField(max_length=200)
    trigger = TriggerField(required=False)
    version = serializers.IntegerField(
        source="version.number", read_only=True, help_text="The newest."
    )
    published_version = serializers.IntegerField(
        source="published_version.number",
        read_only=True,
        allow_null=True,
        default=None,
        help_text="The live one, which triggers and schedules start.",
    )
    has_unpublished_changes = serializers.BooleanField(
        read_only=True,
        help_text="Whether the newest version is not the live one.",
    )
    error_workflow = CompanyRelatedField(
        queryset=Workflow.objects.all(),
        required=False,
        allow_null=True,
        help_text="The workflow that is started when an execution of this one fails.",
    )
    metrics = MetricsSerializer(read_only=True)
    tags = serializers.ListField(
        child=serializers.CharField(max_length=60), max_length=MAX_TAGS, required=False
    )
    created_by = serializers.CharField(source="created_by_id", read_only=True)
    rating = serializers.FloatField(read_only=True, allow_null=True)
    endpoint = serializers.CharField(
        read_only=True, help_text="Where a POST starts it."
    )
    company_id = serializers.IntegerField(read_only=True)

    class Meta:
        model = Workflow
        resource = "workflow"
        fields = [
            "id",
            "name",
            "description",
            "status",
            "trigger",
            "category",
            "public",
            "tags",
            "created_by",
            "company_id",
            "created_at",
            "updated_at",
            "usage_count",
            "rating",
            "rating_count",
            "version",
            "published_version",
            "has_unpublished_changes",
            "error_workflow",
            "metrics",
            "endpoint",
        ]
        read_only_fields = [
            "id",
            "usage_count",
            "rating_count",
            "created_at",
            "updated_at",
        ]

    def to_representation(self, instance: Workflow) -> dict[str, Any]:
        """Others see what is live of a public workflow, and nothing of how its owner works on it."""
        caller = self.context.get("request")
        if caller is None or instance.company_id == caller.company.pk:
            return super().to_representation(instance)
        instance.version = instance.live_version
        return {**super().to_representation(instance), "error_workflow": None}


class WorkflowSerializer(WorkflowListSerializer):
    """A workflow with what it does."""

    nodes = serializers.ListField(
        source="version.nodes", child=ObjectField(), required=False
    )
    edges = serializers.ListField(
        source="version.edges", child=ObjectField(), required=False
    )
    connections = serializers.ListField(
        child=ObjectField(),
        required=False,
        write_only=True,
        help_text="Another word for edges.",
    )
    variables = ObjectField(source="version.variables", required=False)
    steps = serializers.ListField(
        source="version.steps",
        child=ObjectField(),
        required=False,
        allow_null=True,
        help_text="Makes a pipeline.",
    )
    output = serializers.CharField(
        source="version.output",
        required=False,
        allow_blank=True,
        max_length=2000,
        help_text="Where a pipeline's results go.",
    )

    settings = ObjectField(
        required=False,
        help_text="How its executions are treated, changed key by key (null takes one away): `concurrency` `{limit, key, rule: queue|skip|cancel_oldest}`, `priority` (0 to 10), `budget` `{tokens, cost, seconds}`, `retention` `{days}`.",
    )

    class Meta(WorkflowListSerializer.Meta):
        fields = [
            *WorkflowListSerializer.Meta.fields,
            "settings",
            "nodes",
            "edges",
            "connections",
            "variables",
            "steps",
            "output",
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        flat = {**attrs, **attrs.pop("version", {})}
        flat.pop("version", None)
        if "connections" in flat:
            if "edges" in flat:
                raise serializers.ValidationError(
                    {"connections": "Give edges or connections, not both."}
                )
            flat["edges"] = flat.pop("connections")
        return flat


class WorkflowMetricsSerializer(MetricsSerializer):
    """How a workflow does. Latencies are in milliseconds, over its last 1,000 completed executions."""

    workflow_id = serializers.CharField()
    started = serializers.IntegerField(help_text="How many were started.")
    by_status = serializers.DictField(child=serializers.IntegerField())
    p50_latency_ms = serializers.FloatField(allow_null=True)
    p95_latency_ms = serializers.FloatField(allow_null=True)


class NodeTypeSerializer(Serializer):
    """A kind of node that a graph may hold."""

    type = serializers.CharField()
    family = serializers.CharField()
    summary = serializers.CharField()
    effect = serializers.CharField(
        help_text="`pure`, `effect`, or `at_most_once`: what a crash while it runs means."
    )
    handles = serializers.ListField(child=serializers.CharField())
    config_schema = serializers.DictField()
    example = serializers.DictField()

    class Meta:
        resource = "node_type"
