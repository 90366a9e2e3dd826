from django.db import models

from craft.models import BaseModel, CompanyModel


class Family(models.TextChoices):
    """The documents describe four products with plans of their own; a company has one plan of one of them."""

    PIPELINES = "pipelines", "Pipelines"
    AGENTS = "agents", "Agents"
    COMPLIANCE = "compliance", "Compliance"
    AUTOMATION = "automation", "Automation"


class Plan(BaseModel):
    """What a company may do. Kept as data: an operator changes it in the console."""

    slug = models.SlugField(unique=True, max_length=60)
    name = models.CharField(max_length=60)
    family = models.CharField(max_length=20, choices=Family.choices)
    has_api_access = models.BooleanField(default=True)
    per_minute = models.PositiveIntegerField(null=True, blank=True)
    per_minute_burst = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text="How many may come at once; the whole limit where it is empty.",
    )
    per_hour = models.PositiveIntegerField(null=True, blank=True)
    per_day = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["family", "id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_family_display()})"


class SubscriptionStatus(models.TextChoices):
    """Stripe's own words."""

    TRIALING = "trialing", "Trial"
    ACTIVE = "active", "Active"
    CANCELED = "canceled", "Cancelled"


class Subscription(CompanyModel):
    """The plan that a company is on."""

    plan = models.ForeignKey(
        Plan, on_delete=models.PROTECT, related_name="subscriptions"
    )
    status = models.CharField(
        max_length=20,
        choices=SubscriptionStatus.choices,
        default=SubscriptionStatus.TRIALING,
    )

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["company"], name="one_subscription_per_company"
            )
        ]

    def __str__(self) -> str:
        return f"{self.company}: {self.plan}"
