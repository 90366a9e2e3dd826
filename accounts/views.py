from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import services
from accounts.authentication import credentials_of
from accounts.models import ApiKey
from accounts.serializers import (
    ApiKeySerializer,
    LoginSerializer,
    MessageSerializer,
    NewApiKeySerializer,
    PersonSerializer,
    RefreshSerializer,
    RegistrationSerializer,
    SessionSerializer,
    TokensSerializer,
)
from craft.api.envelopes import dialect_of
from craft.api.viewsets import (
    ADMINS_ONLY,
    SIGNED_IN,
    Access,
    ApiViewSet,
    CompanyViewSet,
    DeleteMixin,
    created,
)


class AuthViewSet(ApiViewSet):
    """Sign up, sign in and stay signed in."""

    access: ClassVar[Access] = {"safe": "read", "unsafe": "public"}
    problems: ClassVar = {"register": (409,), "login": (401,), "refresh": (401,)}

    @extend_schema(request=RegistrationSerializer, responses={201: SessionSerializer})
    @action(detail=False, methods=["post"])
    def register(self, request: Request) -> Response:
        """Create an account and its company. Who registers is the company's admin and owner."""
        session = services.register(**self.read(RegistrationSerializer))
        me = self.reverse_action("me")
        return Response(
            dict(SessionSerializer(session).data),
            status=status.HTTP_201_CREATED,
            headers={"Location": me},
        )

    @extend_schema(request=LoginSerializer, responses=SessionSerializer)
    @action(detail=False, methods=["post"])
    def login(self, request: Request) -> Response:
        """Log in with e-mail and password."""
        return Response(
            dict(SessionSerializer(services.log_in(**self.read(LoginSerializer))).data)
        )

    @extend_schema(responses=PersonSerializer)
    @action(detail=False, methods=["get"])
    def me(self, request: Request) -> Response:
        """Who is calling. With an API key: the person who made it."""
        return Response(PersonSerializer(credentials_of(request).membership).data)

    @extend_schema(request=RefreshSerializer, responses=TokensSerializer)
    @action(detail=False, methods=["post"])
    def refresh(self, request: Request) -> Response:
        """Spend a refresh token: a new access token, and the next refresh token."""
        session = services.refresh_session(**self.read(RefreshSerializer))
        return Response(dict(TokensSerializer(session).data))

    @extend_schema(request=RefreshSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"])
    def logout(self, request: Request) -> Response:
        """End the session that this refresh token belongs to."""
        services.log_out(**self.read(RefreshSerializer))
        return Response({"success": True, "message": "Logged out successfully"})


class AccountViewSet(ApiViewSet):
    """The caller's own account."""

    access = SIGNED_IN

    @extend_schema(responses=PersonSerializer)
    @action(detail=False, methods=["get"])
    def profile(self, request: Request) -> Response:
        """Who is calling."""
        return Response(PersonSerializer(credentials_of(request).membership).data)


class ApiKeyViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    DeleteMixin,
    CompanyViewSet,
):
    """Keys for programs that call this API."""

    queryset = ApiKey.objects.select_related("membership")
    serializer_class = ApiKeySerializer
    access = ADMINS_ONLY

    @extend_schema(request=ApiKeySerializer, responses={201: NewApiKeySerializer})
    def create(self, request: Request) -> Response:
        """Make a key. Copy it now: it is not shown again."""
        new = services.create_api_key(
            membership=credentials_of(request).membership,
            look=dialect_of(request).key_prefix,
            granted=credentials_of(request).levels,
            **self.read(ApiKeySerializer),
        )
        return created(
            self, NewApiKeySerializer(new.api_key, context={"secret": new.secret}).data
        )

    def perform_destroy(self, instance: Any) -> None:
        services.delete_api_key(instance)
