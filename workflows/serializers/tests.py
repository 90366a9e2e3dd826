from typing import Any

from rest_framework import serializers

from craft.api.serializers import ModelSerializer, Serializer
from workflows.models import WorkflowTest
from workflows.serializers.executions import ErrorSerializer
from workflows.serializers.versions import VersionField
from workflows.serializers.workflows import ObjectField
from workflows.services.tests import MOST_TESTS


class ExpectedSerializer(Serializer):
    """What a run must come to. All that is named must hold."""

    status = serializers.ChoiceField(
        ["completed", "failed"],
        required=False,
        help_text="How it ends. Without it: `completed`, or `failed` where there is an `error_code`.",
    )
    output = serializers.JSONField(
        required=False, allow_null=True, help_text="Exactly this output."
    )
    conditions = serializers.ListField(
        child=ObjectField(),
        required=False,
        allow_empty=False,
        help_text='What must hold for the output: `[{"field": "total", "op": "gte", "value": 8}]`.',
    )
    combine = serializers.ChoiceField(["all", "any"], required=False)
    error_code = serializers.CharField(
        required=False,
        max_length=100,
        help_text="What it fails with, such as `invalid_input`.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "error_code" in attrs:
            attrs.setdefault("status", "failed")
        return dict(attrs)

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        """As it was given: an output of null is not the same as none."""
        return instance


class WorkflowTestSerializer(ModelSerializer):
    """A test that is kept with a workflow: an input, and what is expected of it."""

    workflow_id = serializers.CharField(read_only=True)
    input = serializers.JSONField(
        required=False, allow_null=True, help_text="What the workflow gets. Any JSON."
    )
    pins = ObjectField(
        required=False,
        help_text='By node id: an output. That node does not run; it is taken to have put this out. A node that leaves by other handles than `main` takes `{"handle": …, "output": …}`.',
    )
    expected = ExpectedSerializer(
        required=False, help_text="Without it, the run must complete."
    )
    created_by = serializers.CharField(
        source="created_by_id", read_only=True, allow_null=True
    )

    class Meta:
        model = WorkflowTest
        resource = "test"
        fields = [
            "id",
            "workflow_id",
            "name",
            "input",
            "pins",
            "expected",
            "created_by",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["id", "created_at", "updated_at"]


class RunTestsSerializer(Serializer):
    test_ids = serializers.ListField(
        child=serializers.CharField(max_length=64),
        required=False,
        allow_empty=False,
        max_length=MOST_TESTS,
        help_text="Which to run. Without it, all.",
    )
    version = VersionField(
        required=False,
        help_text="What to run them on: the number of a version, `published`, or `draft` for the newest, which is the default.",
    )


class DifferenceSerializer(Serializer):
    path = serializers.CharField(
        help_text="Where: `status`, `error_code`, `conditions`, or a dotted path such as `output.items.0.price`."
    )
    expected = serializers.JSONField(
        required=False, help_text="Missing where nothing was expected."
    )
    actual = serializers.JSONField(
        required=False, help_text="Missing where there was nothing."
    )


class TestResultSerializer(Serializer):
    __test__ = False  # pytest

    test_id = serializers.CharField(source="test.pk")
    name = serializers.CharField(source="test.name")
    passed = serializers.BooleanField(source="is_passed")
    status = serializers.CharField(help_text="How the run ended.")
    output = serializers.JSONField(allow_null=True)
    error = ErrorSerializer(allow_null=True)
    differences = DifferenceSerializer(many=True)
    mocked = serializers.ListField(
        child=serializers.CharField(),
        help_text="The nodes with an effect that were not pinned: each gave its type's example as output.",
    )
    duration_ms = serializers.FloatField()


class TestRunSerializer(Serializer):
    """How the tests went."""

    __test__ = False  # pytest

    passed = serializers.BooleanField(help_text="Whether all did.")
    total = serializers.IntegerField()
    failed = serializers.IntegerField()
    version = serializers.IntegerField(help_text="What they ran on.")
    results = TestResultSerializer(many=True)
