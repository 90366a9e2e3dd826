"""What pages share: who may open them, and how an app's settings come into the navigation.

A page is a function of the request that calls the services which the API calls. An app lists its addresses as `pages` in its `urls.py`, and as
`settings_pages` what belongs at the side of the settings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import groupby
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from craft.api.viewsets import Level
from craft.exceptions import DomainError

GROUPS = ("You", "Company")


@dataclass(frozen=True)
class SettingsPage:
    group: str
    title: str
    url_name: str
    icon: str
    level: Level = "read"
    """What one has to be allowed in the company to open it."""


@cache
def all_settings_pages() -> list[SettingsPage]:
    found = [
        page
        for app in settings.CRAFT_APPS
        for page in getattr(import_module(f"{app}.urls"), "settings_pages", [])
    ]
    return sorted(found, key=lambda page: GROUPS.index(page.group))


def settings_pages(
    levels: frozenset[str],
) -> list[tuple[str, list[SettingsPage]]]:
    """Those that somebody of these levels may open, by group."""
    own = [page for page in all_settings_pages() if page.level in levels]
    return [(group, list(pages)) for group, pages in groupby(own, key=_group_of)]


def _group_of(page: SettingsPage) -> str:
    return page.group


def render_settings(
    request: HttpRequest, template: str, here: str, **context: Any
) -> HttpResponse:
    """A page of the settings; `here` is the address's name in the navigation, which also knows its title."""
    shown = next(page for page in all_settings_pages() if page.url_name == here)
    levels: frozenset[str] = request.levels  # type: ignore[attr-defined]  # set by who let the request in
    known = {
        "title": shown.title,
        "here": here,
        "settings_pages": settings_pages(levels),
    }
    return render(request, template, known | context)


def asked(
    request: HttpRequest,
    act_on_it: Callable[[], Any],
    *,
    done: str,
    back: str,
    **question: str,
) -> HttpResponse:
    """Ask, then do it, and say what came of it."""
    if request.method != "POST":
        context = question | {"back": reverse(back)}
        return render(request, "craft/confirm.html", context)
    try:
        act_on_it()
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect(back)


def public_url(request: HttpRequest) -> dict[str, str]:
    """For templates that show a call: where this installation is reached."""
    return {"public_url": settings.PUBLIC_URL}
