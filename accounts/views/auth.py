from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.serializers.auth import (
    LoginSerializer,
    MessageSerializer,
    RefreshSerializer,
    RegistrationSerializer,
    SessionSerializer,
    TokensSerializer,
)
from accounts.serializers.people import PersonSerializer
from accounts.services import people, sessions
from craft.api.viewsets import Access, ApiViewSet


class AuthViewSet(ApiViewSet):
    """Sign up, sign in and stay signed in."""

    access: ClassVar[Access] = {"safe": "read", "unsafe": "public"}
    is_live_only = True
    problems: ClassVar = {"register": (409,), "login": (401,), "refresh": (401,)}

    @extend_schema(request=RegistrationSerializer, responses={201: SessionSerializer})
    @action(detail=False, methods=["post"])
    def register(self, request: Request) -> Response:
        """Create an account and its company. Who registers is the company's admin and owner."""
        session = people.register(**self.read(RegistrationSerializer))
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
            dict(SessionSerializer(sessions.log_in(**self.read(LoginSerializer))).data)
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
        session = sessions.refresh_session(**self.read(RefreshSerializer))
        return Response(dict(TokensSerializer(session).data))

    @extend_schema(request=RefreshSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"])
    def logout(self, request: Request) -> Response:
        """End the session that this refresh token belongs to."""
        sessions.log_out(**self.read(RefreshSerializer))
        return Response({"success": True, "message": "Logged out successfully"})
