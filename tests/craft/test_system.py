"""Health for people, clients and machines."""

from datetime import datetime

import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import Client
from django.utils.module_loading import import_string

from craft.api import system
from craft.celery import sweep_once


def test_health_is_as_document_001_shows_it(db, api):
    answer = api().get("/api/v1/health")
    assert answer.status_code == 200
    body = answer.json()
    assert datetime.fromisoformat(body.pop("timestamp")).tzinfo is not None
    assert body == {
        "status": "ok",
        "database": {"connected": True},
        "data": {"responsive": True},
    }


def test_health_wears_the_data_envelope_at_v1(db, api):
    body = api().get("/v1/health").json()
    assert body["success"] is True
    assert body["data"]["status"] == "ok"


def test_health_without_a_database_is_a_503_that_says_so(db, api, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", refuse)
        answer = api().get("/api/v1/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "degraded"
    assert answer.json()["database"] == {"connected": False}


def refuse(*_, **__):
    raise OperationalError("gone")


def test_healthz_asks_nothing_of_the_database():
    # No `db` fixture: pytest-django refuses any query.
    assert Client().get("/healthz").json() == {"status": "ok", "service": "craft"}


@pytest.fixture
def ready(db, monkeypatch):
    """Asks anew, and not what an earlier test found."""
    monkeypatch.setattr(system, "_are_migrated", False)
    cache.clear()
    return lambda: Client().get("/readyz")


def test_with_a_sweep_everything_is_ready(ready, settings):
    settings.CRAFT_SWEEPS = []
    sweep_once()
    answer = ready()
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ok",
        "checks": {"database": True, "migrations": True, "sweep": True},
    }


def test_embedded_it_is_not_ready_without_its_sweep(ready, settings):
    settings.EMBEDDED = True
    assert ready().status_code == 503


def test_a_sweep_that_runs_elsewhere_keeps_no_web_process_away(ready, settings):
    settings.EMBEDDED = False
    answer = ready()
    assert answer.status_code == 200
    assert answer.json()["checks"]["sweep"] is False


def test_a_migration_that_is_not_applied_holds_it_back(ready):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'workflows'")
    answer = ready()
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] is False


def test_a_database_that_is_gone_holds_it_back(ready, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(connection, "cursor", refuse)
        answer = ready()
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] is False


def test_what_a_server_does_beforehand_can_be_done():
    names = settings.CRAFT_WARM_UPS
    assert names
    for dotted in names:
        import_string(dotted)()
