"""The way in: a password, and, where two-factor sign-in is on, a code. Whatever else opens a session is for who is new, or signed in already."""

from __future__ import annotations

import time
from datetime import timedelta

from django.contrib.auth import authenticate
from django.contrib.sessions.backends.base import SessionBase
from django.db import transaction
from django.utils.crypto import constant_time_compare

from accounts.models import Membership, User, normalise_email
from accounts.services import two_factor
from accounts.services.guesses import password_of
from accounts.services.sessions import SignIn, WrongCredentialsError, open_session

HALF_WAY = "half_way"
HALF_WAY_FOR = timedelta(minutes=10)


class TwoFactorRequiredError(WrongCredentialsError):
    """The password was right; there is a code to come."""

    code = "two_factor_required"
    is_told = True


def log_in(*, email: str, password: str, code: str = "") -> SignIn:
    """All in one. Raises WrongCredentialsError, in the same words whether or not the person exists (Django hashes in both cases), and TooManyGuessesError;
    and only once the password was right, TwoFactorRequiredError and WrongCodeError."""
    membership = check_password(email=email, password=password)
    if two_factor.is_enabled(membership.user):
        if not code:
            raise TwoFactorRequiredError(
                "Two-factor sign-in is on. Send a code of the app, or a recovery code, as `code`."
            )
        two_factor.check_code(membership.user, code)
    return enter(membership)


def check_password(*, email: str, password: str) -> Membership:
    """The first half. As `log_in`."""
    guess = password_of(normalise_email(email))
    guess.check()
    user = authenticate(username=normalise_email(email), password=password, guess=guess)
    membership = _place_of(user) if isinstance(user, User) else None
    if membership is None:
        raise WrongCredentialsError("The e-mail or the password is wrong.")
    return membership


def enter(membership: Membership) -> SignIn:
    with transaction.atomic():
        return open_session(membership)


def _place_of(user: User) -> Membership | None:
    own = Membership.objects.select_related("user", "company").filter(user=user)
    return own.first()


# --- In a browser: one half after the other ---


def go_half_way(browser: SessionBase, user: User) -> None:
    """Whoever has this browser's session has shown the password. It is no sign-in: all it is good for is to show the code, for a while, and until the
    password is another one."""
    browser.cycle_key()
    browser[HALF_WAY] = {
        "user_id": user.pk,
        "proof": user.get_session_auth_hash(),
        "until": time.time() + HALF_WAY_FOR.total_seconds(),
    }


def who_is_half_way(browser: SessionBase) -> User | None:
    kept = browser.get(HALF_WAY)
    if not kept or kept["until"] < time.time():
        return None
    user = User.objects.filter(pk=kept["user_id"], is_active=True).first()
    if user is None:
        return None
    is_same = constant_time_compare(kept["proof"], user.get_session_auth_hash())
    return user if is_same else None


def finish(user: User, *, code: str) -> SignIn:
    """The second half, of who is half-way in. Raises WrongCodeError and TooManyGuessesError."""
    membership = _place_of(user)
    if membership is None:
        raise WrongCredentialsError("This account belongs to no company.")
    if two_factor.is_enabled(user):
        two_factor.check_code(user, code)
    return enter(membership)
