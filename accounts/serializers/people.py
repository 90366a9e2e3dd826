from rest_framework import serializers

from accounts.models import Membership, Role
from accounts.serializers.fields import PhoneField, TimeZoneField
from craft.api.serializers import Serializer


class PersonSerializer(Serializer):
    """A person as a member of a company."""

    id = serializers.CharField(source="user_id", read_only=True)
    email = serializers.EmailField(source="user.email", read_only=True)
    full_name = serializers.CharField(source="user.full_name", read_only=True)
    is_verified = serializers.BooleanField(source="user.is_verified", read_only=True)
    role = serializers.ChoiceField(choices=Role.choices, read_only=True)
    is_owner = serializers.BooleanField(read_only=True)
    company_id = serializers.IntegerField(read_only=True)
    company_name = serializers.CharField(source="company.name", read_only=True)

    class Meta:
        model = Membership
        resource = "user"


class ProfileSerializer(PersonSerializer):
    """Your own profile. The e-mail address and the role are not changed here: sent back, they are ignored."""

    full_name = serializers.CharField(source="user.full_name", max_length=200)
    phone = PhoneField(source="user.phone", required=False)
    time_zone = TimeZoneField(source="user.time_zone", required=False)
    created_at = serializers.DateTimeField(source="user.created_at", read_only=True)


class MemberSerializer(PersonSerializer):
    """A person in your company, and their role in it."""

    role = serializers.ChoiceField(choices=Role.choices)
    created_at = serializers.DateTimeField(
        read_only=True, help_text="When they joined the company."
    )


class PasswordConfirmationSerializer(Serializer):
    password = serializers.CharField(
        max_length=128, write_only=True, trim_whitespace=False
    )


class ExportSerializer(Serializer):
    """What is kept of you. `records` holds, by kind, how many there are and the newest ten thousand."""

    user_id = serializers.CharField(read_only=True)
    exported_at = serializers.DateTimeField(read_only=True)
    records = serializers.DictField(read_only=True)


class TransferSerializer(Serializer):
    user_id = serializers.CharField(
        max_length=40, help_text="Who is to own the company: one of its users."
    )
