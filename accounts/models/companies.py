from __future__ import annotations

from django.db import models

from accounts.models.access import AccessModel, AccessQuerySet
from accounts.models.people import User
from craft.models import BaseModel


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"


OWNER = "owner"
LEVELS: dict[str, frozenset[str]] = {
    Role.VIEWER: frozenset({"person", "read"}),
    Role.MEMBER: frozenset({"person", "read", "write"}),
    Role.ADMIN: frozenset({"person", "read", "write", "admin"}),
    OWNER: frozenset({"person", "read", "write", "admin", "owner"}),
}
"""What each role, and the owner, may do: the one table that every call is held against (`docs/roles.md` shows it).

`read`, `write` and `admin` are what a key's permissions say too. No key ever has the other two: `person` is what somebody does with their own account,
`owner` what ends a company or hands it over.
"""


class CompanyRows(AccessQuerySet["Company"]):
    def company_ids(self) -> set[int]:
        return {live or own for own, live in self.values_list("pk", "sandbox_of_id")}


class Company(AccessModel, BaseModel):
    """A tenant. Its id is an integer, as the API documents it. Its sandbox, in which test keys work, is a company of its own."""

    name = models.CharField(max_length=200)
    industry = models.CharField(max_length=60, blank=True, default="")
    website = models.URLField(max_length=300, blank=True, default="")
    phone = models.CharField(max_length=40, blank=True, default="")
    address = models.CharField(max_length=500, blank=True, default="")
    country = models.CharField(
        max_length=2, blank=True, default="", help_text="Two letters, ISO 3166-1: DE."
    )
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="As the IANA names it: Europe/Berlin."
    )
    sandbox_of = models.OneToOneField(
        "self",
        null=True,
        on_delete=models.CASCADE,
        related_name="sandbox",
        editable=False,
    )
    copied_at = models.DateTimeField(
        null=True, editable=False, help_text="Of a sandbox: when it was filled."
    )

    objects = CompanyRows.as_manager()

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name

    def company_ids(self) -> set[int]:
        return {self.sandbox_of_id or self.pk}

    @property
    def is_sandbox(self) -> bool:
        return self.sandbox_of_id is not None

    @property
    def filled_sandbox(self) -> Company | None:
        """Its sandbox, once it has been filled."""
        sandbox: Company | None = getattr(self, "sandbox", None)
        return sandbox if sandbox is not None and sandbox.copied_at else None


class MembershipQuerySet(AccessQuerySet["Membership"]):
    def company_ids(self) -> set[int]:
        return set(self.values_list("company_id", flat=True))


class Membership(AccessModel, BaseModel):
    """A person's place in a company."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    company = models.ForeignKey(
        Company, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    is_owner = models.BooleanField(default=False)

    objects = MembershipQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "company"], name="one_membership_per_company"
            ),
            models.UniqueConstraint(
                fields=["company"],
                condition=models.Q(is_owner=True),
                name="one_owner_per_company",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.company} ({self.role})"

    def company_ids(self) -> set[int]:
        return {self.company_id}

    @property
    def levels(self) -> frozenset[str]:
        """The owner's mark adds to an admin's role, and to no other."""
        is_owning = self.is_owner and self.role == Role.ADMIN
        return LEVELS[OWNER if is_owning else self.role]
