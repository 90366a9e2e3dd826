from rest_framework import serializers

from craft.api.serializers import Serializer


class SandboxSerializer(Serializer):
    """Where test keys work: copies of the company's records that share nothing with them."""

    exists = serializers.BooleanField(
        read_only=True,
        help_text="A sandbox is made by the first call with a test key, or by a reset.",
    )
    copied_at = serializers.DateTimeField(
        read_only=True,
        allow_null=True,
        help_text="When it was filled from the live records.",
    )

    class Meta:
        resource = "sandbox"
