from __future__ import annotations

from django.db import models

from workflows.models.executions import Execution


class Payload(models.Model):
    """An input or output that is too large to stand in its row: of a step, or, where `node_id` is empty, of the execution. The row's `apart` names it."""

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    node_id = models.CharField(max_length=64, blank=True, default="")
    iteration = models.CharField(max_length=100, blank=True, default="")
    field = models.CharField(max_length=10)
    body = models.TextField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "node_id", "iteration", "field"],
                name="one_payload_per_field",
            )
        ]

    def __str__(self) -> str:
        return f"{self.field} of {self.node_id or 'the execution'}"
