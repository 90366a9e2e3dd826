from rest_framework import serializers

from accounts.serializers.people import PersonSerializer
from craft.api.serializers import Serializer


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
    code = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=40,
        write_only=True,
        help_text="Where two-factor sign-in is on: what the authenticator app shows, or a recovery code.",
    )


class RefreshSerializer(Serializer):
    refresh_token = serializers.CharField(max_length=512)


class SignInSerializer(Serializer):
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


class EmailSerializer(Serializer):
    email = serializers.EmailField(max_length=254)


class TokenSerializer(Serializer):
    token = serializers.CharField(
        max_length=200, write_only=True, help_text="What the mail's link carries."
    )


class NewPasswordSerializer(TokenSerializer):
    password = serializers.CharField(
        max_length=128, write_only=True, trim_whitespace=False
    )


class PasswordChangeSerializer(Serializer):
    current_password = serializers.CharField(
        max_length=128, write_only=True, trim_whitespace=False
    )
    new_password = serializers.CharField(
        max_length=128, write_only=True, trim_whitespace=False
    )


class OwnPasswordSerializer(Serializer):
    password = serializers.CharField(
        max_length=128,
        write_only=True,
        trim_whitespace=False,
        help_text="Your password, again.",
    )


class EmailChangeSerializer(OwnPasswordSerializer):
    new_email = serializers.EmailField(max_length=254)


class MessageSerializer(Serializer):
    success = serializers.BooleanField(read_only=True)
    message = serializers.CharField(read_only=True)
