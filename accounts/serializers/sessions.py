from rest_framework import serializers

from accounts.models import Session
from craft.api.serializers import ModelSerializer


class SessionSerializer(ModelSerializer):
    """A device that is signed in."""

    is_current = serializers.SerializerMethodField(
        help_text="Whether the call itself comes from this session."
    )

    class Meta:
        model = Session
        resource = "session"
        fields = [
            "id",
            "user_agent",
            "address",
            "created_at",
            "last_seen_at",
            "is_current",
        ]
        read_only_fields = fields

    def get_is_current(self, session: Session) -> bool:
        credentials = self.context["request"].auth
        return bool(credentials and credentials.session_id == session.pk)
