import ipaddress
from typing import Any

from rest_framework import serializers

from accounts.models import ApiKey, KeyMode
from accounts.services.keys import MAX_OVERLAP_SECONDS, OVERLAP_SECONDS, PERMISSIONS
from craft.api.serializers import ModelSerializer, Serializer

MAX_ADDRESSES = 100


class AddressRangeField(serializers.CharField):
    """An IP address or a range of them in CIDR notation."""

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        try:
            network = ipaddress.ip_network(text)
        except ValueError:
            raise serializers.ValidationError(
                "Must be an IP address such as 203.0.113.7, or a range such as 203.0.113.0/24, whose host bits are zero."
            ) from None
        return (
            str(network.network_address)
            if network.prefixlen == network.max_prefixlen
            else str(network)
        )


class ApiKeySerializer(ModelSerializer):
    """A key for programs. The secret itself is shown once, when it is made or rotated."""

    name = serializers.CharField(max_length=100)
    mode = serializers.ChoiceField(
        KeyMode.choices,
        default=KeyMode.LIVE,
        help_text="`live`, or `test` for a key that works on the sandbox. It can't be changed later.",
    )
    permissions = serializers.ListField(
        child=serializers.ChoiceField(PERMISSIONS),
        allow_empty=False,
        default=["read", "write"],
        help_text="`read` for GET, `write` for changes, `admin` for keys, members, billing and webhooks. Never more than you have yourself.",
    )
    expires_at = serializers.DateTimeField(
        default=None,
        allow_null=True,
        help_text="When the key ends by itself; null for never.",
    )
    allowed_addresses = serializers.ListField(
        child=AddressRangeField(max_length=50),
        max_length=MAX_ADDRESSES,
        default=list,
        help_text="IP addresses and CIDR ranges that the key may be used from; empty for any.",
    )
    last_used = serializers.DateTimeField(
        source="last_used_at",
        read_only=True,
        allow_null=True,
        help_text="At most a minute late.",
    )
    previous_expires_at = serializers.DateTimeField(
        source="previous_secret_expires_at",
        read_only=True,
        allow_null=True,
        help_text="Until when the secret from before the last rotation works too.",
    )
    created_by = serializers.CharField(source="membership.user_id", read_only=True)

    class Meta:
        model = ApiKey
        resource = "api_key"
        label = "API key"
        fields = [
            "id",
            "name",
            "mode",
            "permissions",
            "prefix",
            "last_four",
            "expires_at",
            "allowed_addresses",
            "created_by",
            "created_at",
            "rotated_at",
            "previous_expires_at",
            "last_used",
        ]
        read_only_fields = ["id", "prefix", "last_four", "created_at", "rotated_at"]

    def validate_mode(self, mode: str) -> str:
        if self.instance is not None and mode != self.instance.mode:
            raise serializers.ValidationError(
                "A key's mode can't be changed. Make another key."
            )
        return mode


class NewApiKeySerializer(ApiKeySerializer):
    key = serializers.SerializerMethodField(
        help_text="The secret. It is shown only now."
    )

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "key"]

    def get_key(self, api_key: ApiKey) -> str:
        return str(self.context["secret"])


class RotationSerializer(Serializer):
    overlap_seconds = serializers.IntegerField(
        min_value=0,
        max_value=MAX_OVERLAP_SECONDS,
        default=OVERLAP_SECONDS,
        help_text="For how long the old secret goes on working: a day where you say nothing; 0 ends it at once.",
    )
