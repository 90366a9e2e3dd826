"""What companies do with each other's public workflows."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from craft.models import CompanyModel
from workflows.models.workflows import Workflow


class Rating(CompanyModel):
    """What one company thinks of a workflow. The workflow itself keeps their count and sum."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(
        Workflow, on_delete=models.CASCADE, related_name="ratings", editable=False
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    stars = models.PositiveSmallIntegerField()

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "company"], name="one_rating_per_company"
            ),
            models.CheckConstraint(
                condition=Q(stars__gte=1, stars__lte=5), name="rating_of_one_to_five"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stars} for {self.workflow_id}"


class GuestUse(CompanyModel):
    """How often a company has run a workflow of another's. The executions are the runner's, and the workflow's owner knows no more than their count."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(
        Workflow, on_delete=models.CASCADE, related_name="guest_uses"
    )
    count = models.PositiveBigIntegerField(default=0)

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "company"], name="one_guest_use_per_company"
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} of {self.workflow_id}"
