from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.models import Membership
from accounts.serializers.auth import SessionSerializer
from accounts.serializers.invitations import OwnCompanySerializer, SwitchSerializer
from accounts.serializers.people import ProfileSerializer
from accounts.services import people
from craft.api.viewsets import OWN_ACCOUNT, SIGNED_IN, ApiViewSet


class AccountViewSet(ApiViewSet):
    """The caller's own account."""

    access = OWN_ACCOUNT
    is_live_only = True
    problems: ClassVar = {"switch": (404,)}

    @extend_schema(request=SwitchSerializer, responses=SessionSerializer)
    @action(detail=False, methods=["post"])
    def switch(self, request: Request) -> Response:
        """Work for another of your companies: tokens for it, as a login gives them. Those that you have go on for the company that they are for."""
        session = people.switch_company(
            credentials_of(request).user, **self.read(SwitchSerializer)
        )
        return Response(dict(SessionSerializer(session).data))

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
