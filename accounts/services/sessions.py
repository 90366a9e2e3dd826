"""Being signed in: sessions, how they go on, and how they end."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken

from accounts import events
from accounts.models import Membership, RefreshToken, Session, User
from accounts.services.secrets import digest_of
from craft.events import Event, acting, current_actor, publish
from craft.exceptions import DomainError

REUSE_GRACE = timedelta(seconds=10)
"""Two tabs that wake up together send the same refresh token. The second is refused, but is no reason to suspect a thief."""
CANNOT_REFRESH = "This refresh token is unknown, spent or ended. Log in again."
KEPT = timedelta(days=90)
"""How long a session that is over still says that its address is known."""


class WrongCredentialsError(DomainError):
    code = "wrong_credentials"
    status_code = 401


class ReusedTokenError(WrongCredentialsError):
    code = "token_reused"


@dataclass(frozen=True)
class SignIn:
    """What a person gets who signs in."""

    session: Session
    token: str
    refresh_token: str

    @property
    def membership(self) -> Membership:
        return self.session.membership


def open_session(membership: Membership) -> SignIn:
    """On the device that the actor of the moment uses."""
    device = current_actor.get()
    session = Session.objects.create(
        user_id=membership.user_id,
        membership=membership,
        user_agent=device.user_agent,
        address=device.address or "",
        expires_at=Session.expiry(),
    )
    with acting(replace(device, user_id=membership.user_id)):
        data = {"session_id": session.pk, "user_id": membership.user_id}
        publish(Event(events.SESSION_OPENED, membership.company_id, data))
    return _next_link(session)


def _next_link(session: Session) -> SignIn:
    text = secrets.token_urlsafe(32)
    RefreshToken.objects.create(
        session=session, digest=digest_of(text), expires_at=session.expires_at
    )
    return SignIn(session, make_access_token(session.membership, session.pk), text)


def make_access_token(membership: Membership, session_id: str) -> str:
    token = AccessToken()
    token["sub"] = membership.user_id
    token["company"] = membership.company_id
    token["sid"] = session_id
    return str(token)


def refresh_session(*, refresh_token: str) -> SignIn:
    """Spend a refresh token. Each is spent once, also by requests that come at the same moment; a later second use means that
    somebody has a copy, so it ends the whole session."""
    token = _find_refresh_token(refresh_token)
    session = token.session
    with transaction.atomic():
        if token.spend():
            session.extend(current_actor.get().address or "")
            return _next_link(session)
    if token.used_at and timezone.now() - token.used_at > REUSE_GRACE:
        end_session(session, reason="a spent refresh token was used again")
        raise ReusedTokenError(
            "This refresh token was used before, so its session has been ended. Log in again."
        )
    raise WrongCredentialsError(CANNOT_REFRESH)


def log_out(*, refresh_token: str) -> None:
    """End the session that this token belongs to. One that is unknown has nothing to end."""
    token = (
        RefreshToken.objects.select_related("session__membership")
        .filter(digest=digest_of(refresh_token))
        .first()
    )
    if token:
        end_session(token.session)


@transaction.atomic
def end_session(session: Session, *, reason: str = "") -> None:
    """Its access tokens end with it, at once."""
    live = Session.objects.filter(pk=session.pk, ended_at=None)
    if live.update(ended_at=timezone.now()):
        data = {"session_id": session.pk, "user_id": session.user_id, "reason": reason}
        company_id = session.membership.company_id
        _publish(events.SESSION_ENDED, company_id, session.user_id, data)


def end_page_session(session_id: str | None) -> None:
    """Of a browser that may belong to none."""
    found = Session.objects.select_related("membership").filter(pk=session_id).first()
    if found:
        end_session(found)


@transaction.atomic
def end_all_sessions(user: User, *, but: str | None = None) -> int:
    """Sign out everywhere, of pages too; `but` names a session that stays. How many were ended."""
    live = Session.objects.live().filter(user=user).exclude(pk=but or "")
    ended = list(live)
    Session.objects.filter(pk__in=[session.pk for session in ended]).update(
        ended_at=timezone.now()
    )
    user.signed_out_at = timezone.now()
    user.save(update_fields=["signed_out_at", "updated_at"])
    data = {"user_id": user.pk, "session_ids": [session.pk for session in ended]}
    for company_id in user.memberships.values_list("company_id", flat=True):
        _publish(events.USER_SIGNED_OUT, company_id, user.pk, data)
    return len(ended)


def forget_old_sessions() -> None:
    Session.objects.filter(expires_at__lt=timezone.now() - KEPT).delete()
    RefreshToken.objects.filter(expires_at__lt=timezone.now()).delete()


def _publish(
    event_type: str, company_id: int, user_id: str, data: dict[str, Any]
) -> None:
    """Where nobody was known to call, the person themselves did."""
    actor = current_actor.get()
    with acting(replace(actor, user_id=actor.user_id or user_id)):
        publish(Event(event_type, company_id, data))


def _find_refresh_token(text: str) -> RefreshToken:
    token = (
        RefreshToken.objects.select_related(
            "session__membership__user", "session__membership__company"
        )
        .filter(
            digest=digest_of(text),
            expires_at__gt=timezone.now(),
            session__ended_at=None,
            session__user__is_active=True,
        )
        .first()
    )
    if token is None:
        raise WrongCredentialsError(CANNOT_REFRESH)
    return token
