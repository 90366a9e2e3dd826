from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.serializers.people import PersonSerializer
from craft.api.viewsets import SIGNED_IN, ApiViewSet


class AccountViewSet(ApiViewSet):
    """The caller's own account."""

    access = SIGNED_IN

    @extend_schema(responses=PersonSerializer)
    @action(detail=False, methods=["get"])
    def profile(self, request: Request) -> Response:
        """Who is calling."""
        return Response(PersonSerializer(credentials_of(request).membership).data)
