"""Who there is: sign-up, passwords, addresses, and leaving."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import events
from accounts.models import (
    Company,
    MailedToken,
    Membership,
    Purpose,
    Role,
    User,
    normalise_email,
)
from accounts.services.guesses import check_own_password, count_registration
from accounts.services.mail import (
    end_tokens,
    find_token,
    make_token,
    queue_asked_mail,
    queue_mail,
    spend_token,
    useless,
)
from accounts.services.privacy import erase_person, remove_company
from accounts.services.sessions import (
    SignIn,
    end_all_sessions,
    open_session,
)
from craft.events import Event, acting, current_actor, publish
from craft.exceptions import ConflictError, InvalidError, NotFoundError

# --- Sign-up ---


def register(
    *,
    email: str,
    password: str,
    full_name: str,
    company_name: str,
) -> SignIn:
    """A new person and their new, empty company, of which they are an admin and the owner."""
    count_registration()
    user = User(email=normalise_email(email), full_name=full_name)
    check_password_strength(password, user)
    user.set_password(password)  # slow by design: not inside the transaction
    with transaction.atomic():
        membership = _create_company(user, company_name)
        send_verification(user)
        return open_session(membership)


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
    made = {"company_id": company.pk, "name": company.name}
    with acting(replace(current_actor.get(), user_id=user.pk)):
        publish(Event(events.COMPANY_CREATED, company.pk, made))
        publish(Event(events.USER_REGISTERED, company.pk, {"user_id": user.pk}))
    return membership


def switch_company(user: User, company_id: int) -> SignIn:
    """Raises NotFoundError for a company that they don't belong to, as for one that never was."""
    own = Membership.objects.select_related("user", "company").filter(user=user)
    membership = own.filter(company=company_id).first()
    if membership is None:
        raise NotFoundError("You belong to no such company.")
    return open_session(membership)


@transaction.atomic
def update_profile(user: User, *, company: Company, **values: Any) -> User:
    """`company` is where the person was when they did it, and where it is told."""
    user = User.objects.select_for_update().get(pk=user.pk)
    changes = user.assign(values)
    if changes:
        user.save(update_fields=[*changes, "updated_at"])
        # What was told can't be taken back when the person goes: so the names of the fields, and nothing that stands in them.
        data = {"user_id": user.pk, "fields": sorted(changes)}
        publish(Event(events.USER_UPDATED, company.pk, data))
    return user


@transaction.atomic
def update_person(user: User, **values: Any) -> User:
    """An operator's to do: told in each of the person's companies, with what was before and after, which goes from the logs when the person does."""
    user = User.objects.select_for_update().get(pk=user.pk)
    if "email" in values:
        values["email"] = normalise_email(values["email"])
    changes = user.assign(values)
    if changes:
        try:
            with transaction.atomic():
                user.save(update_fields=[*changes, "updated_at"])
        except IntegrityError:
            raise _taken("email") from None
        tell(user, events.USER_UPDATED, {"changes": changes})
    return user


# --- The address ---


def send_verification(user: User) -> None:
    token = make_token(purpose=Purpose.VERIFY_EMAIL, email=user.email, user=user)
    queue_mail(to=user.email, template="verify_email", context={}, token=token)


def resend_verification(*, email: str) -> None:
    """Says nothing, and takes no longer, whether or not anybody has this address."""
    queue_asked_mail(email=email, purpose=Purpose.VERIFY_EMAIL)


@transaction.atomic
def verify_email(*, token: str) -> None:
    """Raises UselessTokenError."""
    spent = spend_token(token, Purpose.VERIFY_EMAIL)
    user = _owner_of(spent)
    _mark_verified(user)


def request_email_change(*, user: User, new_email: str, password: str) -> None:
    """Mails a link to the new address, and a warning to the old one. Nothing changes before the link is followed."""
    check_own_password(user, password)
    email = normalise_email(new_email)
    if User.objects.filter(email=email).exists():
        raise _taken("new_email")
    with transaction.atomic():
        end_tokens(user, Purpose.CHANGE_EMAIL)
        token = make_token(purpose=Purpose.CHANGE_EMAIL, email=email, user=user)
        queue_mail(to=email, template="change_email", context={}, token=token)
        queue_mail(
            to=user.email,
            template="email_change_requested",
            context={"new_email": email},
        )
        tell(user, events.USER_EMAIL_CHANGE_REQUESTED, {"new_email": email})


@transaction.atomic
def change_email(*, token: str) -> None:
    """Raises UselessTokenError, or ConflictError where somebody else has taken the address since."""
    spent = spend_token(token, Purpose.CHANGE_EMAIL)
    user = spent.user
    if user is None or not user.is_active:
        raise useless(Purpose.CHANGE_EMAIL)
    old, user.email, user.is_verified = user.email, spent.email, True
    try:
        with transaction.atomic():
            user.save(update_fields=["email", "is_verified", "updated_at"])
    except IntegrityError:
        raise _taken("token") from None
    end_tokens(user, Purpose.RESET_PASSWORD, Purpose.VERIFY_EMAIL)
    queue_mail(to=old, template="email_changed", context={"new_email": user.email})
    changes = {"email": [old, user.email]}
    tell(user, events.USER_EMAIL_CHANGED, {"changes": changes})


def _taken(field: str) -> ConflictError:
    return ConflictError(
        "Another account has this e-mail.", details={field: "Already registered."}
    )


def _owner_of(token: MailedToken) -> User:
    """Who holds a token that was mailed to the address that they have now."""
    user = token.user
    if user is None or not user.is_active or user.email != token.email:
        raise useless(Purpose(token.purpose))
    return user


def _mark_verified(user: User) -> None:
    if user.is_verified:
        return
    user.is_verified = True
    user.save(update_fields=["is_verified", "updated_at"])
    tell(user, events.USER_VERIFIED, {"changes": {"is_verified": [False, True]}})


# --- The password ---


def check_password_strength(
    password: str, user: User, *, field: str = "password"
) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidError(
            "The password is too weak.", details={field: " ".join(error.messages)}
        ) from None


def request_password_reset(*, email: str) -> None:
    """Says nothing, and takes no longer, whether or not anybody has this address."""
    queue_asked_mail(email=email, purpose=Purpose.RESET_PASSWORD)


def reset_password(*, token: str, password: str) -> None:
    """A new password for whoever reads that mailbox. Ends all sessions, and all other links. Raises UselessTokenError."""
    user = _owner_of(find_token(token, Purpose.RESET_PASSWORD))
    check_password_strength(password, user)
    user.set_password(password)  # slow by design: not inside the transaction
    with transaction.atomic():
        spend_token(token, Purpose.RESET_PASSWORD)
        _mark_verified(user)
        _save_password(user)
        end_all_sessions(user)


def change_password(
    *, user: User, current_password: str, new_password: str, session_id: str | None
) -> None:
    """The session that asks for it stays; all others end."""
    check_own_password(user, current_password, field="current_password")
    check_password_strength(new_password, user, field="new_password")
    user.set_password(new_password)  # slow by design: not inside the transaction
    with transaction.atomic():
        _save_password(user)
        end_all_sessions(user, but=session_id)


def replace_password(user: User, password: str | None) -> None:
    """An operator's to do, for somebody who can't; None leaves them without one. Ends all their sessions."""
    user.set_password(password)  # slow by design: not inside a transaction
    with transaction.atomic():
        _save_password(user)
        end_all_sessions(user)


def _save_password(user: User) -> None:
    user.save(update_fields=["password", "updated_at"])
    end_tokens(user, Purpose.RESET_PASSWORD, Purpose.CHANGE_EMAIL)
    queue_mail(to=user.email, template="password_changed", context={})
    tell(user, events.USER_PASSWORD_CHANGED, {})


def tell(user: User, event_type: str, data: dict[str, Any]) -> None:
    """In each of their companies: each has its own record of what its people did."""
    actor = current_actor.get()
    with acting(replace(actor, user_id=actor.user_id or user.pk)):
        for company_id in user.memberships.values_list("company_id", flat=True):
            publish(Event(event_type, company_id, {"user_id": user.pk, **data}))


# --- Leaving ---


def delete_account(*, user: User, password: str) -> None:
    """Takes the person, their memberships, keys and sessions, and the companies that are theirs alone. Who owns one that has other members hands it over
    first."""
    check_own_password(user, password)
    with transaction.atomic():
        # Nobody hands them a company meanwhile, which would be left without an owner.
        list(Membership.objects.select_for_update().filter(user=user).order_by("pk"))
        owned = Company.objects.select_for_update().filter(
            memberships__user=user, memberships__is_owner=True
        )
        for company in owned:
            if company.memberships.exclude(user=user).exists():
                raise ConflictError(
                    f"You own {company.name}, which has other members. Hand it over to one of them first, or remove them."
                )
        email = user.email
        tell(user, events.USER_DELETED, {})
        for company in owned:
            remove_company(company)
        erase_person(user)
        queue_mail(to=email, template="account_deleted", context={})
