"""The cast: Alice runs a company, Bob works in it, Vera looks on, Charlie runs another."""

import os
from collections.abc import Callable, Iterator
from importlib import import_module

import pytest
from django.apps import apps
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from rest_framework.test import APIClient

from accounts.models import Role
from billing.models import Plan
from craft.api import limits
from tests.factories import Person, make_key, make_person

plans = import_module("billing.migrations.0002_plans")


def take_own_redis() -> None:
    """One of Redis's databases for each process of a run, so that clearing it disturbs no other."""
    if settings.REDIS_URL:
        number = (
            int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + 1
        )
        url = f"{settings.REDIS_URL.rpartition('/')[0]}/{number}"
        settings.REDIS_URL = settings.CELERY_BROKER_URL = os.environ["REDIS_URL"] = url
        settings.CACHES["default"]["LOCATION"] = url


take_own_redis()


SERVICE_FREE = tuple(
    f"tests/{name}.py::"
    for name in (
        "agents/test_craftai_questions",
        "agents/test_llm",
        "craft/test_docs",
        "craft/test_egress",
        "craft/test_one_door",
        "craft/test_sandbox",
        "datasources/test_guard",
        "datasources/test_uploads",
        "durability/test_up",
        "test_openapi",
        "workflows/test_conditions",
        "workflows/test_drawing",
        "workflows/test_executor",
        "workflows/test_expressions",
        "workflows/test_graph",
        "workflows/test_nodes",
        "workflows/test_retry",
    )
)
"""What in these asks for no rows knows neither the database nor the broker: it runs with the embedded default only."""


ABOVE_THE_DATABASE = (
    "tests/accounts/test_pages.py::",
    "tests/test_browser.py::",
    "tests/test_route_matrix.py::",
)
"""What these ask is decided above the database, and takes long: once, too. (The contract's walk and Schemathesis run on both.)"""


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Those that start processes take the longest: first, so that they don't keep one worker busy when the others have nothing left."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/durability/"))
    if not settings.REDIS_URL or any("::" in argument for argument in config.args):
        return
    left_out = [
        item
        for item in items
        if item.nodeid.startswith(ABOVE_THE_DATABASE)
        or (item.nodeid.startswith(SERVICE_FREE) and not uses_rows(item))
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


def uses_rows(item: pytest.Item) -> bool:
    wanted = {"db", "transactional_db"} & set(getattr(item, "fixturenames", ()))
    return bool(wanted) or item.get_closest_marker("django_db") is not None


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory
) -> None:
    """A SQLite file of this very process, so that two test runs in one checkout don't meet."""
    if settings.DATABASE_IS_SQLITE:
        path = tmp_path_factory.mktemp("database") / "test.sqlite3"
        settings.DATABASES["default"]["TEST"]["NAME"] = str(path)
        connection.settings_dict["TEST"]["NAME"] = str(path)


@pytest.fixture
def transactional_db(
    django_db_serialized_rollback: None, transactional_db: None
) -> None:
    """All tests with real transactions put back what the migrations wrote, in one way: two ways get in each other's."""


@pytest.fixture(scope="session")
def httpserver_listen_address() -> tuple[str, int]:
    """By its number, which is also what `OUTBOUND_ALLOW` names; the kernel picks the port."""
    return "127.0.0.1", 0


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
def _quick_static_files(settings) -> None:
    """Each test client loads the middleware anew; static files are looked for when one is asked for, not by listing them all each time."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(autouse=True)
def _fresh_limits() -> Iterator[None]:
    """Rows get the same ids in many tests; what was counted for them must not."""
    yield
    limits._throttle.cache_clear()
    limits._store.cache_clear()
    limits.outage.end()


@pytest.fixture(autouse=True)
def _own_media(settings, tmp_path) -> Iterator[None]:
    settings.MEDIA_ROOT = tmp_path / "media"
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def _plans(request) -> None:
    """A test with real transactions ends by emptying every table, also of what the migrations put there."""
    if uses_rows(request.node):
        request.getfixturevalue("_django_db_helper")
        if not Plan.objects.exists():
            plans.add_plans(apps, None)
