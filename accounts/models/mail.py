from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from accounts.models.people import User
from craft.fields import IdField
from craft.leases import LeasedModel, Status, as_lease_fields, lease_indexes
from craft.models import BaseModel


class Purpose(models.TextChoices):
    """What a mailed token is good for."""

    VERIFY_EMAIL = "verify_email", "Verify an address"
    RESET_PASSWORD = "reset_password", "Reset a password"
    CHANGE_EMAIL = "change_email", "Change an address"
    INVITATION = "invitation", "Accept an invitation"
    APPROVAL = "approval", "Answer what a workflow asks"


class MailedToken(BaseModel):
    """What a link in a mail proves: that who follows it reads that address. Good once, and for a while.

    Its text is nowhere at rest: it is the row's id with a keyed hash of it (HMAC-SHA256 under the installation's secret), made anew when the mail is
    rendered.
    """

    id = IdField("mt")
    purpose = models.CharField(max_length=20, choices=Purpose.choices)
    user = models.ForeignKey(
        User, null=True, on_delete=models.CASCADE, related_name="mailed_tokens"
    )
    email = models.EmailField(
        max_length=254, help_text="The address that it was sent to."
    )
    subject = models.CharField(
        max_length=40,
        blank=True,
        help_text="The id of what it is about, where that is no person: an invitation.",
    )
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="mailed_token_expiry")]

    def __str__(self) -> str:
        return f"{self.get_purpose_display()}: {self.email}"

    @property
    def text(self) -> str:
        return f"{self.pk.removeprefix('mt_')}.{self._proof}"

    @property
    def _proof(self) -> str:
        return salted_hmac(
            "accounts.mailed_token", f"{self.purpose}:{self.pk}", algorithm="sha256"
        ).hexdigest()

    @property
    def is_good(self) -> bool:
        return self.used_at is None and self.expires_at > timezone.now()

    @classmethod
    def find(cls, text: str, purpose: str) -> Self | None:
        """The token with this text, if it is for that purpose and still good."""
        identifier, _, proof = text.partition(".")
        if not identifier.isalnum() or not proof.isascii():
            return None
        token = cls.objects.filter(pk=f"mt_{identifier}", purpose=purpose).first()
        if token is None or not token.is_good:
            return None
        return token if constant_time_compare(token._proof, proof) else None

    def spend(self) -> bool:
        """Whether it was still to be had: of many at once, one gets it."""
        now = timezone.now()
        good = MailedToken.objects.filter(pk=self.pk, used_at=None, expires_at__gt=now)
        return good.update(used_at=now) == 1


class Mail(LeasedModel, BaseModel):
    """A mail that is to leave, written in the transaction of the change that it tells of. A worker sends it."""

    id = IdField("mail")
    to = models.EmailField(max_length=254)
    template = models.CharField(max_length=40)
    context = models.JSONField(default=dict)
    asks_for = models.CharField(
        max_length=20,
        blank=True,
        choices=Purpose.choices,
        help_text="Asked for by somebody who only named the address: whether anybody has it is looked up when it is sent, so that the asker can't tell.",
    )
    token = models.ForeignKey(
        MailedToken, null=True, on_delete=models.CASCADE, related_name="mails"
    )
    refusals = models.PositiveSmallIntegerField(
        default=0, help_text="How often the mail server could not be had."
    )
    sent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            *lease_indexes("mail"),
            models.Index(fields=["to", "created_at"], name="mail_to"),
        ]

    def __str__(self) -> str:
        return f"{self.template} to {self.to}"

    @property
    def is_expired(self) -> bool:
        return self.token is not None and not self.token.is_good

    def finish(self, status: Status, **changes: object) -> bool:
        """Let go of the lease. False if another worker has taken it over since."""
        held = Mail.objects.filter(
            pk=self.pk, status=Status.RUNNING, lease_epoch=self.lease_epoch
        )
        return held.update(**as_lease_fields(status=status, **changes)) == 1

    def postpone(self, until: datetime, error: str) -> bool:
        return self.finish(
            Status.WAITING,
            next_attempt_at=until,
            refusals=self.refusals + 1,
            last_error=error,
        )
