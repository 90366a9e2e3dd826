from __future__ import annotations

from django.conf import settings
from django.db import models

from craft.fields import IdField
from craft.models import CompanyModel
from workflows.models.workflows import Workflow


class WorkflowTest(CompanyModel):
    """An input, and what a workflow is expected to make of it. Kept with the workflow and run before it is published."""

    id = IdField("test")
    workflow = models.ForeignKey(
        Workflow, on_delete=models.CASCADE, related_name="tests", editable=False
    )
    name = models.CharField(max_length=200)
    input = models.JSONField(null=True, blank=True, default=dict)
    pins = models.JSONField(default=dict, blank=True)
    expected = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )

    class Meta(CompanyModel.Meta):
        indexes = [models.Index(fields=["workflow", "id"], name="test_of_workflow")]

    def __str__(self) -> str:
        return self.name
