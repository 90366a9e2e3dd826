from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.serializers.people import ProfileSerializer
from accounts.services import people
from craft.api.viewsets import OWN_ACCOUNT, ApiViewSet


class AccountViewSet(ApiViewSet):
    """The caller's own account."""

    access = OWN_ACCOUNT

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
