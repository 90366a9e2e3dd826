from rest_framework import serializers

from accounts.models import Membership
from craft.api.serializers import Serializer


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
