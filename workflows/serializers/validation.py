from rest_framework import serializers

from craft.api.serializers import Serializer


class FaultSerializer(Serializer):
    path = serializers.CharField(
        allow_blank=True, help_text="Dotted, such as `nodes.2.config.url`."
    )
    message = serializers.CharField()


class VerdictSerializer(Serializer):
    """Whether a workflow could be saved as it is."""

    valid = serializers.BooleanField()
    faults = FaultSerializer(many=True, help_text="What keeps it from being saved.")
    warnings = FaultSerializer(
        many=True, help_text="What is allowed, and most likely not meant."
    )
