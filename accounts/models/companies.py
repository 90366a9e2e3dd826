from __future__ import annotations

from django.db import models

from accounts.models.access import AccessModel, AccessQuerySet
from accounts.models.people import User
from craft.models import BaseModel


class Role(models.TextChoices):
    ADMIN = "admin", "Admin"
    MEMBER = "member", "Member"
    VIEWER = "viewer", "Viewer"

    @property
    def levels(self) -> frozenset[str]:
        """What the role may do: the same three words that a key's permissions use."""
        return LEVELS[self]


LEVELS = {
    Role.VIEWER: frozenset({"read"}),
    Role.MEMBER: frozenset({"read", "write"}),
    Role.ADMIN: frozenset({"read", "write", "admin"}),
}


class CompanyRows(AccessQuerySet["Company"]):
    def company_ids(self) -> set[int]:
        return set(self.values_list("pk", flat=True))


class Company(AccessModel, BaseModel):
    """A tenant. Its id is an integer, as the API documents it."""

    name = models.CharField(max_length=200)

    objects = CompanyRows.as_manager()

    class Meta:
        verbose_name_plural = "companies"

    def __str__(self) -> str:
        return self.name

    def company_ids(self) -> set[int]:
        return {self.pk}


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
