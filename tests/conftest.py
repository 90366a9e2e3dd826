"""The cast: Alice runs a company, Bob works in it, Vera looks on, Charlie runs another."""

from collections.abc import Callable, Iterator

import pytest
from accounts.models import Role
from django.core.cache import cache
from rest_framework.test import APIClient
from tests.factories import Person, make_key, make_person


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
def _own_media(settings, tmp_path) -> Iterator[None]:
    settings.MEDIA_ROOT = tmp_path / "media"
    yield
    cache.clear()
