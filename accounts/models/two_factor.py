from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.utils import timezone

from accounts.models.people import User
from craft.models import BaseModel
from craft.vault import seal, unseal

SET_UP_TIME = timedelta(minutes=30)
"""How long a code may take that confirms a set-up."""


class TwoFactorQuerySet(models.QuerySet["TwoFactor"]):
    def enabled(self) -> TwoFactorQuerySet:
        return self.exclude(enabled_at=None)

    def given_up(self) -> TwoFactorQuerySet:
        return self.filter(enabled_at=None, begun_at__lt=timezone.now() - SET_UP_TIME)


class TwoFactor(BaseModel):
    """What somebody signs in with beside their password: an app that makes codes out of a secret which it shares with us. It counts once a code of it has
    confirmed it."""

    user = models.OneToOneField(
        User, primary_key=True, on_delete=models.CASCADE, related_name="two_factor"
    )
    sealed_secret = models.CharField(max_length=200)
    begun_at = models.DateTimeField()
    enabled_at = models.DateTimeField(null=True)
    last_step = models.BigIntegerField(
        default=0,
        help_text="The step of time whose code was accepted last: it is not accepted again, and none before it.",
    )

    objects = TwoFactorQuerySet.as_manager()

    class Meta:
        verbose_name = "two-factor sign-in"

    def __str__(self) -> str:
        return f"of {self.user}"

    @property
    def is_pending(self) -> bool:
        is_in_time = self.begun_at > timezone.now() - SET_UP_TIME
        return self.enabled_at is None and is_in_time

    @property
    def secret(self) -> str:
        """Raises UnsealError."""
        return unseal(self.sealed_secret, context=self._context)

    @secret.setter
    def secret(self, text: str) -> None:
        self.sealed_secret = seal(text, context=self._context)

    @property
    def _context(self) -> str:
        return f"totp:{self.user_id}"

    def spend(self, step: int) -> bool:
        """Whether the code of this step was still to be had: of many at once, one gets it."""
        unspent = TwoFactor.objects.filter(
            pk=self.pk, sealed_secret=self.sealed_secret, last_step__lt=step
        )
        return unspent.update(last_step=step) == 1


class RecoveryCode(BaseModel):
    """Signs in where the app can't, once. Its text is shown when it is made, and nowhere at rest."""

    id = models.BigAutoField(primary_key=True)
    two_factor = models.ForeignKey(
        TwoFactor, on_delete=models.CASCADE, related_name="recovery_codes"
    )
    digest = models.CharField(max_length=64, unique=True)
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return str(self.two_factor)
