"""Who there is: sign-up and passwords."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import events
from accounts.models import Company, Membership, Role, User, normalise_email
from accounts.services.sessions import Session, open_session
from craft.events import Event, acting, current_actor, publish
from craft.exceptions import ConflictError, InvalidError, NotFoundError


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
    made = {"company_id": company.pk, "name": company.name}
    with acting(replace(current_actor.get(), user_id=user.pk)):
        publish(Event(events.COMPANY_CREATED, company.pk, made))
        publish(Event(events.USER_REGISTERED, company.pk, {"user_id": user.pk}))
    return membership


def switch_company(user: User, company_id: int) -> Session:
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


def check_password_strength(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidError(
            "The password is too weak.", details={"password": " ".join(error.messages)}
        ) from None
