"""Slows down who guesses. Only what was wrong counts: a wrong password or code for its account and for the address that it came from, a wrong mailed token for the
address, a registration for the address.

Whoever guesses from elsewhere never locks the owner out: an address from which a person has signed in before counts for itself. An account that nobody has
is slowed like any other. Guesses that are under way at the same moment are let through together: there are no more of them than a server has threads.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import QuerySet

from accounts.models import Session, User
from accounts.services.secrets import digest_of
from craft.api.limits import Rate, Window, peek, take
from craft.events import current_actor
from craft.exceptions import DomainError, InvalidError


class TooManyGuessesError(DomainError):
    code = "too_many_guesses"
    status_code = 429

    def __init__(self, rate: Rate) -> None:
        wait = rate.retry_after or 0
        minutes = max(1, round(wait / 60))
        super().__init__(
            f"Too many wrong attempts. Try again in {minutes} minute{'s' * (minutes > 1)}."
        )
        self.wait = wait
        self.rate = rate


@dataclass(frozen=True)
class Guess:
    """An attempt, and what it counts for if it turns out to be wrong."""

    scopes: tuple[tuple[str, Window], ...]

    @property
    def wait(self) -> float:
        """How many seconds until it may be made."""
        return self._longest.retry_after or 0

    def check(self) -> None:
        rate = self._longest
        if rate.retry_after:
            raise TooManyGuessesError(rate)

    @property
    def _longest(self) -> Rate:
        rates = [peek(scope, window) for scope, window in self.scopes]
        return max(rates, key=lambda rate: rate.retry_after or 0)

    def note_wrong(self) -> None:
        for scope, window in self.scopes:
            take(scope, [window])


def password_of(email: str) -> Guess:
    """Of somebody who says that they are this person."""
    known = Session.objects.filter(user__email=email)
    return _of_account(f"guess:{digest_of(email)}", known)


def code_of(user: User) -> Guess:
    """Of somebody who has shown this person's password, and now shows a code."""
    return _of_account(f"code:{user.pk}", Session.objects.filter(user=user))


def _of_account(scope: str, sessions: QuerySet[Session]) -> Guess:
    address = _address()
    account = (
        (f"{scope}:{address}", _window("known_address"))
        if sessions.filter(address=address).exists()
        else (scope, _window("account"))
    )
    return Guess((account, _of_address()))


def own_password(user: User) -> Guess:
    """Of somebody who is signed in."""
    scope = f"guess:{user.pk}:{_address()}"
    return Guess(((scope, _window("known_address")), _of_address()))


def check_own_password(user: User, password: str, *, field: str = "password") -> None:
    """Of somebody who is signed in, and does what a stolen session must not. Hashes, so not inside a transaction. Raises InvalidError and
    TooManyGuessesError."""
    guess = own_password(user)
    guess.check()
    if not user.check_password(password):
        guess.note_wrong()
        raise InvalidError("The password is wrong.", details={field: "Wrong."})


def mailed_token() -> Guess:
    return Guess((_of_address(),))


def count_registration() -> None:
    rate = take(f"register:{_address()}", [_window("registration")])
    if rate.retry_after is not None:
        raise TooManyGuessesError(rate)


def _of_address() -> tuple[str, Window]:
    return f"guesses:{_address()}", _window("address")


def _address() -> str:
    return current_actor.get().address or "unknown"


def _window(kind: str) -> Window:
    """Half of an hour's at once, the rest as the hour goes by."""
    limit: int = settings.GUESSES_PER_HOUR[kind]
    return Window("hour", limit, max(1, limit // 2))
