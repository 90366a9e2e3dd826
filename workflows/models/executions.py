from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property

from craft.fields import IdField
from craft.leases import LeasedModel, Status, lease_indexes
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager
from workflows.models.workflows import Workflow, WorkflowVersion

MOST_STEPS = 1_000
"""An execution is shown with so many. One of a large `map` has more, and those are asked for by themselves."""


class ExecutionQuerySet(CompanyQuerySet["Execution"]):
    pass


class Execution(CompanyModel, LeasedModel):
    """One run of a workflow, which some process carries to its end exactly once."""

    id = IdField("exec")
    # When it was asked for: a synchronous one is saved only once it is over.
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Indexes of these two begin with them all the same, and each index costs every start.
    company = models.ForeignKey(
        "accounts.Company",
        on_delete=models.CASCADE,
        related_name="+",
        db_index=False,
        editable=False,
    )
    workflow = models.ForeignKey(
        Workflow,
        on_delete=models.CASCADE,
        related_name="executions",
        db_index=False,
        editable=False,
    )
    version = models.ForeignKey(
        WorkflowVersion, on_delete=models.CASCADE, related_name="+", editable=False
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
        db_index=False,  # below, as of the parent: most have none
    )
    trigger = models.JSONField(default=dict, editable=False)
    input = models.JSONField(null=True, editable=False)
    output = models.JSONField(null=True, editable=False)
    # Which of input and output are too large for this row; see `workflows/engine/payloads.py`.
    apart = models.CharField(max_length=20, blank=True, default="", editable=False)
    error = models.JSONField(null=True, editable=False)
    logs = models.JSONField(default=list, editable=False)
    usage = models.JSONField(default=dict, editable=False)
    labels = models.JSONField(default=dict, editable=False)
    pins = models.JSONField(null=True, editable=False)
    is_dry = models.BooleanField(default=False, editable=False)
    rerun_of = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="reruns",
        db_index=False,
        editable=False,
    )
    concurrency_key = models.CharField(max_length=200, null=True, editable=False)
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, editable=False)
    completed_at = models.DateTimeField(null=True, editable=False)
    # An execution that a step of another has started, and that the step waits for where it is awaited.
    parent = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.SET_NULL,
        related_name="children",
        editable=False,
        db_index=False,
    )
    parent_slot = models.CharField(max_length=200, default="", editable=False)
    is_awaited = models.BooleanField(default=False, editable=False)
    depth = models.PositiveSmallIntegerField(default=0, editable=False)
    # How often something has come for it: a signal, a decision, the end of an execution that it waits for.
    wakes = models.PositiveIntegerField(default=0, editable=False)

    objects = GuardedManager.from_queryset(ExecutionQuerySet)()

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["company", "idempotency_key"],
                name="one_execution_per_idempotency_key",
                condition=Q(idempotency_key__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["parent", "parent_slot"],
                name="one_execution_per_step",
                condition=Q(parent__isnull=False),
            ),
        ]
        indexes = [
            *lease_indexes("execution"),
            models.Index(
                fields=["created_by"],
                name="execution_of_person",
                condition=Q(created_by__isnull=False),
            ),
            models.Index(fields=["company", "-id"], name="execution_of_company"),
            models.Index(fields=["workflow", "-id"], name="execution_of_workflow"),
            models.Index(
                fields=["company", "status", "-id"],
                name="execution_gone_wrong",
                condition=models.Q(status__in=["failed", "cancelled"]),
            ),
            models.Index(
                fields=["workflow", "concurrency_key", "id"],
                name="execution_in_line",
                condition=models.Q(
                    status__in=["pending", "running", "waiting"],
                    concurrency_key__isnull=False,
                ),
            ),
            models.Index(
                fields=["rerun_of"],
                name="execution_rerun_of",
                condition=models.Q(rerun_of__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.pk

    @cached_property
    def first_steps(self) -> list[Step]:
        return list(self.steps.all()[:MOST_STEPS])

    @property
    def duration_ms(self) -> float | None:
        if self.started_at is None or self.completed_at is None:
            return None
        return (self.completed_at - self.started_at).total_seconds() * 1000

    @property
    def is_over(self) -> bool:
        return Status(self.status).is_terminal

    @property
    def only_node_id(self) -> str:
        """Where one node was run by itself: its id."""
        is_of_one = self.trigger.get("type") == "node"
        return str(self.trigger["node_id"]) if is_of_one else ""


class StepStatus(models.TextChoices):
    """An execution's words, and two more: a branch that was not taken, and an effect whose outcome nobody knows."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    SKIPPED = "skipped", "Skipped"
    UNKNOWN = "unknown", "Unknown"


class StepOrigin(models.TextChoices):
    """Why a step holds an output that its node did not make here; empty where it did."""

    PINNED = "pinned", "Pinned"
    MOCKED = "mocked", "Mocked"
    TAKEN_OVER = "taken_over", "Taken over"


class Step(models.Model):
    """A node's run within an execution: written once for each node and iteration, and never run again once completed.

    `begun` and `ended` number what an execution goes through, in the order in which it is written down."""

    id = models.BigAutoField(primary_key=True)
    # the constraint's index begins with it
    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="steps", db_index=False
    )
    node_id = models.CharField(max_length=64)
    iteration = models.CharField(max_length=100, default="")
    position = models.PositiveIntegerField()
    type = models.CharField(max_length=40)
    name = models.CharField(max_length=200, blank=True, default="")
    status = models.CharField(max_length=10, choices=StepStatus.choices)
    input = models.JSONField(null=True)
    output = models.JSONField(null=True)
    apart = models.CharField(max_length=20, blank=True, default="")
    handles = models.JSONField(default=list)
    error = models.JSONField(null=True)
    attempt = models.PositiveIntegerField(default=1)
    started_at = models.DateTimeField()
    completed_at = models.DateTimeField(null=True)
    wake_at = models.DateTimeField(null=True)
    usage = models.JSONField(null=True)
    begun = models.PositiveIntegerField(default=0)
    ended = models.PositiveIntegerField(default=0)
    origin = models.CharField(
        max_length=10, choices=StepOrigin.choices, blank=True, default=""
    )

    class Meta:
        ordering = ["execution", "position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "node_id", "iteration"],
                name="one_step_per_node_and_iteration",
            )
        ]

    def __str__(self) -> str:
        return f"{self.node_id} of {self.execution_id}"

    @property
    def place(self) -> str:
        """What tells it from the execution's other steps."""
        return f"{self.node_id}:{self.iteration}" if self.iteration else self.node_id

    @property
    def duration_ms(self) -> float | None:
        return (
            (self.completed_at - self.started_at).total_seconds() * 1000
            if self.completed_at
            else None
        )
