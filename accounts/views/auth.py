from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.serializers.auth import (
    EmailSerializer,
    LoginSerializer,
    MessageSerializer,
    NewPasswordSerializer,
    RefreshSerializer,
    RegistrationSerializer,
    SignInSerializer,
    TokenSerializer,
    TokensSerializer,
)
from accounts.serializers.people import PersonSerializer
from accounts.services import people, sessions, sign_in
from craft.api.viewsets import Access, ApiViewSet


def done(message: str) -> Response:
    return Response({"success": True, "message": message})


class AuthViewSet(ApiViewSet):
    """Sign up, sign in and stay signed in."""

    access: ClassVar[Access] = {"safe": "read", "unsafe": "public"}
    is_live_only = True
    unheld = frozenset({"register", "login", "reset_password"})
    problems: ClassVar = {
        "register": (409,),
        "login": (401,),
        "refresh": (401,),
        "change_email": (409,),
    }

    @extend_schema(request=RegistrationSerializer, responses={201: SignInSerializer})
    @action(detail=False, methods=["post"])
    def register(self, request: Request) -> Response:
        """Create an account and its company. Who registers is the company's admin and owner."""
        session = people.register(**self.read(RegistrationSerializer))
        me = self.reverse_action("me")
        return Response(
            dict(SignInSerializer(session).data),
            status=status.HTTP_201_CREATED,
            headers={"Location": me},
        )

    @extend_schema(request=LoginSerializer, responses=SignInSerializer)
    @action(detail=False, methods=["post"])
    def login(self, request: Request) -> Response:
        """Log in with e-mail and password. Who has two-factor sign-in on also sends a `code`: without one a right password is answered with a 401 whose code
        is `TWO_FACTOR_REQUIRED`, with a wrong one with `WRONG_CODE`."""
        session = sign_in.log_in(**self.read(LoginSerializer))
        return Response(dict(SignInSerializer(session).data))

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
        return done("Logged out successfully")

    @extend_schema(request=EmailSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="password/forgot")
    def forgot_password(self, request: Request) -> Response:
        """Ask for a mail with which to set a new password. The answer is the same whether or not anybody has the address."""
        people.request_password_reset(**self.read(EmailSerializer))
        return done("Password reset email sent")

    @extend_schema(request=NewPasswordSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="password/reset")
    def reset_password(self, request: Request) -> Response:
        """Set a new password with the token of that mail. All devices are signed out."""
        people.reset_password(**self.read(NewPasswordSerializer))
        return done("Password reset successfully")

    @extend_schema(request=TokenSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="verify-email")
    def verify_email(self, request: Request) -> Response:
        """Show that an address is yours, with the token that was mailed there."""
        people.verify_email(**self.read(TokenSerializer))
        return done("Email verified successfully")

    @extend_schema(request=EmailSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="verify-email/resend")
    def resend_verification(self, request: Request) -> Response:
        """Ask for another verification mail. The answer is the same whether or not anybody has the address."""
        people.resend_verification(**self.read(EmailSerializer))
        return done("Verification email sent")

    @extend_schema(request=TokenSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="change-email")
    def change_email(self, request: Request) -> Response:
        """Confirm a new address with the token that was mailed there."""
        people.change_email(**self.read(TokenSerializer))
        return done("Email changed successfully")
