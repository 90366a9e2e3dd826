from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models.companies import Role
from craft.fields import IdField
from craft.models import CompanyModel


class Invitation(CompanyModel):
    """Somebody who was asked to join a company, by mail. What the mail carries is a `MailedToken` with this row's id as its subject."""

    id = IdField("invite")
    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    sent_at = models.DateTimeField(editable=False)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)

    class Meta(CompanyModel.Meta):
        verbose_name = "invitation"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "email"],
                condition=models.Q(accepted_at=None),
                name="one_open_invitation_per_address",
            )
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.company}"

    @property
    def status(self) -> str:
        if self.accepted_at:
            return "accepted"
        return "pending" if self.expires_at > timezone.now() else "expired"
