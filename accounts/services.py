"""Sign-up, sessions and keys.

Secrets leave here once, as text, and are kept as keyed hashes (HMAC-SHA256 under the installation's secret). A key ends in a checksum, so a typo is
refused before the database is asked.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import zlib
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts import events
from accounts.models import (
    ApiKey,
    Company,
    Membership,
    RefreshToken,
    Role,
    User,
    normalise_email,
)
from craft.events import Event, publish
from craft.exceptions import ConflictError, DomainError, InvalidError
from craft.fields import new_id

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_RANDOM = 30
KEY_CHECKSUM = 6
REUSE_GRACE = timedelta(seconds=10)
"""Two tabs that wake up together send the same refresh token. The second is refused, but is no reason to suspect a thief."""


CANNOT_REFRESH = "This refresh token is unknown, spent or ended. Log in again."


class WrongCredentialsError(DomainError):
    code = "wrong_credentials"
    status_code = 401


class KeyTooWideError(DomainError):
    """A key was to be given a permission that its maker does not have."""

    code = "key_too_wide"
    status_code = 403


@dataclass(frozen=True)
class Session:
    """What a person gets who signs in."""

    membership: Membership
    token: str
    refresh_token: str


@dataclass(frozen=True)
class NewKey:
    api_key: ApiKey
    secret: str


# --- People ---


def register(
    *, email: str, password: str, full_name: str, company_name: str
) -> Session:
    """A new person and their new, empty company, of which they are an admin and the owner."""
    user = User(email=normalise_email(email), full_name=full_name)
    check_password_strength(password, user)
    user.set_password(password)  # slow by design: not inside the transaction
    with transaction.atomic():
        return open_session(_create_company(user, company_name))


def _create_company(user: User, name: str) -> Membership:
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        raise ConflictError(
            "An account with this e-mail exists. Log in instead.",
            details={"email": "Already registered."},
        ) from None
    company = Company.objects.create(name=name)
    membership = Membership.objects.create(
        user=user, company=company, role=Role.ADMIN, is_owner=True
    )
    publish(
        Event(
            events.COMPANY_CREATED,
            company.pk,
            {"company_id": company.pk, "name": company.name},
        )
    )
    publish(Event(events.USER_REGISTERED, company.pk, {"user_id": user.pk}))
    return membership


def check_password_strength(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidError(
            "The password is too weak.", details={"password": " ".join(error.messages)}
        ) from None


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
        digest=_digest(text),
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


class ReusedTokenError(WrongCredentialsError):
    code = "token_reused"


def log_out(*, refresh_token: str) -> None:
    """End the whole line of this token. One that is unknown has nothing to end."""
    token = RefreshToken.objects.filter(digest=_digest(refresh_token)).first()
    if token:
        end_line(token)


def end_line(token: RefreshToken) -> None:
    RefreshToken.objects.filter(family=token.family, ended_at=None).update(
        ended_at=timezone.now()
    )


def _find_refresh_token(text: str) -> RefreshToken:
    token = (
        RefreshToken.objects.select_related("membership__user", "membership__company")
        .filter(
            digest=_digest(text),
            ended_at=None,
            expires_at__gt=timezone.now(),
            membership__user__is_active=True,
        )
        .first()
    )
    if token is None:
        raise WrongCredentialsError(CANNOT_REFRESH)
    return token


# --- Keys ---


@transaction.atomic
def create_api_key(
    *,
    membership: Membership,
    name: str,
    permissions: list[str],
    look: str,
    granted: frozenset[str],
) -> NewKey:
    """`look` is `cv` or `ak`; `granted` is what the caller may do: a key never mints a wider key."""
    wider = sorted(set(permissions) - granted)
    if wider:
        raise KeyTooWideError(
            f"You can't give a key what you don't have: {', '.join(wider)}.",
            details={"permissions": "Wider than yours."},
        )
    prefix = f"{look}_live_"
    secret = make_key(prefix)
    api_key = ApiKey.objects.create(
        company=membership.company,
        membership=membership,
        name=name,
        digest=_digest(secret),
        prefix=prefix,
        last_four=secret[-4:],
        permissions=sorted(set(permissions), key=["read", "write", "admin"].index),
    )
    publish(
        Event(
            events.API_KEY_CREATED,
            membership.company_id,
            {"api_key_id": api_key.pk, "permissions": api_key.permissions},
        )
    )
    return NewKey(api_key, secret)


@transaction.atomic
def delete_api_key(api_key: ApiKey) -> None:
    publish(
        Event(events.API_KEY_DELETED, api_key.company_id, {"api_key_id": api_key.pk})
    )
    api_key.delete()


def make_key(prefix: str) -> str:
    body = prefix + "".join(secrets.choice(BASE62) for _ in range(KEY_RANDOM))
    return body + _checksum(body)


def is_well_formed_key(text: str) -> bool:
    body, checksum = text[:-KEY_CHECKSUM], text[-KEY_CHECKSUM:]
    return hmac.compare_digest(_checksum(body).encode(), checksum.encode())


def find_api_key(text: str) -> ApiKey | None:
    if not is_well_formed_key(text):
        return None
    found = ApiKey.unscoped.select_related(
        "membership__user", "membership__company"
    ).filter(digest=_digest(text))
    return found.filter(membership__user__is_active=True).first()


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(KEY_CHECKSUM):
        number, digit = divmod(number, len(BASE62))
        digits = BASE62[digit] + digits
    return digits


def _digest(text: str) -> str:
    return hmac.new(
        settings.SECRET_KEY.encode(), text.encode(), hashlib.sha256
    ).hexdigest()
