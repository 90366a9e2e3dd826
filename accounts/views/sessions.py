from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.models import Session
from accounts.serializers.auth import MessageSerializer
from accounts.serializers.sessions import SessionSerializer
from accounts.services import sessions
from craft.api.serializers import Serializer
from craft.api.viewsets import OWN_ACCOUNT, ApiViewSet, DeleteMixin


class SessionViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, DeleteMixin, ApiViewSet
):
    """The devices that the caller is signed in on, the latest first. API keys are no sessions."""

    queryset = Session.objects.all()
    serializer_class = SessionSerializer
    access = OWN_ACCOUNT
    is_live_only = True

    def get_queryset(self) -> QuerySet[Session]:
        if getattr(self, "swagger_fake_view", False):
            return Session.objects.none()
        own = Session.objects.live().filter(user=credentials_of(self.request).user)
        return own.select_related("membership").order_by("-id")

    def perform_destroy(self, instance: Any) -> None:
        """Sign a device out. Its tokens end at once."""
        sessions.end_session(instance)

    @extend_schema(request=None, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="end-all")
    def end_all(self, request: Request) -> Response:
        """Sign out everywhere, here too. All tokens end at once; API keys stay."""
        self.read(Serializer)  # a body is not wanted, but one that is broken is told
        number = sessions.end_all_sessions(credentials_of(request).user)
        return Response({"success": True, "message": f"Sessions ended: {number}"})
