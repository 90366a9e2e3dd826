from rest_framework import serializers

from craft.api.serializers import Serializer
from workflows.serializers.workflows import ObjectField


class CopySerializer(Serializer):
    name = serializers.CharField(
        required=False,
        max_length=200,
        help_text="What the copy is called. Without it, as the original.",
    )


class RateSerializer(Serializer):
    rating = serializers.IntegerField(
        min_value=1, max_value=5, help_text="From 1 to 5 stars."
    )


class RatingSerializer(Serializer):
    """A workflow's rating, with yours."""

    workflow_id = serializers.CharField()
    your_rating = serializers.IntegerField()
    rating = serializers.FloatField(help_text="The mean of all.")
    rating_count = serializers.IntegerField()


class TemplateVariableSerializer(Serializer):
    description = serializers.CharField()
    default = serializers.JSONField()
    schema = serializers.DictField(help_text="The JSON Schema that a value must fit.")


class TemplateListSerializer(Serializer):
    """A workflow to begin with."""

    id = serializers.CharField()
    name = serializers.CharField()
    description = serializers.CharField()
    category = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())
    node_types = serializers.ListField(child=serializers.CharField())

    class Meta:
        resource = "template"


class SampleSerializer(Serializer):
    input = serializers.JSONField()
    output = serializers.JSONField(
        help_text="What the input gives with all variables at their defaults."
    )


class TemplateSerializer(TemplateListSerializer):
    """A workflow to begin with, with what it does."""

    variables = serializers.DictField(
        child=TemplateVariableSerializer(), help_text="By name."
    )
    nodes = serializers.ListField(child=serializers.DictField())
    edges = serializers.ListField(child=serializers.DictField())
    sample = SampleSerializer()
    provenance = serializers.CharField(
        help_text="Who wrote it, and what its rules rest on."
    )


class FromTemplateSerializer(Serializer):
    template_id = serializers.CharField(max_length=100)
    name = serializers.CharField(
        required=False,
        max_length=200,
        help_text="What the workflow is called. Without it, as the template.",
    )
    variables = ObjectField(
        required=False,
        help_text="Values for the template's variables, by name. The others have their defaults.",
    )
