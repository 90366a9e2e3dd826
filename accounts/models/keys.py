from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.utils import timezone

from accounts.models.access import AccessModel, AccessQuerySet
from accounts.models.companies import Membership
from craft.fields import IdField
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager


class KeyMode(models.TextChoices):
    LIVE = "live", "Live"
    TEST = "test", "Test"


class ApiKeyRows(AccessQuerySet["ApiKey"]):
    def company_ids(self) -> set[int]:
        return set(self.values_list("company_id", flat=True))


class ApiKeyQuerySet(CompanyQuerySet["ApiKey"], ApiKeyRows):  # type: ignore[override]  # the plugin gives each base its own as_manager
    pass


class ApiKey(AccessModel, CompanyModel):
    """A key for programs. It acts for the person who made it, within the permissions that it was given. Only a keyed hash of it is kept."""

    id = IdField("key")
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, related_name="api_keys", editable=False
    )
    name = models.CharField(max_length=100)
    mode = models.CharField(
        max_length=4, choices=KeyMode.choices, default=KeyMode.LIVE, editable=False
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    prefix = models.CharField(max_length=16, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    previous_digest = models.CharField(
        max_length=64, unique=True, null=True, editable=False
    )
    previous_expires_at = models.DateTimeField(null=True, editable=False)
    permissions: Any = models.JSONField(default=list)
    allowed_addresses: Any = models.JSONField(default=list, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = GuardedManager.from_queryset(ApiKeyQuerySet)()
    unscoped: ClassVar[Any] = models.Manager.from_queryset(ApiKeyRows)()

    unheeded = frozenset({"last_used_at"})

    class Meta(CompanyModel.Meta):
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…{self.last_four})"

    def company_ids(self) -> set[int]:
        return {self.company_id}

    @property
    def is_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def previous_secret_expires_at(self) -> datetime | None:
        """Until when the secret from before the last rotation still works; None once it does not."""
        until = self.previous_expires_at
        return until if until is not None and until > timezone.now() else None

    def opens_with(self, digest: str) -> bool:
        """Whether this is its secret, or the one before it within the overlap."""
        return digest == self.digest or (
            digest == self.previous_digest
            and self.previous_secret_expires_at is not None
        )

    def admits(self, address: str) -> bool:
        """Whether it may be used from this address."""
        if not self.allowed_addresses:
            return True
        try:
            caller = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = caller.ipv4_mapped if caller.version == 6 else None
        return any(
            (mapped or caller) in ipaddress.ip_network(allowed)
            for allowed in self.allowed_addresses
        )
