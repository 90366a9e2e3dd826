"""What executions of a workflow have seen before."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.utils import timezone

from craft import rows
from craft.models import CompanyModel, CompanyQuerySet, GuardedManager
from workflows.models.workflows import Workflow

AT_ONCE = 500


class SeenKeyQuerySet(CompanyQuerySet["SeenKey"]):
    def claim(
        self,
        *,
        company_id: int,
        workflow_id: str,
        node_id: str,
        owner: str,
        digests: Collection[str],
        seconds: float,
    ) -> set[str]:
        """Those of the keys that nobody has seen before. Each has one owner, who finds it new again: whoever is broken off asks a second time."""
        mine: set[str] = set()
        every = sorted(set(digests))
        now = timezone.now()
        place = self.filter(workflow=workflow_id, node_id=node_id)
        for first in range(0, len(every), AT_ONCE):
            some = every[first : first + AT_ONCE]
            with transaction.atomic():
                place.filter(digest__in=some, expires_at__lt=now).delete()
                rows.insert_if_new(
                    [
                        SeenKey(
                            company_id=company_id,
                            workflow_id=workflow_id,
                            node_id=node_id,
                            digest=digest,
                            owner=owner,
                            expires_at=now + timedelta(seconds=seconds),
                        )
                        for digest in some
                    ],
                    unique=("workflow", "node_id", "digest"),
                )
            own = place.filter(digest__in=some, owner=owner)
            mine |= set(own.values_list("digest", flat=True))
        return mine


class SeenKey(CompanyModel):
    """The key of an item that a `dedupe` node has let through, until it is forgotten. Kept as a digest."""

    id = models.BigAutoField(primary_key=True)
    workflow = models.ForeignKey(Workflow, on_delete=models.CASCADE, related_name="+")
    node_id = models.CharField(max_length=64)
    digest = models.CharField(max_length=64)
    owner = models.CharField(max_length=200)
    expires_at = models.DateTimeField(db_index=True)

    objects: Any = GuardedManager.from_queryset(SeenKeyQuerySet)()

    class Meta(CompanyModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["workflow", "node_id", "digest"], name="one_row_per_seen_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.node_id}: {self.digest[:8]}"
