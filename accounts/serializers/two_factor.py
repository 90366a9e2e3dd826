from rest_framework import serializers

from accounts.serializers.auth import OwnPasswordSerializer
from craft.api.serializers import Serializer

CODE = "What the authenticator app shows."


class TwoFactorSerializer(Serializer):
    """Whether a code is asked for when you sign in."""

    is_enabled = serializers.BooleanField(read_only=True)
    enabled_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="Since when it is on."
    )
    recovery_codes_left = serializers.IntegerField(
        read_only=True, help_text="How many have not been used."
    )

    class Meta:
        resource = "two_factor"


class SetUpSerializer(Serializer):
    """What an authenticator app is given: the address, as a QR code or a link, or the secret, typed."""

    secret = serializers.CharField(read_only=True, help_text="In base 32.")
    otpauth_uri = serializers.CharField(read_only=True)
    expires_at = serializers.DateTimeField(
        read_only=True, help_text="Until when it waits for its first code."
    )


class CodeSerializer(Serializer):
    code = serializers.CharField(max_length=40, write_only=True, help_text=CODE)


class PasswordAndCodeSerializer(OwnPasswordSerializer):
    code = serializers.CharField(
        max_length=40,
        write_only=True,
        help_text="What the authenticator app shows, or a recovery code.",
    )


class RecoveryCodesSerializer(Serializer):
    recovery_codes = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="Each signs in once in the place of the app. Shown this once: keep them where you keep passwords.",
    )
