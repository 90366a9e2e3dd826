"""The first operator of an installation; the others are made in the console."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from accounts.services import people
from accounts.services.sessions import SignIn
from craft import first_operator
from craft.exceptions import ConflictError, DomainError

NOT_THE_TOKEN = "This is not the token that was printed."  # noqa: S105  # a sentence


class WrongSetupTokenError(DomainError):
    code = "wrong_setup_token"
    status_code = 403


def create_first_operator(
    *, token: str, email: str, password: str, full_name: str, company_name: str
) -> SignIn:
    """A person with a company of their own, who may open the console. This spends the token; a refusal gives it back."""
    if first_operator.has_operator():
        raise ConflictError("This installation has an operator. Sign in instead.")
    if not first_operator.take_token(token):
        raise WrongSetupTokenError(NOT_THE_TOKEN, details={"token": NOT_THE_TOKEN})
    try:
        with (
            transaction.atomic()
        ):  # also around the slow hash: once in an installation's life
            session = people.register(
                email=email,
                password=password,
                full_name=full_name,
                company_name=company_name,
            )
            _promote(session.membership.user)
    except BaseException:
        first_operator.give_back_token(token)
        raise
    return session


def _promote(user: User) -> None:
    user.is_staff = user.is_superuser = user.is_verified = True
    user.save(update_fields=["is_staff", "is_superuser", "is_verified"])
