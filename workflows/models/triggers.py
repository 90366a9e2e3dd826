from __future__ import annotations

from django.conf import settings
from django.db import models

from craft.models import BaseModel
from workflows.models.workflows import Workflow


class TriggerSecret(BaseModel):
    """What a caller without a key proves itself by. Sealed; the one before works on for a while."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.OneToOneField(
        Workflow, on_delete=models.CASCADE, related_name="trigger_secret"
    )
    sealed = models.TextField()
    hint = models.CharField(max_length=4)
    previous_sealed = models.TextField(blank=True, default="")
    previous_expires_at = models.DateTimeField(null=True)
    rotated_at = models.DateTimeField()
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    def __str__(self) -> str:
        return f"…{self.hint} of {self.workflow_id}"
