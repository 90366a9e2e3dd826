from __future__ import annotations

from django.db import models

from craft.models import CompanyModel
from workflows.models.executions import Execution


class ExecutionLabel(CompanyModel):
    """One of an execution's labels, as an index: `Execution.labels` says the same and is what is shown."""

    id = models.BigAutoField(primary_key=True)
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    key = models.CharField(max_length=40)
    value = models.CharField(max_length=200)

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "key"], name="one_label_per_key"
            )
        ]
        indexes = [
            models.Index(
                fields=["company", "key", "value", "-execution"],
                name="executions_with_label",
            )
        ]

    def __str__(self) -> str:
        return f"{self.key}:{self.value}"
