"""What an execution waits for: signals by name, and people who approve."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from craft.fields import IdField
from craft.models import BaseModel, CompanyModel, CompanyQuerySet, GuardedManager
from workflows.models.executions import Execution


class Signal(CompanyModel):
    """Something that was sent to an execution by a name. It is consumed once, by the step that waits for it."""

    id = IdField("sig")
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="signals", editable=False
    )
    name = models.CharField(max_length=200)
    data = models.JSONField(null=True)
    sent_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    consumed_at = models.DateTimeField(null=True, editable=False)

    class Meta(CompanyModel.Meta):
        indexes = [
            models.Index(
                fields=["execution", "id"],
                name="signal_unconsumed",
                condition=models.Q(consumed_at=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.execution_id}"


class ApprovalStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    EXPIRED = "expired", "Expired"
    CANCELLED = "cancelled", "Cancelled"


class ApprovalQuerySet(CompanyQuerySet["Approval"]):
    def open(self) -> ApprovalQuerySet:
        return self.filter(status=ApprovalStatus.PENDING).exclude(
            expires_at__lte=timezone.now()
        )


class Approval(CompanyModel):
    """A question to people, which an execution waits for the answer to."""

    id = IdField("appr")
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="approvals", editable=False
    )
    node_id = models.CharField(max_length=64, editable=False)
    slot = models.CharField(max_length=200, editable=False)
    title = models.CharField(max_length=200)
    message = models.TextField(blank=True, default="", max_length=10_000)
    fields = models.JSONField(default=list)
    needed = models.PositiveSmallIntegerField(default=1)
    people = models.JSONField(default=list)
    roles = models.JSONField(default=list)
    excludes_starter = models.BooleanField(default=True)
    status = models.CharField(
        max_length=10, choices=ApprovalStatus.choices, default=ApprovalStatus.PENDING
    )
    expires_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)

    objects = GuardedManager.from_queryset(ApprovalQuerySet)()

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "slot"], name="one_approval_per_step"
            )
        ]
        indexes = [models.Index(fields=["company", "-id"], name="approval_of_company")]

    def __str__(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        return self.status == ApprovalStatus.PENDING and not self.has_expired

    @property
    def has_expired(self) -> bool:
        return self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def shown_status(self) -> str:
        """It expires by the clock; that it has is written down when its execution goes on."""
        is_late = self.status == ApprovalStatus.PENDING and self.has_expired
        return ApprovalStatus.EXPIRED if is_late else self.status


class Decision(BaseModel):
    """What one person answered."""

    id = models.BigAutoField(primary_key=True)
    approval = models.ForeignKey(
        Approval, on_delete=models.CASCADE, related_name="decisions"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    approves = models.BooleanField()
    comment = models.TextField(blank=True, default="", max_length=5_000)
    data = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["approval", "user"], name="one_decision_per_person"
            )
        ]

    def __str__(self) -> str:
        return f"{'yes' if self.approves else 'no'} to {self.approval_id}"
