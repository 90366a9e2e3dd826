from __future__ import annotations

from typing import Any

from django.db import models

from craft.fields import IdField
from craft.models import CompanyModel


class Outlet(CompanyModel):
    """A branch of a company: a shop, an office. An agent can be asked on its behalf."""

    id = IdField("outlet")
    name = models.CharField(max_length=200)
    address = models.CharField(max_length=500, blank=True, default="")
    phone = models.CharField(max_length=40, blank=True, default="")
    time_zone = models.CharField(
        max_length=64, default="UTC", help_text="As the IANA names it: Europe/Berlin."
    )
    opening_hours: Any = models.JSONField(default=dict, blank=True)
    variables: Any = models.JSONField(
        default=dict, blank=True, help_text="The company's own, as JSON."
    )

    class Meta(CompanyModel.Meta):
        verbose_name = "outlet"

    def __str__(self) -> str:
        return self.name
