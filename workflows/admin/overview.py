"""The console's first page: does work flow, and if not, where does it stand? Each figure is one query, however many rows there are."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Case, Count, IntegerField, Min, Q, When
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils import timezone

from accounts.models import Company
from craft.admin.shown import list_of
from craft.celery import is_sweeping
from craft.fields import lowest_id
from craft.leases import QUEUED, Status
from workflows.admin.executions import recent_executions
from workflows.models import Execution, Workflow

HOURS = 24
FAILURES_SHOWN = 8
COMPANIES_SHOWN = 6
STUCK_AFTER = timedelta(seconds=60)
"""A row that is due is taken within milliseconds, or within a sweep's two seconds; later than this, something is wrong."""


def get_context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    now = timezone.now()
    since = lowest_id("exec", now - timedelta(hours=HOURS))
    hours = by_hour(since, now)
    counts = {
        status: sum(hour["counts"][status] for hour in hours) for status in Status
    }
    total = sum(counts.values())
    queue = queue_now(now)
    return {
        **context,
        "title": "Overview",
        "dashboard_template": "workflows/admin/overview.html",
        "is_sweeping": is_sweeping(),
        "is_embedded": settings.EMBEDDED,
        "queue": queue,
        "hours": hours,
        "total": total,
        "statuses": [
            (status, count, list_of(Execution, status__exact=status, started="day"))
            for status, count in counts.items()
        ],
        "failures": recent_executions(
            FAILURES_SHOWN, pk__gte=since, status=Status.FAILED
        ),
        "all_failures": list_of(Execution, status__exact=Status.FAILED),
        "companies": busiest_companies(since),
        "first_steps": None if total else first_steps(),
    }


def by_hour(since: str, now: datetime) -> list[dict[str, Any]]:
    """What was started in each hour, and what became of it. By the ids, which begin with the time: truncating times is slow in SQLite."""
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    starts = [this_hour - timedelta(hours=ago) for ago in range(HOURS, -1, -1)]
    ends = [
        When(pk__lt=lowest_id("exec", start), then=place)
        for place, start in enumerate(starts[1:])
    ]
    found = (
        Execution.unscoped.filter(pk__gte=since)
        .annotate(place=Case(*ends, default=HOURS, output_field=IntegerField()))
        .values_list("place", "status")
        .annotate(number=Count("pk"))
        .order_by()
    )
    counts = [dict.fromkeys(Status, 0) for _ in starts]
    for place, status, number in found:
        counts[place][Status(status)] += number
    most = max(sum(own.values()) for own in counts) or 1
    return [
        {
            "hour": start,
            "counts": own,
            "total": sum(own.values()),
            "bars": [
                (status, 100 * number / most)
                for status, number in own.items()
                if number
            ],
        }
        for start, own in zip(starts, counts, strict=True)
    ]


def queue_now(now: datetime) -> dict[str, Any]:
    """Two questions, since each has an index of its own."""
    is_due = Q(next_attempt_at__lte=Now())
    queued = Execution.unscoped.filter(status__in=QUEUED).aggregate(
        pending=Count("pk", filter=Q(status=Status.PENDING)),
        waiting=Count("pk", filter=Q(status=Status.WAITING)),
        due=Count("pk", filter=is_due),
        oldest_due=Min("next_attempt_at", filter=is_due),
    )
    running = Execution.unscoped.filter(status=Status.RUNNING).aggregate(
        running=Count("pk"), lost=Count("pk", filter=Q(lease_expires_at__lt=Now()))
    )
    oldest = queued["oldest_due"]
    is_stuck = oldest is not None and now - oldest > STUCK_AFTER
    links = {
        f"{status}_link": list_of(Execution, status__exact=status)
        for status in (Status.PENDING, Status.WAITING, Status.RUNNING)
    }
    return {**queued, **running, **links, "is_stuck": is_stuck}


def busiest_companies(since: str) -> list[dict[str, Any]]:
    found = (
        Execution.unscoped.filter(pk__gte=since)
        .values("company_id", "company__name")
        .annotate(
            number=Count("pk"), failed=Count("pk", filter=Q(status=Status.FAILED))
        )
        .order_by("-number", "company_id")[:COMPANIES_SHOWN]
    )
    return [
        {
            "name": row["company__name"],
            "number": row["number"],
            "failed": row["failed"],
            "company": Company(pk=row["company_id"]),
            "executions": list_of(Execution, company__id__exact=row["company_id"]),
        }
        for row in found
    ]


def first_steps() -> dict[str, bool]:
    """What there is already, when nothing ran: so that the page says what to do next."""
    return {
        "has_companies": Company.objects.exists(),
        "has_workflows": Workflow.unscoped.exists(),
    }
