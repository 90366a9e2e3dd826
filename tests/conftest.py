"""The cast: Alice runs a company, Bob works in it, Vera looks on, Charlie runs another."""

from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
from django.apps import apps
from django.core.cache import cache
from rest_framework.test import APIClient

from accounts.models import Role
from craft.api import limits
from tests.factories import Person, make_key, make_person

plans = import_module("billing.migrations.0002_plans")


@pytest.fixture
def alice(db: None) -> Person:
    return make_person(full_name="Alice Admin")


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_person(company=alice.company, role=Role.MEMBER, full_name="Bob Member")


@pytest.fixture
def vera(alice: Person) -> Person:
    return make_person(company=alice.company, role=Role.VIEWER, full_name="Vera Viewer")


@pytest.fixture
def charlie(db: None) -> Person:
    return make_person(full_name="Charlie Elsewhere")


@pytest.fixture
def api() -> Callable[..., APIClient]:
    """`api(alice)` calls with a key of hers; `api()` without one."""

    def client(person: Person | None = None, *permissions: str) -> APIClient:
        made = APIClient(raise_request_exception=False)
        if person is not None:
            made.credentials(
                HTTP_AUTHORIZATION=f"Bearer {make_key(person, *permissions)}"
            )
        return made

    return client


@pytest.fixture(autouse=True)
def _quick_passwords(settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture(autouse=True)
def _fresh_limits() -> Iterator[None]:
    """Rows get the same ids in many tests; what was counted for them must not."""
    yield
    limits._throttle.cache_clear()
    limits._store.cache_clear()


@pytest.fixture(autouse=True)
def _own_media(settings, tmp_path) -> Iterator[None]:
    settings.MEDIA_ROOT = tmp_path / "media"
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _plans_survive_a_flush(request, django_db_blocker) -> Iterator[None]:
    """A test with real transactions ends by emptying every table, also of what the migrations put there."""
    yield
    marker = request.node.get_closest_marker("django_db")
    is_transactional = marker is not None and marker.kwargs.get("transaction")
    if is_transactional or "transactional_db" in request.fixturenames:
        with django_db_blocker.unblock():
            plans.add_plans(apps, None)
