from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import Credentials, credentials_of
from accounts.models import Invitation, User
from accounts.serializers.invitations import (
    AcceptanceSerializer,
    InvitationSerializer,
    JoinedSerializer,
)
from accounts.services import invitations
from accounts.views.companies import BelowCompanyMixin
from craft.api.viewsets import (
    ADMINS_ONLY,
    PUBLIC,
    ApiViewSet,
    CompanyViewSet,
    DeleteMixin,
    created,
)


class InvitationViewSet(
    BelowCompanyMixin,
    mixins.RetrieveModelMixin,
    mixins.ListModelMixin,
    DeleteMixin,
    CompanyViewSet,
):
    """Who was asked to join your company."""

    queryset = Invitation.objects.all()
    serializer_class = InvitationSerializer
    access = ADMINS_ONLY
    is_live_only = True
    problems: ClassVar = {"create": (409,), "resend": (409,)}

    @extend_schema(responses={201: InvitationSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Ask somebody to join: they get a mail with a link that is good once, for seven days."""
        caller = credentials_of(request)
        invitation = invitations.invite(
            company=caller.company,
            user=caller.user,
            **self.read(InvitationSerializer),
        )
        return created(self, self.get_serializer(invitation).data)

    def perform_destroy(self, instance: Invitation) -> None:
        invitations.delete_invitation(instance)

    @extend_schema(request=None, responses=InvitationSerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, **kwargs: Any) -> Response:
        """Send it again, with a new link and another seven days. The link that was sent before ends."""
        invitation = invitations.resend_invitation(self.get_object())
        return Response(self.get_serializer(invitation).data)


class AcceptanceViewSet(ApiViewSet):
    """Joining the company that one was invited to."""

    access = PUBLIC
    unheld = frozenset({"accept"})
    problems: ClassVar = {"accept": (401, 409)}

    @extend_schema(request=AcceptanceSerializer, responses=JoinedSerializer)
    @action(detail=False, methods=["post"])
    def accept(self, request: Request) -> Response:
        """Accept an invitation. Who has an account makes this call signed in, or sends its password; who has none sends a name and chooses a password."""
        joined = invitations.accept_invitation(
            signed_in=_person(request), **self.read(AcceptanceSerializer)
        )
        return Response(dict(JoinedSerializer(joined).data))


def _person(request: Request) -> User | None:
    """Who makes this public call signed in. A key is not its maker here."""
    credentials = request.auth
    is_person = isinstance(credentials, Credentials) and credentials.kind != "key"
    return credentials_of(request).user if is_person else None
