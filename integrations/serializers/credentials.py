from typing import Any

from rest_framework import serializers

from craft.api.serializers import ModelSerializer, Serializer
from integrations.models import TYPES, Credential


class FieldsField(serializers.JSONField):
    """A JSON object. What is secret in it is taken, and never given."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("Must be an object.")
        return super().to_internal_value(data)


class CredentialSerializer(ModelSerializer):
    """A secret for a service outside, which workflows use by its name. Its secret values are taken, and never given."""

    name = serializers.CharField(
        max_length=100,
        help_text="Unique in the company: nodes name it as `credential`, and expressions as `secrets.name`.",
    )
    type = serializers.ChoiceField(
        list(TYPES), help_text="What it consists of; it can't be changed later."
    )
    value = serializers.CharField(
        write_only=True,
        required=False,
        trim_whitespace=False,
        max_length=20_000,
        help_text="The secret itself, for `api_key` and `bearer`. It is never shown.",
    )
    fields = FieldsField(  # type: ignore[assignment]  # DRF takes it out of the class, and goes on to have its own
        source="plain",
        required=False,
        help_text="What it consists of, by its type: `GET …/credentials/types` has the schema of each. An answer holds those that are no secret. An update merges them; null removes one.",
    )
    secret_fields = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="The names of the secret fields that it has.",
    )
    is_set = serializers.BooleanField(
        read_only=True,
        help_text="Whether it has its secrets. A sandbox's copy has none until it is given its own.",
    )
    created_by = serializers.CharField(source="created_by_id", read_only=True)

    class Meta:
        model = Credential
        resource = "credential"
        fields = [
            "id",
            "name",
            "type",
            "value",
            "fields",
            "secret_fields",
            "is_set",
            "created_by",
            "created_at",
            "updated_at",
            "rotated_at",
        ]
        read_only_fields = ["id", "created_at", "updated_at", "rotated_at"]

    def validate_name(self, name: str) -> str:
        if not name.isprintable() or name.startswith("cred_"):
            raise serializers.ValidationError(
                "Must be printable, and not begin with cred_, as an id does."
            )
        return name

    def validate_type(self, type: str) -> str:
        if self.instance is not None and type != self.instance.type:
            raise serializers.ValidationError(
                "A credential's type can't be changed. Make another one."
            )
        return type


class CredentialTypeSerializer(Serializer):
    """A kind of credential."""

    type = serializers.CharField()
    summary = serializers.CharField()
    takes_value = serializers.BooleanField(
        help_text="Whether `value` stands for its one secret."
    )
    fields_schema = serializers.DictField(
        help_text="JSON Schema of `fields`; `x-secret` marks what is never shown."
    )

    class Meta:
        resource = "credential_type"


class TrialSerializer(Serializer):
    success = serializers.BooleanField()
    tested = serializers.CharField(
        help_text="What was done: `request`, `token`, `bucket`, `login`, or `shape` where it does not say where it could be tried."
    )
    message = serializers.CharField()
    latency_ms = serializers.IntegerField()


class UseSerializer(Serializer):
    type = serializers.CharField(help_text="`workflow`.")
    id = serializers.CharField()
    name = serializers.CharField()


class UsedBySerializer(Serializer):
    """What names a credential, and would fail without it."""

    credential_id = serializers.CharField()
    used_by = UseSerializer(many=True)
    count = serializers.IntegerField()
