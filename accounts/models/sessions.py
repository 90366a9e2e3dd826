from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models.companies import Membership
from craft.models import BaseModel


class RefreshToken(BaseModel):
    """One link of a session's line of refresh tokens. Each is spent once; its successor belongs to the same family."""

    id = models.BigAutoField(primary_key=True)
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, related_name="refresh_tokens"
    )
    family = models.CharField(max_length=40, db_index=True)
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.family} of {self.membership.user}"

    def spend(self) -> bool:
        """Whether it was still to be had: of many at once, one gets it."""
        unspent = RefreshToken.objects.filter(pk=self.pk, used_at=None, ended_at=None)
        return unspent.update(used_at=timezone.now()) == 1

    @classmethod
    def expiry(cls) -> Any:
        return timezone.now() + settings.REFRESH_TOKEN_LIFETIME
