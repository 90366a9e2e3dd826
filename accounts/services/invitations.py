"""Asking somebody to join a company, and joining it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.contrib.auth import authenticate
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import events
from accounts.models import (
    Company,
    Invitation,
    MailedToken,
    Membership,
    Purpose,
    User,
    normalise_email,
)
from accounts.services.guesses import password_of
from accounts.services.mail import (
    find_token,
    make_token,
    queue_mail,
    spend_token,
    useless,
)
from accounts.services.people import check_password_strength
from accounts.services.sessions import SignIn, WrongCredentialsError, open_session
from craft.events import Event, acting, current_actor, publish
from craft.exceptions import ConflictError, InvalidError

MAX_OPEN = 200
"""Of one company at a time: mail to strangers is not something to have without end."""
SENT_AGAIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Joined:
    """`session` is there for who is new or was signed in. Whoever proved with a password who they are signs in as they always do."""

    membership: Membership
    session: SignIn | None

    @property
    def token(self) -> str | None:
        return self.session.token if self.session else None

    @property
    def refresh_token(self) -> str | None:
        return self.session.refresh_token if self.session else None


@transaction.atomic
def invite(*, company: Company, user: User, email: str, role: str) -> Invitation:
    email = normalise_email(email)
    if Membership.objects.filter(company=company, user__email=email).exists():
        raise ConflictError(
            "This person is in your company already.",
            details={"email": "Already a member."},
        )
    if Invitation.objects.for_company(company).filter(accepted_at=None).count() >= (
        MAX_OPEN
    ):
        raise ConflictError(
            f"{MAX_OPEN} invitations are open. Delete those that nobody will accept."
        )
    now = timezone.now()
    invitation = Invitation(
        company=company,
        email=email,
        role=role,
        invited_by=user,
        sent_at=now,
        expires_at=now,
    )
    try:
        with transaction.atomic():
            invitation.save(force_insert=True)
    except IntegrityError:
        raise ConflictError(
            "This person has been invited. Send the invitation again, or delete it.",
            details={"email": "Already invited."},
        ) from None
    _send(invitation)
    publish(_told(events.INVITATION_CREATED, invitation))
    return invitation


@transaction.atomic
def resend_invitation(invitation: Invitation) -> Invitation:
    """With a new link; the one that was sent before is good for nothing any more."""
    invitation = _locked(invitation)
    if invitation.accepted_at:
        raise ConflictError("This invitation has been accepted.")
    if invitation.sent_at > timezone.now() - SENT_AGAIN:
        raise ConflictError("It was sent a moment ago. Wait a minute.")
    _send(invitation)
    publish(_told(events.INVITATION_RESENT, invitation))
    return invitation


@transaction.atomic
def delete_invitation(invitation: Invitation) -> None:
    _end_tokens(invitation)
    publish(_told(events.INVITATION_DELETED, invitation))
    invitation.delete()


def find_invitation(token: str) -> Invitation:
    """What this token invites to. Raises UselessTokenError."""
    found = find_token(token, Purpose.INVITATION)
    open_ones = Invitation.unscoped.select_related("company").filter(accepted_at=None)
    invitation = open_ones.filter(pk=found.subject).first()
    if invitation is None:
        raise useless(Purpose.INVITATION)
    return invitation


def accept_invitation(
    *,
    token: str,
    signed_in: User | None = None,
    full_name: str = "",
    password: str = "",
) -> Joined:
    """Whoever is known shows who they are: by being signed in, or by their password. Whoever is new chooses one; that the address is theirs is shown by
    the token."""
    invitation = find_invitation(token)
    user = User.objects.filter(email=invitation.email).first()
    is_new, is_signed_in = user is None, user is not None and user == signed_in
    if user is None:
        user = _make_person(invitation, full_name, password)
    elif not is_signed_in:
        _check_password(user, password)
    with transaction.atomic():
        _hold_company(invitation)
        spend_token(token, Purpose.INVITATION)
        membership = _join(_locked(invitation), user, is_new=is_new)
        opens = is_new or is_signed_in
        return Joined(membership, open_session(membership) if opens else None)


def _make_person(invitation: Invitation, full_name: str, password: str) -> User:
    given = {"full_name": full_name, "password": password}
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise InvalidError(
            "You are new here: say your name, and choose a password.",
            details=dict.fromkeys(missing, "This field is required."),
        )
    user = User(email=invitation.email, full_name=full_name, is_verified=True)
    check_password_strength(password, user)
    user.set_password(password)  # slow by design: not inside the transaction
    return user


def _check_password(user: User, password: str) -> None:
    if not password:
        raise InvalidError(
            "This address has an account. Sign in first, or send its password.",
            details={"password": "This field is required."},
        )
    guess = password_of(user.email)
    guess.check()
    if authenticate(username=user.email, password=password, guess=guess) != user:
        raise WrongCredentialsError("The password is wrong.")


def _join(invitation: Invitation, user: User, *, is_new: bool) -> Membership:
    try:
        with transaction.atomic():
            if is_new:
                user.save(force_insert=True)
            membership = Membership.objects.create(
                user=user, company=invitation.company, role=invitation.role
            )
    except IntegrityError:
        raise ConflictError(
            "Somebody with this address has joined by now. Sign in instead."
        ) from None
    invitation.accepted_at = timezone.now()
    invitation.save()
    data = {"user_id": user.pk, "role": membership.role}
    with acting(replace(current_actor.get(), user_id=user.pk)):
        publish(
            Event(
                events.USER_JOINED,
                invitation.company_id,
                {**data, "invitation_id": invitation.pk},
            )
        )
    return membership


def _send(invitation: Invitation) -> None:
    _end_tokens(invitation)
    token = make_token(
        purpose=Purpose.INVITATION, email=invitation.email, subject=invitation.pk
    )
    invitation.sent_at, invitation.expires_at = timezone.now(), token.expires_at
    invitation.save()
    by = invitation.invited_by
    context = {
        "company": invitation.company.name,
        "role": invitation.role,
        "by": by.get_full_name() if by else "",
    }
    queue_mail(to=invitation.email, template="invitation", context=context, token=token)


def _end_tokens(invitation: Invitation) -> None:
    MailedToken.objects.filter(
        purpose=Purpose.INVITATION, subject=invitation.pk, used_at=None
    ).update(used_at=timezone.now())


def _hold_company(invitation: Invitation) -> None:
    """Before all else, as whoever deletes a company does: else each of the two could wait for the other."""
    rows = Company.objects.select_for_update(no_key=True)
    if rows.filter(pk=invitation.company_id).first() is None:
        raise useless(Purpose.INVITATION)


def _locked(invitation: Invitation) -> Invitation:
    rows = Invitation.objects.for_company(invitation.company_id)
    locked: Invitation | None = (
        (rows.select_related("company").select_for_update(of=("self",)))
        .filter(pk=invitation.pk)
        .first()
    )
    if locked is None:
        raise useless(Purpose.INVITATION)
    return locked


def _told(kind: str, invitation: Invitation, **more: Any) -> Event:
    data = {"invitation_id": invitation.pk, "role": invitation.role, **more}
    return Event(kind, invitation.company_id, data)
