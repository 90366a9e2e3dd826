from __future__ import annotations

from django.db import models

from craft.models import BaseModel
from workflows.models.workflows import Workflow


class Schedule(BaseModel):
    """When a workflow fires by itself. `next_at` is the due time of the next execution, which carries it in its idempotency key."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.OneToOneField(
        Workflow, on_delete=models.CASCADE, related_name="schedule"
    )
    cron = models.CharField(max_length=100)
    timezone = models.CharField(max_length=60, default="UTC")
    next_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.cron} {self.timezone}"
