from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

from accounts.models.companies import Membership
from craft.fields import IdField
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager


class ApiKeyQuerySet(CompanyQuerySet["ApiKey"]):
    pass


class ApiKey(CompanyModel):
    """A key for programs. It acts for the person who made it, within the permissions that it was given. Only a keyed hash of it is kept."""

    id = IdField("key")
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, related_name="api_keys", editable=False
    )
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    permissions = models.JSONField(default=list)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = GuardedManager.from_queryset(ApiKeyQuerySet)()

    class Meta(CompanyModel.Meta):
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…{self.last_four})"

    def touch(self) -> None:
        """Note that the key is in use: at most a write a minute, so `last_used` is at most a minute late."""
        now = timezone.now()
        if self.last_used_at is None or now - self.last_used_at > timedelta(minutes=1):
            ApiKey.unscoped.filter(pk=self.pk).update(last_used_at=now)
