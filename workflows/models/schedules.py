from __future__ import annotations

from django.conf import settings
from django.db import models

from craft.models import BaseModel
from workflows.models.executions import Execution
from workflows.models.workflows import Workflow

YEAR_SECONDS = 366 * 86_400


class Misfire(models.TextChoices):
    """What becomes of due times at which nothing could fire."""

    SKIP = "skip", "Skip"
    LAST = "last", "Last"
    ALL = "all", "All"


class Overlap(models.TextChoices):
    """What becomes of a due time while the execution of the one before still runs."""

    ALLOW = "allow", "Allow"
    SKIP = "skip", "Skip"
    QUEUE = "queue", "Queue"
    CANCEL = "cancel", "Cancel"


class Schedule(BaseModel):
    """When a workflow fires by itself, kept exactly while it is live. `next_at` is the first due time that is not dealt with yet; none, when nothing is to come.

    A firing is an execution that carries its due time in its idempotency key.
    """

    id = models.BigAutoField(primary_key=True)
    workflow = models.OneToOneField(
        Workflow, on_delete=models.CASCADE, related_name="schedule"
    )
    cron = models.CharField(max_length=100, blank=True, default="")
    every_seconds = models.PositiveIntegerField(default=0)
    timezone = models.CharField(max_length=60, default="UTC")
    start_at = models.DateTimeField(null=True)
    end_at = models.DateTimeField(null=True)
    jitter_seconds = models.PositiveIntegerField(default=0)
    misfire = models.CharField(
        max_length=4, choices=Misfire.choices, default=Misfire.LAST
    )
    catch_up_seconds = models.PositiveIntegerField(default=YEAR_SECONDS)
    overlap = models.CharField(
        max_length=6, choices=Overlap.choices, default=Overlap.ALLOW
    )

    since = models.DateTimeField(null=True)
    """From when on it has these due times."""
    next_at = models.DateTimeField(null=True)
    fires_at = models.DateTimeField(null=True)
    """When `next_at` is dealt with: later by its jitter."""
    handled_at = models.DateTimeField(null=True)
    """What the clock said when it was last dealt with. A clock that says less was set back."""
    last_execution = models.ForeignKey(
        Execution, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    skipped_count = models.PositiveBigIntegerField(default=0)
    """Due times that gave way to an execution that still ran."""
    paused_at = models.DateTimeField(null=True)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["fires_at"],
                name="schedule_due",
                condition=models.Q(paused_at=None),
            ),
            models.Index(fields=["handled_at"], name="schedule_handled"),
        ]

    def __str__(self) -> str:
        return (
            f"{self.cron} {self.timezone}"
            if self.cron
            else f"every {self.every_seconds} s"
        )


class Firing(BaseModel):
    """A due time that waits until the execution before it is over."""

    id = models.BigAutoField(primary_key=True)
    schedule = models.ForeignKey(
        Schedule, on_delete=models.CASCADE, related_name="firings"
    )
    due_at = models.DateTimeField()
    is_backfill = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "due_at"], name="one_firing_per_due_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} at {self.due_at}"
