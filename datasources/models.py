from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import models

from craft.fields import IdField
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager


class SourceStatus(models.TextChoices):
    CONNECTED = "connected", "Connected"
    DISCONNECTED = "disconnected", "Disconnected"


class SourceMode(models.TextChoices):
    OFFLINE = "offline", "Offline: a copy that Craft keeps"
    ONLINE = "online", "Online: asked when needed"


class DataSourceQuerySet(CompanyQuerySet["DataSource"]):
    def with_tables(self) -> DataSourceQuerySet:
        return self.prefetch_related("tables")


class DataSource(CompanyModel):
    """Something with tables that agents and workflows may ask: uploaded files, a database."""

    id = IdField("ds")
    source_name = models.CharField(max_length=200)
    source_type = models.CharField(
        max_length=40, default="file", help_text="As the caller named it."
    )
    engine = models.CharField(
        max_length=40, default="file", help_text="Which connector serves it."
    )
    mode = models.CharField(
        max_length=10, choices=SourceMode.choices, default=SourceMode.OFFLINE
    )
    status = models.CharField(
        max_length=20, choices=SourceStatus.choices, default=SourceStatus.CONNECTED
    )
    connection_config = models.JSONField(default=dict, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
        editable=False,
    )

    objects = GuardedManager.from_queryset(DataSourceQuerySet)()

    class Meta(CompanyModel.Meta):
        verbose_name = "data source"

    def __str__(self) -> str:
        return self.source_name

    @property
    def folder(self) -> Path:
        """Where a file source's tables lie: names of ours only, and nobody else's files beside them."""
        return Path(settings.MEDIA_ROOT) / str(self.company_id) / self.pk

    def remove_files(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class DataTable(CompanyModel):
    """A table of a source that Craft keeps, as one Parquet file."""

    id = IdField("tbl")
    source = models.ForeignKey(
        DataSource, on_delete=models.CASCADE, related_name="tables"
    )
    name = models.CharField(max_length=63, help_text="As queries name it.")
    columns: Any = models.JSONField(default=list, help_text="[{name, type}]")
    sample: Any = models.JSONField(default=list, help_text="The first rows, shortened.")
    row_count = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    file_name = models.CharField(max_length=60, help_text="In the source's folder.")
    original_name = models.CharField(
        max_length=255,
        blank=True,
        default="",
        help_text="The upload that it came from.",
    )

    class Meta(CompanyModel.Meta):
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["source", "name"], name="one_table_per_name_and_source"
            )
        ]

    def __str__(self) -> str:
        return self.name
