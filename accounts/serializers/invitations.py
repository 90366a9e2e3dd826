from rest_framework import serializers

from accounts.models import Invitation, Membership, Role
from accounts.serializers.people import PersonSerializer
from craft.api.serializers import ModelSerializer, Serializer


class InvitationSerializer(ModelSerializer):
    """Somebody who was asked to join your company."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(choices=Role.choices, default=Role.MEMBER)
    status = serializers.ChoiceField(
        choices=["pending", "accepted", "expired"], read_only=True
    )
    invited_by = serializers.CharField(
        source="invited_by_id", read_only=True, allow_null=True
    )

    class Meta:
        model = Invitation
        resource = "invitation"
        fields = [
            "id",
            "company_id",
            "email",
            "role",
            "status",
            "invited_by",
            "sent_at",
            "expires_at",
            "accepted_at",
            "created_at",
        ]
        read_only_fields = ["company_id", "sent_at", "expires_at", "accepted_at"]


class AcceptanceSerializer(Serializer):
    token = serializers.CharField(max_length=512, help_text="As the mail has it.")
    full_name = serializers.CharField(
        max_length=200, required=False, help_text="For who has no account yet."
    )
    password = serializers.CharField(
        max_length=128,
        required=False,
        write_only=True,
        trim_whitespace=False,
        help_text="Who has no account chooses one. Who has one sends its password, or makes this call signed in.",
    )


class JoinedSerializer(Serializer):
    user = PersonSerializer(source="membership", read_only=True)
    token = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="Null for who proved with a password who they are: log in as always, then switch to this company.",
    )
    refresh_token = serializers.CharField(read_only=True, allow_null=True)


class OwnCompanySerializer(Serializer):
    """A company that you belong to, and as what."""

    id = serializers.IntegerField(source="company_id", read_only=True)
    name = serializers.CharField(source="company.name", read_only=True)
    role = serializers.ChoiceField(choices=Role.choices, read_only=True)
    is_owner = serializers.BooleanField(read_only=True)
    is_current = serializers.SerializerMethodField(
        help_text="Whether this call was made for it."
    )
    created_at = serializers.DateTimeField(
        read_only=True, help_text="When you joined it."
    )

    class Meta:
        resource = "company"
        resources = "companies"

    def get_is_current(self, membership: Membership) -> bool:
        company: object = self.context["request"].company
        return membership.company == company


class SwitchSerializer(Serializer):
    company_id = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, help_text="One of `GET /account/companies`."
    )
