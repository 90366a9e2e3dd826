from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Company
from craft import stamps
from craft.fields import IdField
from craft.models import BaseModel, CompanyModel, CompanyQuerySet, GuardedManager


class WorkflowStatus(models.TextChoices):
    DRAFT = "draft", "Draft"
    PUBLISHED = "published", "Published"
    ACTIVE = "active", "Active"


def by_api() -> str:
    """The trigger of a workflow that names none."""
    return "api"


def workflow_subject(workflow_id: str) -> str:
    """What is remembered of a workflow ends with its stamp (`craft/stamps.py`)."""
    return f"workflow:{workflow_id}"


class WorkflowRows(stamps.StampedQuerySet["Workflow"]):
    def changing(self) -> AbstractContextManager[None]:
        return stamps.changing(map(workflow_subject, self.values_list("pk", flat=True)))


class WorkflowQuerySet(CompanyQuerySet["Workflow"], WorkflowRows):  # type: ignore[override]  # the stubs give each class an as_manager of its own type
    def readable_by(self, company: Company) -> Self:
        """The company's own, and what others made public. A sandbox shares nothing: neither does it see theirs, nor do they see what is public in it."""
        own, shared = Q(company=company), Q(public=True, company__sandbox_of=None)
        return self.scoped_by(own if company.is_sandbox else own | shared, company)


class Workflow(stamps.StampedModel, CompanyModel):
    """A graph of nodes, or a pipeline of steps, which is a chain of the same nodes. What it does is kept in its versions."""

    unheeded = frozenset(
        {
            "usage_count",
            "removed_count",
            "ended_count",
            "ended_ms_total",
            "rating_count",
            "rating_total",
        }
    )

    id = IdField("wf")
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True, default="", max_length=10_000)
    status = models.CharField(
        max_length=10, choices=WorkflowStatus.choices, default=WorkflowStatus.DRAFT
    )
    trigger = models.JSONField(default=by_api, blank=True)
    category = models.CharField(max_length=60, blank=True, default="")
    tags = models.JSONField(default=list, blank=True)
    public = models.BooleanField(default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    version = models.ForeignKey(
        "WorkflowVersion",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    published_version = models.ForeignKey(
        "WorkflowVersion",
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )
    error_workflow = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    usage_count = models.PositiveBigIntegerField(default=0, editable=False)
    removed_count = models.PositiveBigIntegerField(default=0, editable=False)
    ended_count = models.PositiveBigIntegerField(default=0, editable=False)
    ended_ms_total = models.FloatField(default=0, editable=False)
    rating_count = models.PositiveIntegerField(default=0, editable=False)
    rating_total = models.PositiveIntegerField(default=0, editable=False)
    # The last of the fields: those above name Django's settings.
    settings = models.JSONField(default=dict, blank=True)

    objects = GuardedManager.from_queryset(WorkflowQuerySet)()
    unscoped: ClassVar[Any] = models.Manager.from_queryset(WorkflowRows)()

    class Meta(CompanyModel.Meta):
        indexes = [models.Index(fields=["company", "-id"], name="workflow_of_company")]

    def changing(self) -> AbstractContextManager[None]:
        return stamps.changing([workflow_subject(self.pk)])

    def __str__(self) -> str:
        return self.name

    @property
    def is_pipeline(self) -> bool:
        return self.status == WorkflowStatus.ACTIVE

    @property
    def is_live(self) -> bool:
        """Whether triggers and schedules may start it."""
        # A set would hash both each time.
        return self.status in (WorkflowStatus.PUBLISHED, WorkflowStatus.ACTIVE)

    @property
    def live_version(self) -> WorkflowVersion | None:
        """What runs unless another is asked for: the published one; of a draft, the newest."""
        is_newest = self.published_version_id in (None, self.version_id)
        return self.version if is_newest else self.published_version

    @property
    def has_unpublished_changes(self) -> bool:
        pinned = (None, self.version_id)
        return self.is_live and self.published_version_id not in pinned

    @property
    def endpoint(self) -> str:
        return f"{settings.PUBLIC_URL}/v1/workflows/{self.pk}/trigger"

    @property
    def metrics(self) -> dict[str, Any]:
        """Executions that ended, and their mean time from start to end."""
        average = self.ended_ms_total / self.ended_count if self.ended_count else None
        return {"executions": self.ended_count, "avg_latency_ms": average}

    @property
    def rating(self) -> float | None:
        return (
            round(self.rating_total / self.rating_count, 2)
            if self.rating_count
            else None
        )


class WorkflowVersion(BaseModel):
    """What a workflow does, from one change to the next. Never changed, but for what is said about it: an execution goes on with the version that it began with."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(
        Workflow, on_delete=models.CASCADE, related_name="versions"
    )
    number = models.PositiveIntegerField()
    nodes = models.JSONField(default=list)
    edges = models.JSONField(default=list)
    variables = models.JSONField(default=dict)
    steps = models.JSONField(null=True)
    output = models.CharField(max_length=2000, blank=True, default="")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    name = models.CharField(max_length=100, blank=True, default="")
    note = models.TextField(blank=True, default="", max_length=2_000)
    published_at = models.DateTimeField(null=True)
    published_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "number"], name="one_version_per_number"
            )
        ]

    def __str__(self) -> str:
        return f"{self.workflow} v{self.number}"

    @property
    def definition(self) -> dict[str, Any]:
        return {"nodes": self.nodes, "edges": self.edges, "variables": self.variables}
