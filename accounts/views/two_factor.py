from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.serializers.auth import MessageSerializer, OwnPasswordSerializer
from accounts.serializers.two_factor import (
    CodeSerializer,
    PasswordAndCodeSerializer,
    RecoveryCodesSerializer,
    SetUpSerializer,
    TwoFactorSerializer,
)
from accounts.services import two_factor
from accounts.views.auth import done
from craft.api.viewsets import OWN_ACCOUNT, ApiViewSet


class TwoFactorViewSet(ApiViewSet):
    """Two-factor sign-in: beside the password a code of an authenticator app."""

    access = OWN_ACCOUNT
    is_live_only = True
    unheld = frozenset({"begin", "renew_recovery_codes", "disable"})

    @extend_schema(responses=TwoFactorSerializer)
    @action(detail=False, methods=["get"], url_path="two-factor", url_name="state")
    def state(self, request: Request) -> Response:
        """Whether two-factor sign-in is on, since when, and how many recovery codes are left."""
        user = credentials_of(request).user
        return Response(TwoFactorSerializer(two_factor.state_of(user)).data)

    @extend_schema(request=OwnPasswordSerializer, responses=SetUpSerializer)
    @state.mapping.post
    def begin(self, request: Request) -> Response:
        """Begin to turn it on: a secret for the app. Nothing changes before a code confirms that the app has it."""
        begun = two_factor.begin_two_factor(
            user=credentials_of(request).user, **self.read(OwnPasswordSerializer)
        )
        return Response(dict(SetUpSerializer(begun).data))

    @extend_schema(request=CodeSerializer, responses=RecoveryCodesSerializer)
    @action(detail=False, methods=["post"], url_path="two-factor/confirm")
    def confirm(self, request: Request) -> Response:
        """Turn it on, with the first code that the app shows. From now on a code is asked for whenever you sign in. Answers ten recovery codes."""
        codes = two_factor.confirm_two_factor(
            user=credentials_of(request).user, **self.read(CodeSerializer)
        )
        return Response(dict(RecoveryCodesSerializer({"recovery_codes": codes}).data))

    @extend_schema(request=PasswordAndCodeSerializer, responses=RecoveryCodesSerializer)
    @action(detail=False, methods=["post"], url_path="two-factor/recovery-codes")
    def renew_recovery_codes(self, request: Request) -> Response:
        """Make ten new recovery codes. Those that you had are good for nothing any more."""
        codes = two_factor.renew_recovery_codes(
            user=credentials_of(request).user, **self.read(PasswordAndCodeSerializer)
        )
        return Response(dict(RecoveryCodesSerializer({"recovery_codes": codes}).data))

    @extend_schema(request=PasswordAndCodeSerializer, responses=MessageSerializer)
    @action(detail=False, methods=["post"], url_path="two-factor/disable")
    def disable(self, request: Request) -> Response:
        """Turn it off. The recovery codes go with it."""
        two_factor.disable_two_factor(
            user=credentials_of(request).user, **self.read(PasswordAndCodeSerializer)
        )
        return done("Two-factor sign-in is off")
