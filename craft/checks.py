"""What would go wrong at three in the morning stops the start instead. Each message says what to set.

`manage.py check` and `manage.py up` run these; an error is a combination that can't work, a warning one that is seldom meant.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, get_args
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.settings import api_settings

from craft import copies, privacy
from craft.api.viewsets import ApiViewSet, Level
from craft.vault import KeyRingError, read_ring

ENGINES = ("craft.sqlite", "django.db.backends.postgresql")
REDIS_SCHEMES = ("redis", "rediss", "unix")
SECRET_LENGTH = 32


@register(Tags.security)
def check_secrets(**_: Any) -> Iterator[CheckMessage]:
    if settings.REDIS_URL and not settings.SECRET_KEY_IS_SHARED:
        yield Error(
            "REDIS_URL is set, so Craft runs as several processes, and they must share one secret.",
            hint=f"Set CRAFT_SECRET_KEY to {SECRET_LENGTH} or more random characters, the same for all of them.",
            id="craft.E001",
        )
    if len(settings.SECRET_KEY) < SECRET_LENGTH:
        yield Error(
            f"CRAFT_SECRET_KEY has {len(settings.SECRET_KEY)} characters; fewer than {SECRET_LENGTH} can be guessed.",
            hint='Make one: python -c "import secrets; print(secrets.token_urlsafe(48))"',
            id="craft.E002",
        )
    if len(settings.API_KEY_PEPPER) < SECRET_LENGTH:
        yield Error(
            f"CRAFT_API_KEY_PEPPER has {len(settings.API_KEY_PEPPER)} characters; fewer than {SECRET_LENGTH} can be guessed.",
            hint="Set it to random characters and never change it, or leave it out: then it is derived from CRAFT_SECRET_KEY.",
            id="craft.E031",
        )


@register(Tags.security)
def check_key_ring(**_: Any) -> Iterator[CheckMessage]:
    try:
        read_ring(settings.ENCRYPTION_KEYS)
    except KeyRingError as error:
        yield Error(
            f"CRAFT_ENCRYPTION_KEYS can't be read. {error}",
            hint='Make a key: python -c "import base64, os; print(base64.b64encode(os.urandom(32)).decode())", and write it as name:key',
            id="craft.E014",
        )


@register(Tags.security)
def check_addresses(**_: Any) -> Iterator[CheckMessage]:
    public = urlsplit(settings.PUBLIC_URL)
    if (
        public.scheme not in {"http", "https"}
        or not public.hostname
        or public.path
        or public.query
    ):
        yield Error(
            f"CRAFT_PUBLIC_URL is {settings.PUBLIC_URL!r}, which is not the address of a server.",
            hint="Set it to scheme, host and port and nothing more, such as https://craft.example.com",
            id="craft.E003",
        )
    if public.scheme == "https" and settings.SECURE_PROXY_SSL_HEADER is None:
        yield Warning(
            "CRAFT_PUBLIC_URL is https, but Craft itself speaks http and does not know of a proxy in front of it.",
            hint="Set CRAFT_BEHIND_PROXY=true if a proxy ends TLS and sets X-Forwarded-Proto.",
            id="craft.W001",
        )
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "CRAFT_ALLOWED_HOSTS lets every host name through.",
            hint="Name the hosts that people use.",
            id="craft.W002",
        )


@register(Tags.database)
def check_stores(**_: Any) -> Iterator[CheckMessage]:
    engine = settings.DATABASES["default"]["ENGINE"]
    if engine not in ENGINES:
        yield Error(
            f"DATABASE_URL names {engine.rsplit('.', 1)[-1]}, on which Craft's work queue can't run.",
            hint="Set DATABASE_URL to postgres://… (15 or newer), or leave it out for SQLite.",
            id="craft.E004",
        )
    if settings.REDIS_URL and urlsplit(settings.REDIS_URL).scheme not in REDIS_SCHEMES:
        yield Error(
            "REDIS_URL is not the address of a Redis.",
            hint="Set it to redis://host:6379/0",
            id="craft.E005",
        )
    if settings.REDIS_URL and settings.DATABASE_IS_SQLITE:
        yield Warning(
            "REDIS_URL is set and the database is SQLite: that works on one machine only, with one writer at a time.",
            hint="Set DATABASE_URL to postgres://…",
            id="craft.W003",
        )
    if bool(settings.S3_ACCESS_KEY_ID) != bool(settings.S3_SECRET_ACCESS_KEY):
        yield Error(
            "Of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set.",
            hint="Set both, or neither.",
            id="craft.E006",
        )
    elif settings.S3_BUCKETS and not settings.S3_ACCESS_KEY_ID:
        yield Error(
            "CRAFT_S3_BUCKETS names buckets that workflows may write to, but there is no key to write with.",
            hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            id="craft.E007",
        )


@register
def check_words(**_: Any) -> Iterator[CheckMessage]:
    if settings.LOG_FORMAT not in {"console", "json"}:
        yield Error(
            f"CRAFT_LOG_FORMAT is {settings.LOG_FORMAT!r}.",
            hint="Set it to console or json.",
            id="craft.E008",
        )
    if settings.LOG_LEVEL not in logging.getLevelNamesMapping():
        yield Error(
            f"CRAFT_LOG_LEVEL is {settings.LOG_LEVEL!r}.",
            hint="Set it to DEBUG, INFO, WARNING or ERROR.",
            id="craft.E009",
        )
    if not 0 < settings.PORT < 65536:
        yield Error(
            f"PORT is {settings.PORT}.",
            hint="Set it to a number from 1 to 65535.",
            id="craft.E010",
        )


@register
def check_copies(**_: Any) -> Iterator[CheckMessage]:
    """A model that does not say what becomes of its rows in a sandbox does not start."""
    for model in copies.undeclared():
        yield Error(
            f"{model._meta.label} does not say what a company's sandbox gets of its rows.",
            hint=f"Name it in {model._meta.app_label}/copies.py: Copied(), LeftOut(why) or Shared(why).",
            id="craft.E032",
        )
    for model, name in copies.dangling():
        yield Error(
            f"{model._meta.label} is copied into a sandbox, but its {name!r} leads to what is left out.",
            hint="Copy that too, leave both out, or let the field be empty.",
            id="craft.E033",
        )


@register(Tags.security)
def check_privacy(**_: Any) -> Iterator[CheckMessage]:
    """A model that does not say what becomes of a person's rows does not start."""
    for model, fault in privacy.faults():
        yield Error(
            f"{model._meta.label} {fault}.",
            hint=f"Say it in {model._meta.app_label}/privacy.py: Erased, Unlinked, Kept or Impersonal (craft/privacy.py).",
            id="craft.E041",
        )


@register(Tags.security)
def check_views(**_: Any) -> Iterator[CheckMessage]:
    """A view that does not say who may call it does not start."""
    seen = set()
    for view in _api_views(get_resolver().url_patterns):
        if view not in seen:
            seen.add(view)
            yield from _faults_of(view)


def _api_views(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _api_views(pattern.url_patterns)
        elif (view := getattr(pattern.callback, "cls", None)) is not None:
            yield view


def _faults_of(view: Any) -> Iterator[CheckMessage]:
    name = f"{view.__module__}.{view.__qualname__}"
    if not issubclass(view, ApiViewSet):
        yield Error(
            f"{name} is no ApiViewSet.",
            hint="Derive it from craft.api.viewsets.ApiViewSet.",
            id="craft.E011",
        )
        return
    access = getattr(view, "access", {})
    if not {"safe", "unsafe"} <= access.keys() or not set(access.values()) <= set(
        get_args(Level)
    ):
        yield Error(
            f"{name} does not declare who may call it.",
            hint="Set `access`, for instance to MEMBERS_WRITE of craft.api.viewsets.",
            id="craft.E012",
        )
    own = [*view.permission_classes, *_permissions_of_actions(view)]
    if set(own) != set(api_settings.DEFAULT_PERMISSION_CLASSES):
        yield Error(
            f"{name} has permission classes of its own, so that its `access` may not be asked.",
            hint="Say it in `access`, by the action's name.",
            id="craft.E013",
        )


def _permissions_of_actions(view: Any) -> Iterator[Any]:
    for action in view.get_extra_actions():
        yield from action.kwargs.get("permission_classes", ())
