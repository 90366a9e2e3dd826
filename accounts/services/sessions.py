"""Signing in, staying signed in, signing out."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth import authenticate
from django.db import transaction
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import Membership, RefreshToken, normalise_email
from accounts.services.secrets import digest_of
from craft.exceptions import DomainError
from craft.fields import new_id

REUSE_GRACE = timedelta(seconds=10)
"""Two tabs that wake up together send the same refresh token. The second is refused, but is no reason to suspect a thief."""
CANNOT_REFRESH = "This refresh token is unknown, spent or ended. Log in again."


class WrongCredentialsError(DomainError):
    code = "wrong_credentials"
    status_code = 401


class ReusedTokenError(WrongCredentialsError):
    code = "token_reused"


@dataclass(frozen=True)
class Session:
    """What a person gets who signs in."""

    membership: Membership
    token: str
    refresh_token: str


def log_in(*, email: str, password: str) -> Session:
    """Raises WrongCredentialsError, in the same words whether or not the person exists (Django hashes in both cases)."""
    user = authenticate(username=normalise_email(email), password=password)
    membership = (
        user
        and Membership.objects.select_related("user", "company")
        .filter(user=user)
        .first()
    )
    if not membership:
        raise WrongCredentialsError("The e-mail or the password is wrong.")
    return open_session(membership)


def open_session(membership: Membership, *, family: str | None = None) -> Session:
    """A new session, or the next link of a line of refresh tokens."""
    text = secrets.token_urlsafe(32)
    RefreshToken.objects.create(
        membership=membership,
        family=family or new_id("fam"),
        digest=digest_of(text),
        expires_at=RefreshToken.expiry(),
    )
    return Session(membership, make_access_token(membership), text)


def make_access_token(membership: Membership) -> str:
    token = AccessToken()
    token["sub"] = membership.user_id
    token["company"] = membership.company_id
    return str(token)


def refresh_session(*, refresh_token: str) -> Session:
    """Spend a refresh token. Each is spent once, also by requests that come at the same moment; a later second use means that
    somebody has a copy, so it ends the whole line."""
    token = _find_refresh_token(refresh_token)
    with transaction.atomic():
        if token.spend():
            return open_session(token.membership, family=token.family)
    if token.used_at and timezone.now() - token.used_at > REUSE_GRACE:
        end_line(token)
        raise ReusedTokenError(
            "This refresh token was used before, so its session has been ended. Log in again."
        )
    raise WrongCredentialsError(CANNOT_REFRESH)


def log_out(*, refresh_token: str) -> None:
    """End the whole line of this token. One that is unknown has nothing to end."""
    token = RefreshToken.objects.filter(digest=digest_of(refresh_token)).first()
    if token:
        end_line(token)


def family_of(session: Session) -> str:
    """The line that this session's refresh tokens form."""
    return RefreshToken.objects.values_list("family", flat=True).get(
        digest=digest_of(session.refresh_token)
    )


def is_live(family: str) -> bool:
    """Whether the line has not been ended."""
    return RefreshToken.objects.filter(
        family=family, ended_at=None, expires_at__gt=timezone.now()
    ).exists()


def end_family(family: str) -> None:
    RefreshToken.objects.filter(family=family, ended_at=None).update(
        ended_at=timezone.now()
    )


def end_line(token: RefreshToken) -> None:
    end_family(token.family)


def _find_refresh_token(text: str) -> RefreshToken:
    token = (
        RefreshToken.objects.select_related("membership__user", "membership__company")
        .filter(
            digest=digest_of(text),
            ended_at=None,
            expires_at__gt=timezone.now(),
            membership__user__is_active=True,
        )
        .first()
    )
    if token is None:
        raise WrongCredentialsError(CANNOT_REFRESH)
    return token
