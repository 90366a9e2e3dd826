from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from craft.api.serializers import ModelSerializer, Serializer
from workflows.engine import payloads
from workflows.models import (
    MOST_STEPS,
    Execution,
    Step,
)
from workflows.serializers.versions import VersionField
from workflows.serializers.workflows import ObjectField
from workflows.services.batches import MAX_INPUTS


class ErrorSerializer(Serializer):
    code = serializers.CharField()
    message = serializers.CharField()
    node_id = serializers.CharField(allow_null=True)


class UsageSerializer(Serializer):
    """What calls of models took; empty where none was made. On the fast tier, whose steps are not kept, how many there were."""

    input_tokens = serializers.IntegerField(required=False)
    output_tokens = serializers.IntegerField(required=False)
    cost = serializers.FloatField(
        required=False,
        help_text="In US dollars at list price, of those calls whose price is known.",
    )
    unpriced_calls = serializers.IntegerField(
        required=False, help_text="How many calls there were whose price is not known."
    )
    model = serializers.CharField(
        required=False, help_text="Of a step: the model that it called last."
    )
    steps = serializers.IntegerField(
        required=False, help_text="Of an execution whose steps are not kept."
    )

    def to_representation(self, usage: dict[str, Any]) -> dict[str, Any]:
        shown = dict(usage)
        if "cost_micros" in shown:
            shown["cost"] = shown.pop("cost_micros") / 1_000_000
        return super().to_representation(shown)


@extend_schema_field(serializers.ListField(child=serializers.CharField()))
class ApartField(serializers.ReadOnlyField):
    """Which of `input` and `output` have more than 256 KB. Lists show null for them; the execution itself shows them."""

    def to_representation(self, value: str) -> list[str]:
        return value.split(",") if value else []


class StepSerializer(ModelSerializer):
    id = serializers.CharField(
        source="place",
        read_only=True,
        help_text="Within the execution: the node, and the turn where it ran in one.",
    )
    apart = ApartField()
    origin = serializers.CharField(
        read_only=True,
        help_text="Where the node did not run: `pinned` (the output was given), `mocked` (a dry run), `taken_over` (from the execution that this one goes on from). Else empty.",
    )
    usage = UsageSerializer(allow_null=True, read_only=True)
    error = ErrorSerializer(allow_null=True, read_only=True)
    duration_ms = serializers.FloatField(read_only=True, allow_null=True)

    class Meta:
        model = Step
        resource = "step"
        fields = [
            "id",
            "node_id",
            "iteration",
            "type",
            "name",
            "status",
            "input",
            "output",
            "apart",
            "error",
            "attempt",
            "started_at",
            "completed_at",
            "duration_ms",
            "usage",
            "origin",
        ]
        read_only_fields = fields


class LabelsField(ObjectField):
    """Names and texts, to find an execution by: `{"customer": "42"}`."""


class ExecutionListSerializer(ModelSerializer):
    """One run of a workflow."""

    execution_id = serializers.CharField(source="id", read_only=True)
    workflow_id = serializers.CharField(read_only=True)
    version = serializers.IntegerField(source="version.number", read_only=True)
    created_by = serializers.CharField(
        source="created_by_id", read_only=True, allow_null=True
    )
    apart = ApartField()
    error = ErrorSerializer(allow_null=True, read_only=True)
    usage = UsageSerializer(
        read_only=True, help_text="What its calls of models took, all steps together."
    )
    duration_ms = serializers.FloatField(read_only=True, allow_null=True)
    rerun_of = serializers.CharField(
        source="rerun_of_id",
        read_only=True,
        allow_null=True,
        help_text="The execution that this one goes on from.",
    )
    dry_run = serializers.BooleanField(
        source="is_dry",
        read_only=True,
        help_text="Whether effects were only mocked: nothing went out.",
    )

    class Meta:
        model = Execution
        resource = "execution"
        fields = [
            "id",
            "execution_id",
            "workflow_id",
            "status",
            "input",
            "output",
            "apart",
            "error",
            "trigger",
            "version",
            "usage",
            "labels",
            "dry_run",
            "rerun_of",
            "concurrency_key",
            "created_by",
            "created_at",
            "started_at",
            "completed_at",
            "cancel_requested_at",
            "duration_ms",
        ]
        read_only_fields = fields


class LogLineSerializer(Serializer):
    time = serializers.DateTimeField()
    level = serializers.CharField()
    node_id = serializers.CharField(allow_null=True)
    message = serializers.CharField()
    details = serializers.DictField(required=False)


class ExecutionSerializer(ExecutionListSerializer):
    """One run of a workflow, with its steps and log."""

    steps = StepSerializer(
        source="first_steps",
        many=True,
        read_only=True,
        help_text=f"The first {MOST_STEPS:,} in the graph's order; `GET …/steps` lists all.",
    )
    logs = LogLineSerializer(many=True, read_only=True)

    class Meta(ExecutionListSerializer.Meta):
        fields = [*ExecutionListSerializer.Meta.fields, "pins", "steps", "logs"]

    def to_representation(self, instance: Execution) -> Any:
        """With what is kept apart."""
        payloads.load([instance, *instance.first_steps])
        return super().to_representation(instance)


class FinishedSerializer(ExecutionSerializer):
    """What a synchronous `execute` answers: the execution itself, as the action's result."""

    class Meta(ExecutionSerializer.Meta):
        resource = ""


class AcceptedSerializer(ModelSerializer):
    """An execution that was accepted: it is stored, and will reach an end."""

    execution_id = serializers.CharField(source="id", read_only=True)
    workflow_id = serializers.CharField(read_only=True)
    started_at = serializers.DateTimeField(source="accepted_at", read_only=True)

    class Meta:
        model = Execution
        fields = [
            "id",
            "execution_id",
            "workflow_id",
            "status",
            "started_at",
            "created_at",
        ]
        read_only_fields = fields


class ExecuteSerializer(Serializer):
    input = serializers.JSONField(
        required=False, allow_null=True, help_text="What the workflow gets. Any JSON."
    )
    inputs = serializers.JSONField(
        required=False, allow_null=True, help_text="Another word for input."
    )
    mode = serializers.ChoiceField(
        ["sync", "async"],
        required=False,
        help_text="`sync` waits for the end, `async` answers at once.",
    )
    version = VersionField(
        required=False,
        help_text="What to run: the number of a version, `draft` for the newest, or `published`. Without it, what is live; of a draft, the newest.",
    )
    timeout_seconds = serializers.FloatField(
        required=False,
        min_value=0.1,
        max_value=60,
        default=30.0,
        help_text="How long `sync` waits; the execution goes on after it.",
    )
    labels = LabelsField(
        required=False,
        default=dict,
        help_text='Names and texts, to find the execution by: `{"customer": "42"}`.',
    )
    pins = ObjectField(
        required=False,
        default=dict,
        help_text='By node id: an output. That node does not run; it is taken to have put this out. A node that leaves by other handles than `main` takes `{"handle": …, "output": …}`.',
    )
    dry_run = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Nothing goes out and nobody waits: nodes with an effect give their type's example as output.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "input" in attrs and "inputs" in attrs:
            raise serializers.ValidationError(
                {"inputs": "Give input or inputs, not both."}
            )
        attrs["input"] = (
            attrs.pop("inputs", None) if "inputs" in attrs else attrs.get("input", {})
        )
        return attrs


class InputsField(serializers.ListField):
    def run_child_validation(self, data: list[Any]) -> list[Any]:
        """Whatever the body's parser let in will do; DRF would write each of a thousand as JSON to see that it can."""
        return data


class BatchSerializer(Serializer):
    inputs = InputsField(
        child=serializers.JSONField(allow_null=True),
        min_length=1,
        max_length=MAX_INPUTS,
        help_text=f"What each execution gets, any JSON; at most {MAX_INPUTS:,}.",
    )


class BatchedSerializer(ModelSerializer):
    """One execution of a batch."""

    execution_id = serializers.CharField(source="id", read_only=True)
    error = ErrorSerializer(allow_null=True, read_only=True)

    class Meta:
        model = Execution
        fields = ["execution_id", "status", "output", "error"]
        read_only_fields = fields


class BatchResultSerializer(Serializer):
    workflow_id = serializers.CharField()
    total = serializers.IntegerField()
    completed = serializers.IntegerField()
    failed = serializers.IntegerField()
    executions = BatchedSerializer(many=True, help_text="In the order of the inputs.")


class ChangeExecutionSerializer(Serializer):
    labels = LabelsField(
        required=False,
        default=dict,
        help_text="Changed key by key; null takes one away.",
    )


class RunNodeSerializer(Serializer):
    input = serializers.JSONField(
        required=False,
        allow_null=True,
        default=dict,
        help_text="What the node gets. For a node with several incoming edges: `{node_id: output}`.",
    )
    nodes = ObjectField(
        required=False,
        default=dict,
        help_text="By node id: what the others put out, for expressions such as `{{ nodes.fetch.body }}`.",
    )
    pins = ObjectField(
        required=False,
        default=dict,
        help_text="The same, in the form that `execute` takes it; `nodes` goes before it.",
    )
    dry_run = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Nothing goes out: a node with an effect gives its type's example.",
    )
    timeout_seconds = serializers.FloatField(
        required=False, min_value=0.1, max_value=60, default=30.0
    )


class RerunSerializer(Serializer):
    version = serializers.ChoiceField(
        ["same", "latest"],
        required=False,
        default="same",
        help_text="On the version that it ran on, or on the workflow's newest.",
    )

    def get_fields(self) -> dict[str, Any]:
        """`from` is a word of Python's."""
        start = serializers.CharField(
            required=False,
            default="start",
            max_length=64,
            help_text="`start`, `failed`, or the id of a node: from where it runs anew. What is settled and does not stand behind that is taken over, and no effect of it is repeated.",
        )
        return {"from": start, **super().get_fields()}


class ForkSerializer(Serializer):
    node_id = serializers.CharField(max_length=64, help_text="Where to go on.")
    input = serializers.JSONField(
        required=False,
        allow_null=True,
        help_text="What the node is to get instead. It runs.",
    )
    output = serializers.JSONField(
        required=False,
        allow_null=True,
        help_text="What the node is to have put out. It does not run. In the form of `execute`'s `pins`.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("input" in attrs) == ("output" in attrs):
            raise serializers.ValidationError({"input": "Give either input or output."})
        return attrs
