from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.utils import timezone

from accounts.models.companies import Membership
from accounts.models.people import User
from craft.fields import IdField
from craft.models import BaseModel


class SessionQuerySet(models.QuerySet["Session"]):
    def live(self) -> SessionQuerySet:
        return self.filter(ended_at=None, expires_at__gt=timezone.now())


class Session(BaseModel):
    """A device that somebody signed in on. All its refresh tokens and access tokens end with it."""

    id = IdField("sess")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    membership = models.ForeignKey(
        Membership, on_delete=models.CASCADE, related_name="sessions"
    )
    user_agent = models.CharField(max_length=300, blank=True)
    address = models.CharField(max_length=64, blank=True)
    last_seen_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = SessionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["user", "address"], name="session_known_address"),
            models.Index(fields=["expires_at"], name="session_expiry"),
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.address or 'an unknown address'}"

    @property
    def is_live(self) -> bool:
        return self.ended_at is None and self.expires_at > timezone.now()

    def extend(self, address: str) -> None:
        """It was seen just now."""
        now = timezone.now()
        self.last_seen_at, self.expires_at = now, self.expiry()
        self.address = address or self.address
        self.save(update_fields=["last_seen_at", "expires_at", "address", "updated_at"])

    @classmethod
    def expiry(cls) -> datetime:
        return timezone.now() + settings.REFRESH_TOKEN_LIFETIME


class RefreshToken(BaseModel):
    """One link of a session's line of refresh tokens. Each is spent once, for its successor."""

    id = models.BigAutoField(primary_key=True)
    session = models.ForeignKey(
        Session, on_delete=models.CASCADE, related_name="refresh_tokens"
    )
    digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"of {self.session}"

    def spend(self) -> bool:
        """Whether it was still to be had: of many at once, one gets it.

        Asks this table alone: in a condition on another one PostgreSQL would not look again, after it waited, whether the token has been used.
        """
        unspent = RefreshToken.objects.filter(pk=self.pk, used_at=None)
        return unspent.update(used_at=timezone.now()) == 1
