from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.models import Membership
from accounts.serializers.auth import (
    EmailChangeSerializer,
    MessageSerializer,
    OwnPasswordSerializer,
    PasswordChangeSerializer,
    SignInSerializer,
)
from accounts.serializers.invitations import OwnCompanySerializer, SwitchSerializer
from accounts.serializers.people import ExportSerializer, ProfileSerializer
from accounts.services import people, privacy
from accounts.views.auth import done
from craft.api.viewsets import OWN_ACCOUNT, SIGNED_IN, Access, ApiViewSet


class AccountViewSet(ApiViewSet):
    """The caller's own account."""

    access: ClassVar[Access] = {**OWN_ACCOUNT, "export": "person"}
    is_live_only = True
    unheld = frozenset({"password", "email", "delete_account"})
    problems: ClassVar = {
        "switch": (404,),
        "email": (409,),
        "delete_account": (409,),
    }

    @extend_schema(request=SwitchSerializer, responses=SignInSerializer)
    @action(detail=False, methods=["post"])
    def switch(self, request: Request) -> Response:
        """Work for another of your companies: tokens for it, as a login gives them. Those that you have go on for the company that they are for."""
        session = people.switch_company(
            credentials_of(request).user, **self.read(SwitchSerializer)
        )
        return Response(dict(SignInSerializer(session).data))

    @extend_schema(responses=ExportSerializer)
    @action(detail=False, methods=["get"])
    def export(self, request: Request) -> Response:
        """All that is kept of you, as JSON. Of all your companies: your account, your places in companies, keys and sessions, and what you made and did."""
        return Response(privacy.export_person(credentials_of(request).user))

    @extend_schema(responses=ProfileSerializer)
    @action(detail=False, methods=["get"])
    def profile(self, request: Request) -> Response:
        """Who is calling."""
        return Response(ProfileSerializer(credentials_of(request).membership).data)

    @extend_schema(request=ProfileSerializer, responses=ProfileSerializer)
    @profile.mapping.patch
    def change_profile(self, request: Request) -> Response:
        """Change your profile: what you name."""
        membership = credentials_of(request).membership
        serializer = ProfileSerializer(membership, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        values: dict[str, Any] = serializer.validated_data.get("user", {})
        membership.user = people.update_profile(
            membership.user, company=membership.company, **values
        )
        return Response(ProfileSerializer(membership).data)

    @extend_schema(request=ProfileSerializer, responses=ProfileSerializer)
    @profile.mapping.put
    def put_profile(self, request: Request) -> Response:
        """Change your profile: what you name, as PATCH does."""
        return self.change_profile(request)

    @extend_schema(request=PasswordChangeSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"])
    def password(self, request: Request) -> Response:
        """Change your password. Your other devices are signed out."""
        caller = credentials_of(request)
        people.change_password(
            user=caller.user,
            session_id=caller.session_id,
            **self.read(PasswordChangeSerializer),
        )
        return done("Password changed successfully")

    @extend_schema(request=EmailChangeSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"])
    def email(self, request: Request) -> Response:
        """Ask for another e-mail address. It is yours as soon as you follow the link that is mailed there."""
        people.request_email_change(
            user=credentials_of(request).user, **self.read(EmailChangeSerializer)
        )
        return done("Confirmation email sent")

    @extend_schema(request=OwnPasswordSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="delete")
    def delete_account(self, request: Request) -> Response:
        """Delete your account, and with it the companies that have no other member. Who owns one that has others hands it over first."""
        people.delete_account(
            user=credentials_of(request).user, **self.read(OwnPasswordSerializer)
        )
        return done("Account deleted")


class OwnCompanyViewSet(mixins.ListModelMixin, ApiViewSet):
    """The companies that you belong to."""

    queryset = Membership.objects.select_related("company")
    serializer_class = OwnCompanySerializer
    access = SIGNED_IN

    def get_queryset(self) -> Any:
        rows = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(user=credentials_of(self.request).user)
