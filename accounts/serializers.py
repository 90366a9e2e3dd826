from rest_framework import serializers

from accounts.models import ApiKey, Membership
from craft.api.serializers import ModelSerializer, Serializer

PERMISSIONS = ["read", "write", "admin"]


class RegistrationSerializer(Serializer):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(
        max_length=128, write_only=True, trim_whitespace=False
    )
    full_name = serializers.CharField(max_length=200)
    company_name = serializers.CharField(max_length=200)


class LoginSerializer(Serializer):
    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(
        max_length=128, write_only=True, trim_whitespace=False
    )


class RefreshSerializer(Serializer):
    refresh_token = serializers.CharField(max_length=512)


class PersonSerializer(Serializer):
    """A person as a member of a company."""

    id = serializers.CharField(source="user_id", read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    full_name = serializers.CharField(source="user.full_name", read_only=True)
    is_verified = serializers.BooleanField(source="user.is_verified", read_only=True)
    role = serializers.CharField(read_only=True)
    is_owner = serializers.BooleanField(read_only=True)
    company_id = serializers.IntegerField(read_only=True)
    company_name = serializers.CharField(source="company.name", read_only=True)

    class Meta:
        model = Membership
        resource = "user"


class SessionSerializer(Serializer):
    """What register and login answer: the person, a short-lived access token and the refresh token for the next one."""

    user = PersonSerializer(source="membership", read_only=True)
    token = serializers.CharField(
        read_only=True,
        help_text="Send as `Authorization: Bearer …`; lives ten minutes.",
    )
    refresh_token = serializers.CharField(read_only=True)


class TokensSerializer(Serializer):
    token = serializers.CharField(read_only=True)
    refresh_token = serializers.CharField(
        read_only=True, help_text="The next one; the one that was sent is spent."
    )


class MessageSerializer(Serializer):
    success = serializers.BooleanField(read_only=True)
    message = serializers.CharField(read_only=True)


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
