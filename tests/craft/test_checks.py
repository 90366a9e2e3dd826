"""Settings that can't work, and views that don't say who may call them, stop the start with a sentence that says what to set."""

import pytest
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from craft import checks
from craft.api.viewsets import PUBLIC, ApiViewSet
from craft.checks import (
    check_addresses,
    check_key_ring,
    check_secrets,
    check_stores,
    check_views,
    check_words,
)

LONG = "x" * 48
CHECKS = (check_secrets, check_key_ring, check_addresses, check_stores, check_words)


def found_ids() -> set[str]:
    return {message.id for check in CHECKS for message in check()}


def test_the_defaults_are_fine(settings):
    settings.REDIS_URL = ""
    assert found_ids() == set()


@pytest.mark.filterwarnings("ignore:Overriding setting DATABASES")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {
                "REDIS_URL": "redis://localhost:6379/0",
                "SECRET_KEY_IS_SHARED": False,
                "DATABASE_IS_SQLITE": False,
            },
            "craft.E001",
        ),
        ({"ENCRYPTION_KEYS": "k1:short"}, "craft.E014"),
        ({"SECRET_KEY": "short"}, "craft.E002"),
        ({"PUBLIC_URL": "craft.example.com"}, "craft.E003"),
        ({"PUBLIC_URL": "ftp://craft.example.com"}, "craft.E003"),
        ({"PUBLIC_URL": "http://craft.example.com/craft"}, "craft.E003"),
        (
            {
                "PUBLIC_URL": "https://craft.example.com",
                "SECURE_PROXY_SSL_HEADER": None,
            },
            "craft.W001",
        ),
        ({"ALLOWED_HOSTS": ["*"]}, "craft.W002"),
        (
            {"DATABASES": {"default": {"ENGINE": "django.db.backends.mysql"}}},
            "craft.E004",
        ),
        (
            {
                "REDIS_URL": "http://localhost:6379",
                "SECRET_KEY_IS_SHARED": True,
                "DATABASE_IS_SQLITE": False,
            },
            "craft.E005",
        ),
        (
            {
                "REDIS_URL": "redis://localhost:6379/0",
                "SECRET_KEY_IS_SHARED": True,
                "DATABASE_IS_SQLITE": True,
            },
            "craft.W003",
        ),
        ({"S3_ACCESS_KEY_ID": "key", "S3_SECRET_ACCESS_KEY": ""}, "craft.E006"),
        (
            {
                "S3_ACCESS_KEY_ID": "",
                "S3_SECRET_ACCESS_KEY": "",
                "S3_BUCKETS": ["results"],
            },
            "craft.E007",
        ),
        ({"LOG_FORMAT": "xml"}, "craft.E008"),
        ({"LOG_LEVEL": "LOUD"}, "craft.E009"),
        ({"PORT": 70000}, "craft.E010"),
    ],
)
def test_what_cannot_work_is_named(settings, changes, expected):
    settings.REDIS_URL, settings.SECRET_KEY = "", LONG
    for name, value in changes.items():
        setattr(settings, name, value)
    assert found_ids() == {expected}


def test_each_message_says_what_to_do(settings):
    settings.SECRET_KEY, settings.LOG_FORMAT, settings.PORT = "short", "xml", 0
    settings.PUBLIC_URL = "nowhere"
    found = [message for check in CHECKS for message in check()]
    assert len(found) >= 4
    assert all(message.hint and message.msg.endswith(".") for message in found)


def test_every_routed_view_says_who_may_call_it():
    assert list(check_views()) == []


class Silent(ApiViewSet):
    pass


class Stray(APIView):
    pass


class Wrong(ApiViewSet):
    access = {"safe": "everybody", "unsafe": "nobody"}


class Own(ApiViewSet):
    access = PUBLIC
    permission_classes = [AllowAny]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (Silent, "craft.E012"),
        (Stray, "craft.E011"),
        (Wrong, "craft.E012"),
        (Own, "craft.E013"),
    ],
)
def test_a_view_that_leaves_it_open_is_refused(view, expected):
    assert [fault.id for fault in checks._faults_of(view)] == [expected]
