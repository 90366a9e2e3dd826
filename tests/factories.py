"""One function per model, with keyword overrides."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from accounts.models import Company, Membership, Role, User
from accounts.services import keys
from accounts.services.sessions import open_session
from billing import services as billing
from workflows.models import Workflow
from workflows.services.workflows import create_workflow

_numbers = count(1)
PASSWORD = "correct horse battery staple"


@dataclass
class Person:
    """Somebody of the cast: a user in a company."""

    membership: Membership

    @property
    def user(self) -> User:
        return self.membership.user

    @property
    def company(self) -> Company:
        return self.membership.company


def make_company(**overrides: Any) -> Company:
    company = Company.objects.create(
        **{"name": f"Company {next(_numbers)}", **overrides}
    )
    billing.set_plan(
        company=company, slug="agents-enterprise"
    )  # no limits, unless a test is about them
    return company


def make_person(
    *, company: Company | None = None, role: str = Role.ADMIN, **overrides: Any
) -> Person:
    fields = {
        "email": f"person{next(_numbers)}@example.com",
        "full_name": "Some One",
        **overrides,
    }
    user = User(**fields)
    user.set_unusable_password()
    user.save()
    company = company or make_company()
    is_owner = not company.memberships.exists()
    return Person(
        Membership.objects.create(
            user=user, company=company, role=role, is_owner=is_owner
        )
    )


def make_key(person: Person, *permissions: str, look: str = "cv", **fields: Any) -> str:
    new = keys.create_api_key(
        membership=person.membership,
        name=f"Key {next(_numbers)}",
        permissions=list(permissions or ("read", "write", "admin")),
        look=look,
        by=keys.Grantor(frozenset({"read", "write", "admin"})),
        **fields,
    )
    return new.secret


def make_token(person: Person) -> str:
    """What a person has who is signed in."""
    return open_session(person.membership).token


def make_workflow(
    person: Person, *, status: str | None = "published", **fields: Any
) -> Workflow:
    """A published graph, or, with `steps`, a pipeline."""
    if "steps" in fields:
        status = None
    made = {"name": f"Workflow {next(_numbers)}", "status": status, **fields}
    return create_workflow(company=person.company, user=person.user, **made)
