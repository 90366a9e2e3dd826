"""Two-factor sign-in: beside the password a code of an app (TOTP, RFC 6238), or one of the recovery codes that are for the day on which the app is lost."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from pyotp import TOTP, random_base32

from accounts import events
from accounts.models import RecoveryCode, TwoFactor, User
from accounts.models.two_factor import SET_UP_TIME
from accounts.services.guesses import check_own_password, code_of
from accounts.services.mail import queue_mail
from accounts.services.people import tell
from accounts.services.secrets import digest_of
from accounts.services.sessions import WrongCredentialsError
from craft.exceptions import ConflictError, InvalidError, UnavailableError
from craft.vault import UnsealError

logger = logging.getLogger("craft.accounts")

ISSUER = "Craft"
"""What the app calls it."""
DRIFT = (-1, 0, 1)
"""The steps, of thirty seconds each, that a telephone's clock may be off by."""
DIGITS = 6
RECOVERY_CODES = 10
LETTERS = "23456789abcdefghjkmnpqrstuvwxyz"
"""None that is taken for another."""
HALF = 5
WRONG = "The code is wrong, or was used before. Wait for the next one."
WRONG_RECOVERY_CODE = "The recovery code is wrong, or was used before."
CAN_NOT_OPEN = "The secret that your app makes its codes from can't be opened any more: its key has left CRAFT_ENCRYPTION_KEYS. Use a recovery code."


class WrongCodeError(WrongCredentialsError):
    code = "wrong_code"
    is_told = True


@dataclass(frozen=True)
class State:
    """Whether it is on."""

    enabled_at: datetime | None
    recovery_codes_left: int

    @property
    def is_enabled(self) -> bool:
        return self.enabled_at is not None


@dataclass(frozen=True)
class SetUp:
    """What an app is given, to be confirmed by a code that it makes of it."""

    secret: str = field(repr=False)
    otpauth_uri: str = field(repr=False)
    expires_at: datetime


def is_enabled(user: User) -> bool:
    return TwoFactor.objects.enabled().filter(user=user).exists()


def state_of(user: User) -> State:
    found = TwoFactor.objects.enabled().filter(user=user).first()
    return State(found.enabled_at, _codes_left(found)) if found else State(None, 0)


# --- On and off ---


def begin_two_factor(*, user: User, password: str) -> SetUp:
    """A new secret, in the place of one that was begun with before. Nothing is asked for at sign-in before `confirm_two_factor`."""
    check_own_password(user, password)
    pending = TwoFactor(user=user, begun_at=timezone.now())
    pending.secret = random_base32()
    with transaction.atomic():
        _lock(user)
        if is_enabled(user):
            raise ConflictError("Two-factor sign-in is on. Turn it off first.")
        TwoFactor.objects.filter(user=user).delete()
        pending.save(force_insert=True)
        tell(user, events.USER_TWO_FACTOR_BEGUN, {})
    return _set_up_of(pending)


def pending_set_up(user: User) -> SetUp | None:
    """The one that waits for its code."""
    found = TwoFactor.objects.filter(user=user).first()
    return _set_up_of(found) if found and found.is_pending else None


def _set_up_of(pending: TwoFactor) -> SetUp:
    secret = _secret_of(pending)
    uri = TOTP(secret).provisioning_uri(name=pending.user.email, issuer_name=ISSUER)
    return SetUp(secret, uri, pending.begun_at + SET_UP_TIME)


def confirm_two_factor(*, user: User, code: str) -> list[str]:
    """It counts from now on. Answers the recovery codes, which are seen this once."""
    pending = TwoFactor.objects.filter(user=user).first()
    if pending is None or not pending.is_pending:
        raise ConflictError(
            "Two-factor sign-in is on."
            if pending and pending.enabled_at
            else f"Begin first: a set-up waits for its code for {SET_UP_TIME.seconds // 60} minutes."
        )
    _check_own_code(pending, code)
    with transaction.atomic():
        _lock(user)
        now = timezone.now()
        own = TwoFactor.objects.filter(
            user=user, sealed_secret=pending.sealed_secret, enabled_at=None
        )
        if not own.update(enabled_at=now, updated_at=now):
            raise ConflictError("This set-up was confirmed, or begun anew, meanwhile.")
        codes = _make_recovery_codes(pending)
        _note_change(user, is_on=True)
        queue_mail(to=user.email, template="two_factor_enabled", context={})
    return codes


def disable_two_factor(*, user: User, password: str, code: str) -> None:
    check_own_password(user, password)
    _check_own_code(_enabled(user), code)
    _turn_off(user, by_operator=False)


def reset_two_factor(user: User) -> None:
    """At an operator's word: for whoever has lost the app and the recovery codes."""
    _turn_off(user, by_operator=True)


@transaction.atomic
def _turn_off(user: User, *, by_operator: bool) -> None:
    _lock(user)
    if not TwoFactor.objects.enabled().filter(user=user).delete()[0]:
        raise _not_on()
    _note_change(user, is_on=False)
    context = {"by_operator": by_operator}
    queue_mail(to=user.email, template="two_factor_disabled", context=context)


def renew_recovery_codes(*, user: User, password: str, code: str) -> list[str]:
    """Those that there were are good for nothing any more."""
    check_own_password(user, password)
    two_factor = _enabled(user)
    _check_own_code(two_factor, code)
    with transaction.atomic():
        _lock(user)
        codes = _make_recovery_codes(_enabled(user))
        tell(user, events.USER_RECOVERY_CODES_RENEWED, {})
        queue_mail(to=user.email, template="recovery_codes_renewed", context={})
    return codes


def forget_unconfirmed() -> None:
    for row in TwoFactor.objects.given_up().select_related("user"):
        with transaction.atomic():
            _lock(row.user)  # it may be begun anew at this moment
            TwoFactor.objects.given_up().filter(pk=row.pk).delete()


def _lock(user: User) -> None:
    """One change of a person's two-factor sign-in at a time."""
    User.objects.select_for_update().get(pk=user.pk)


def _enabled(user: User) -> TwoFactor:
    found = TwoFactor.objects.enabled().filter(user=user).first()
    if found is None:
        raise _not_on()
    return found


def _not_on() -> ConflictError:
    return ConflictError("Two-factor sign-in is not on.")


def _note_change(user: User, *, is_on: bool) -> None:
    changes = {"two_factor": [not is_on, is_on]}
    kind = events.USER_TWO_FACTOR_ENABLED if is_on else events.USER_TWO_FACTOR_DISABLED
    tell(user, kind, {"changes": changes})


# --- Codes ---


def check_code(user: User, code: str) -> None:
    """Of somebody who signs in: a code of the app, or a recovery code. Each is good once, also for requests that come at the same moment. Raises
    WrongCodeError and TooManyGuessesError."""
    if not _is_accepted(_enabled(user), code):
        said = _what_is_wrong(code)
        raise WrongCodeError(said, details={"code": said})


def _check_own_code(two_factor: TwoFactor, code: str) -> None:
    """Of somebody who is signed in."""
    if not _is_accepted(two_factor, code):
        said = _what_is_wrong(code)
        raise InvalidError("The code is wrong.", details={"code": said})


def _what_is_wrong(text: str) -> str:
    is_recovery_code = len(_plain(text)) == 2 * HALF
    return WRONG_RECOVERY_CODE if is_recovery_code else WRONG


def _plain(text: str) -> str:
    return "".join(text.split()).replace("-", "").lower()


def _is_accepted(two_factor: TwoFactor, text: str) -> bool:
    guess = code_of(two_factor.user)
    guess.check()
    code = _plain(text)
    is_right = (
        _spend_step(two_factor, code)
        if len(code) == DIGITS
        else _spend_recovery_code(two_factor, code)
    )
    if not is_right:
        guess.note_wrong()
    return is_right


def _spend_step(two_factor: TwoFactor, code: str) -> bool:
    totp = TOTP(_secret_of(two_factor))
    now = totp.timecode(timezone.now())
    steps = [
        now + drift
        for drift in DRIFT
        if constant_time_compare(totp.generate_otp(now + drift), code)
    ]
    return any(two_factor.spend(step) for step in steps)


def _secret_of(two_factor: TwoFactor) -> str:
    try:
        return two_factor.secret
    except UnsealError as error:
        logger.error("a two-factor secret can't be opened: %s", error)
        raise UnavailableError(CAN_NOT_OPEN) from None


@transaction.atomic
def _spend_recovery_code(two_factor: TwoFactor, code: str) -> bool:
    unused = two_factor.recovery_codes.filter(used_at=None)
    own = unused.filter(digest=_digest(two_factor, code))
    if not own.update(used_at=timezone.now()):
        return False
    left = _codes_left(two_factor)
    user = two_factor.user
    tell(user, events.USER_RECOVERY_CODE_USED, {"recovery_codes_left": left})
    queue_mail(to=user.email, template="recovery_code_used", context={"left": left})
    return True


def _make_recovery_codes(two_factor: TwoFactor) -> list[str]:
    codes = [
        "".join(secrets.choice(LETTERS) for _ in range(2 * HALF))
        for _ in range(RECOVERY_CODES)
    ]
    two_factor.recovery_codes.all().delete()
    RecoveryCode.objects.bulk_create(
        RecoveryCode(two_factor=two_factor, digest=_digest(two_factor, code))
        for code in codes
    )
    return [f"{code[:HALF]}-{code[HALF:]}" for code in codes]


def _digest(two_factor: TwoFactor, code: str) -> str:
    return digest_of(f"recovery:{two_factor.pk}:{code}")


def _codes_left(two_factor: TwoFactor) -> int:
    return two_factor.recovery_codes.filter(used_at=None).count()
