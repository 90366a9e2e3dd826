"""Whether the service is well: for people and clients (`health`), for a load balancer (`readyz`) and for a process manager (`healthz`)."""

import logging
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from craft.api.viewsets import PUBLIC, ApiViewSet
from craft.celery import is_sweeping

logger = logging.getLogger("craft.api")

_are_migrated = False


def healthz(request: HttpRequest) -> JsonResponse:
    """The process answers. Touches nothing else, so that a slow database never gets it restarted."""
    return JsonResponse({"status": "ok", "service": "craft"})


def readyz(request: HttpRequest) -> JsonResponse:
    """This process can do its work. A sweep that runs elsewhere is reported, but it is no reason to take the web away."""
    checks = {
        "database": _passes(_ask_database),
        "migrations": _passes(_ask_migrations),
        "sweep": _passes(is_sweeping),
    }
    needed = (
        checks
        if settings.EMBEDDED
        else {name: checks[name] for name in ("database", "migrations")}
    )
    is_ready = all(needed.values())
    return JsonResponse(
        {"status": "ok" if is_ready else "unavailable", "checks": checks},
        status=200 if is_ready else 503,
    )


class HealthViewSet(ApiViewSet):
    """Whether the API, its database and its data are reachable."""

    access = PUBLIC
    pagination_class = None
    filter_backends = []

    @extend_schema(
        summary="Health check",
        responses=inline_serializer(
            "Health",
            {
                "status": serializers.ChoiceField(choices=["ok", "degraded"]),
                "timestamp": serializers.DateTimeField(),
                "database": inline_serializer(
                    "HealthDatabase", {"connected": serializers.BooleanField()}
                ),
                "data": inline_serializer(
                    "HealthData", {"responsive": serializers.BooleanField()}
                ),
            },
        ),
    )
    def list(self, request: Request) -> Response:
        """Answers 200 when the service is ready, and 503 with the same body when it is not."""
        is_connected = _passes(_ask_database)
        is_responsive = is_connected and _passes(_ask_data)
        is_well = is_connected and is_responsive
        body: dict[str, Any] = {
            "status": "ok" if is_well else "degraded",
            "timestamp": timezone.now(),
            "database": {"connected": is_connected},
            "data": {"responsive": is_responsive},
        }
        return Response(body, status=200 if is_well else 503)


routes = [("health", HealthViewSet, "health")]


def _passes(check: Any) -> bool:
    try:
        return bool(check())
    except Exception as error:
        logger.warning("health check failed: %r", error)
        return False


def _ask_database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        return bool(cursor.fetchone() == (1,))


def _ask_migrations() -> bool:
    """Asked until it is true: what is applied stays applied while this process lives."""
    global _are_migrated
    if not _are_migrated:
        executor = MigrationExecutor(connection)
        _are_migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _are_migrated


def _ask_data() -> bool:
    """The places that requests read beside the database: uploaded files and the cache."""
    cache.get("craft.health")
    return bool(settings.MEDIA_ROOT.parent.is_dir())
