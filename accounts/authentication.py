"""Who is calling: a key or an access token as Bearer, or a Django session with CSRF.

Whichever it is, `request.user` is the person, `request.company` theirs, and `request.auth` says what they may do here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest
from django.utils import timezone
from rest_framework import authentication
from rest_framework.exceptions import AuthenticationFailed, PermissionDenied
from rest_framework.request import Request
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import (
    ApiKey,
    Company,
    KeyMode,
    Membership,
    User,
    normalise_email,
)
from accounts.services import guesses
from accounts.services.keys import KEY_PREFIXES
from accounts.services.recognition import (
    recognise_key,
    recognise_shared,
    subjects_of,
)
from accounts.services.sandbox import sandbox_of
from craft import egress, stamps
from craft.api.limits import (
    address_in,
    address_of,
    behind_proxy,
    charge_together,
)
from craft.events import current_actor
from craft.prepared import INTEGER, OTHER_TEXT, TEXT, PreparedObject

PAGE_SESSION = "session_id"
"""Where a browser's session says which of the person's sessions it is."""


@dataclass(frozen=True)
class Credentials:
    """What the caller has shown, and what it lets them do."""

    membership: Membership
    levels: frozenset[str]
    kind: Literal["key", "token", "session"]
    api_key: ApiKey | None = None
    sandbox: Company | None = None
    session_id: str | None = None
    """Of whoever signed in: one of their devices."""

    @property
    def api_key_id(self) -> str | None:
        return self.api_key.pk if self.api_key else None

    @property
    def company(self) -> Company:
        """Whose records the call works on: with a test key the sandbox, which is a company of its own."""
        return self.sandbox or self.membership.company

    @property
    def user(self) -> User:
        return self.membership.user


class SlowedBackend(ModelBackend):
    """Django's own, for every door that a password opens, the console's too: who guesses waits."""

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        guess: guesses.Guess | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Whoever has looked already how many guesses there were hands that on."""
        guess = guess or guesses.password_of(normalise_email(username or ""))
        if guess.wait:
            return None
        user = super().authenticate(request, username, password, **kwargs)
        if user is None:
            guess.note_wrong()
        return user


class BearerAuthentication(authentication.BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[User, Credentials] | None:
        scheme, _, secret = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        secret = secret.strip()
        if not scheme:
            return None
        if scheme.lower() != "bearer" or not secret:
            raise AuthenticationFailed(
                "Send your key as: Authorization: Bearer YOUR_API_KEY"
            )
        credentials = (
            by_key(secret, address_of(request._request))
            if secret.startswith(KEY_PREFIXES)
            else by_token(secret)
        )
        return admit(request._request, credentials)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class SessionAuthentication(authentication.SessionAuthentication):
    """An operator's or a page's session. DRF asks for the CSRF token."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        membership = session_membership(request._request)
        if membership is None:
            raise AuthenticationFailed("This account belongs to no company.")
        session_id = request._request.session.get(PAGE_SESSION)
        return admit(
            request._request,
            Credentials(
                membership, membership.levels, "session", session_id=session_id
            ),
        )


def session_membership(request: HttpRequest) -> Membership | None:
    """Whom this browser's session stands for: nobody, once the session that it belongs to was ended from elsewhere."""
    if not request.user.is_authenticated:
        return None
    places = Membership.objects.select_related("user", "company")
    own = places.filter(user=request.user)
    if company_id := request.session.get("company_id"):
        own = own.filter(company=company_id)
    if session_id := request.session.get(PAGE_SESSION):
        own = own.filter(
            user__sessions__pk=session_id,
            user__sessions__ended_at=None,
            user__sessions__expires_at__gt=timezone.now(),
        )
    return own.first()


def credentials_of(request: Request) -> Credentials:
    """What the caller of a view that is not public has shown."""
    credentials: Credentials = request.auth  # type: ignore[assignment]  # ours, not DRF's Token
    return credentials


def by_key(secret: str, address: str) -> Credentials:
    api_key = recognise_key(secret)
    if api_key is None:
        raise AuthenticationFailed(
            "This API key is not valid: it was mistyped, deleted, or belongs to another installation."
        )
    if api_key.is_expired:
        raise AuthenticationFailed("This API key has expired. Make another one.")
    if not api_key.admits(address):
        raise PermissionDenied(f"This API key may not be used from {address}.")
    sandbox = (
        sandbox_of(api_key.membership.company) if api_key.mode == KeyMode.TEST else None
    )
    return _holder_of(api_key, sandbox)


def _holder_of(api_key: ApiKey, sandbox: Company | None = None) -> Credentials:
    membership = api_key.membership
    levels = frozenset(api_key.permissions) & membership.levels
    return Credentials(membership, levels, "key", api_key, sandbox)


def by_token(text: str) -> Credentials:
    try:
        token = AccessToken(text)  # type: ignore[arg-type]  # simplejwt annotates its own class here
    except TokenError:
        raise AuthenticationFailed(
            "This token is not valid, or has expired. Refresh it, or log in again."
        ) from None
    session_id = str(token.get("sid"))
    membership = _signed_in.first(
        str(token.get("sub")), int(token.get("company") or 0), session_id
    )
    if membership is None:
        raise AuthenticationFailed(
            "This token's session was ended, or its person is no longer in that company. Log in again."
        )
    return Credentials(membership, membership.levels, "token", session_id=session_id)


_signed_in = PreparedObject(
    lambda user_id, company_id, session_id: Membership.objects.select_related(
        "user", "company"
    ).filter(
        user_id=user_id,
        company_id=company_id,
        user__is_active=True,
        user__sessions__pk=session_id,
        user__sessions__ended_at=None,
    ),
    TEXT,
    INTEGER,
    OTHER_TEXT,
)


@contextmanager
def admit_together(
    metas: Sequence[dict[str, Any]], *, level: str, subjects: Iterable[str] = ()
) -> Iterator[list[Credentials | None]]:
    """For light calls, whose METAs these are: of each, whoever shows a live API key that opens, may do this, and is within the limits. None for all others,
    of whom the view makes something, or nothing. For reading only: all threads are given the same objects.

    Within it the stamps of these subjects have been looked at, too.
    """
    is_behind = behind_proxy()
    shown = [
        (_live_secret(meta), address_in(meta, is_behind_proxy=is_behind))
        for meta in metas
    ]
    secrets = {secret for secret, _ in shown if secret}
    with stamps.glance({*subjects_of(secrets), *subjects}):
        known = {
            (secret, address): _live_holder(secret, address, level) if secret else None
            for secret, address in set(shown)
        }
        companies = {each: holder.company for each, holder in known.items() if holder}
        calls: dict[int, list[dict[str, Any]]] = {
            company.id: [] for company in companies.values()
        }
        for each, meta in zip(shown, metas, strict=True):
            if each in companies:
                calls[companies[each].id].append(meta)
        let_in = {
            company.id
            for company in {each.id: each for each in companies.values()}.values()
            if charge_together(calls[company.id], company)
        }
        yield [
            known[each] if each in companies and companies[each].id in let_in else None
            for each in shown
        ]


def _live_secret(meta: Mapping[str, Any]) -> str | None:
    scheme, _, secret = meta.get("HTTP_AUTHORIZATION", "").partition(" ")
    is_key = scheme.lower() == "bearer" and secret.startswith(KEY_PREFIXES)
    return secret if is_key else None


def _live_holder(secret: str, address: str, level: str) -> Credentials | None:
    api_key = recognise_shared(secret)
    if (
        api_key is None
        or api_key.mode != KeyMode.LIVE
        or api_key.is_expired
        or not api_key.admits(address)
    ):
        return None
    holder = _holder_of(api_key)
    return holder if level in holder.levels else None


def admit(request: HttpRequest, credentials: Credentials) -> tuple[User, Credentials]:
    membership = credentials.membership
    request.company = credentials.company  # type: ignore[attr-defined]  # read by views
    if credentials.sandbox is not None:
        request.is_test = True  # type: ignore[attr-defined]  # read by craft.middleware
        egress.enter_test_mode()
    current_actor.set(
        replace(
            current_actor.get(),
            user_id=membership.user_id,
            api_key_id=credentials.api_key_id,
        )
    )
    return membership.user, credentials
