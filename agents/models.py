from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from craft.fields import IdField
from craft.leases import LeasedModel, Status
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager
from datasources.models import DataSource

DEFAULT_MODEL = "craftai-1"


class AgentStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    INACTIVE = "inactive", "Inactive"


class AgentQuerySet(CompanyQuerySet["Agent"]):
    def with_sources(self) -> AgentQuerySet:
        return self.prefetch_related("data_sources")


class Agent(CompanyModel):
    """A model with instructions, and the data sources that it may ask."""

    id = IdField("agent")
    name = models.CharField(max_length=200)
    type = models.CharField(
        max_length=60, default="general", help_text="A free word: sales, support …"
    )
    description = models.TextField(blank=True, default="")
    status = models.CharField(
        max_length=10, choices=AgentStatus.choices, default=AgentStatus.ACTIVE
    )
    configuration = models.JSONField(default=dict, blank=True)
    ui_settings = models.JSONField(
        default=dict, blank=True, help_text="The owner's own, for whatever shows it."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    data_sources = models.ManyToManyField(DataSource, blank=True, related_name="agents")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )

    objects = GuardedManager.from_queryset(AgentQuerySet)()

    class Meta(CompanyModel.Meta):
        verbose_name = "agent"
        indexes = [models.Index(fields=["company", "status", "-id"])]

    def __str__(self) -> str:
        return self.name

    @property
    def model(self) -> str:
        return str(self.configuration.get("model") or DEFAULT_MODEL)

    @property
    def is_active(self) -> bool:
        return self.status == AgentStatus.ACTIVE


class AgentVersion(CompanyModel):
    """What an agent was told at a time: made with each change of its configuration or sources, and never changed."""

    id = IdField("aver")
    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    configuration = models.JSONField(default=dict)
    data_sources: Any = models.JSONField(default=list)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )

    class Meta(CompanyModel.Meta):
        verbose_name = "agent version"
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent", "number"], name="one_number_per_agent_version"
            )
        ]

    def __str__(self) -> str:
        return f"{self.agent_id} v{self.number}"


class AgentExecutionQuerySet(CompanyQuerySet["AgentExecution"]):
    def of_agent(self, agent: Agent) -> AgentExecutionQuerySet:
        """Its history. Previews are tries of its owner's, and no part of it."""
        return self.for_company(agent.company_id).filter(agent=agent, is_preview=False)


class AgentExecution(LeasedModel, CompanyModel):
    """One question to an agent and what came of it. It outlives its agent: it is a record. Whoever asks runs it, and holds its lease meanwhile."""

    id = IdField("exec")
    agent = models.ForeignKey(
        Agent, null=True, on_delete=models.SET_NULL, related_name="executions"
    )
    agent_name = models.CharField(max_length=200)
    version = models.PositiveIntegerField()
    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.RUNNING
    )
    is_preview = models.BooleanField(default=False)
    idempotency_key = models.CharField(max_length=255, null=True, editable=False)
    input = models.TextField()
    output_format = models.CharField(max_length=10, default="text")
    outlet_id = models.CharField(max_length=64, blank=True, default="")
    response = models.TextField(blank=True, default="")
    output: Any = models.JSONField(null=True, blank=True)
    model = models.CharField(max_length=100)
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cost_micros = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="Millionths of a dollar at list price; empty where no price is known.",
    )
    citations: Any = models.JSONField(default=list)
    data_sources_queried: Any = models.JSONField(default=list)
    error: Any = models.JSONField(null=True, blank=True)
    execution_time_ms = models.PositiveIntegerField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )

    objects = GuardedManager.from_queryset(AgentExecutionQuerySet)()

    class Meta(CompanyModel.Meta):
        verbose_name = "agent execution"
        constraints = [
            models.UniqueConstraint(
                fields=["company", "idempotency_key"],
                name="one_agent_execution_per_idempotency_key",
            )
        ]
        indexes = [
            models.Index(fields=["agent", "is_preview", "-id"]),
            models.Index(
                fields=["lease_expires_at"],
                name="agent_execution_leased",
                condition=models.Q(status=Status.RUNNING),
            ),
        ]

    def __str__(self) -> str:
        return self.pk

    @property
    def tokens_used(self) -> int:
        return self.input_tokens + self.output_tokens

    def finish(self, status: Status, **results: Any) -> bool:
        """Ends it once: whoever comes second, a sweep or a call that was slow, changes nothing."""
        now = timezone.now()
        own = AgentExecution.objects.for_company(self.company_id).filter(pk=self.pk)
        changed = own.filter(status=Status.RUNNING).update(
            status=status,
            completed_at=now,
            updated_at=now,
            lease_owner="",
            lease_expires_at=None,
            **results,
        )
        self.refresh_from_db()
        return bool(changed)
