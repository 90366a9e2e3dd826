from rest_framework import serializers

from accounts.models import ApiKey
from craft.api.serializers import ModelSerializer

PERMISSIONS = ["read", "write", "admin"]


class ApiKeySerializer(ModelSerializer):
    """A key for programs. The secret itself is shown once, when it is made."""

    name = serializers.CharField(max_length=100)
    permissions = serializers.ListField(
        child=serializers.ChoiceField(PERMISSIONS),
        allow_empty=False,
        default=["read", "write"],
        help_text="`read` for GET, `write` for changes, `admin` for keys.",
    )
    last_used = serializers.DateTimeField(
        source="last_used_at", read_only=True, allow_null=True
    )
    created_by = serializers.CharField(source="membership.user_id", read_only=True)

    class Meta:
        model = ApiKey
        resource = "api_key"
        label = "API key"
        fields = [
            "id",
            "name",
            "permissions",
            "prefix",
            "last_four",
            "created_by",
            "created_at",
            "last_used",
        ]
        read_only_fields = ["id", "prefix", "last_four", "created_at"]


class NewApiKeySerializer(ApiKeySerializer):
    key = serializers.SerializerMethodField(
        help_text="The secret. It is shown only now."
    )

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "key"]

    def get_key(self, api_key: ApiKey) -> str:
        return str(self.context["secret"])
