"""Who may open a page. The answer to "who is this?" is the API's own for sessions, so that what ends a session ends it here too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any

from django.contrib.auth import login
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.utils.cache import patch_cache_control

from accounts.authentication import PAGE_SESSION, session_membership
from accounts.models import Membership, User
from accounts.permissions import refusal
from accounts.services.sessions import SignIn, end_page_session
from accounts.services.sign_in import HALF_WAY
from craft.api.viewsets import Level
from craft.events import current_actor

Page = Callable[..., HttpResponseBase]


class PageRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    membership: Membership
    levels: frozenset[str]


def signed_in(level: Level = "read") -> Callable[[Page], Page]:
    """For members of a company whose role has this level."""

    def decorate(page: Page) -> Page:
        @wraps(page)
        def opened(request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not admit(request):
                return redirect_to_login(request.get_full_path(), "/login")
            if level not in request.levels:
                raise PermissionDenied(refusal(level, "session"))
            if any("\0" in str(part) for part in kwargs.values()):
                raise Http404  # PostgreSQL can't even look for it
            return _unkept(page(request, *args, **kwargs))

        return opened

    return decorate


def open_to_all(page: Page) -> Page:
    """For who is not signed in, too."""

    @wraps(page)
    def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return _unkept(page(request, *args, **kwargs))

    return opened


def admit(request: Any) -> bool:
    """Whether somebody is signed in. Then the request knows who, and for which company."""
    membership = session_membership(request)
    if membership is None:
        return False
    request.membership = membership
    request.levels = membership.levels
    current_actor.set(replace(current_actor.get(), user_id=membership.user_id))
    return True


def begin_session(request: HttpRequest, signed_in: SignIn) -> None:
    """Sign this browser in, for the session's company. It is one of the person's sessions like any other, and ends with it."""
    end_page_session(request.session.get(PAGE_SESSION))
    login(request, signed_in.membership.user)
    request.session.pop(HALF_WAY, None)
    request.session["company_id"] = signed_in.membership.company_id
    request.session[PAGE_SESSION] = signed_in.session.pk


def _unkept(response: HttpResponseBase) -> HttpResponseBase:
    """What somebody saw is not to be had from a cache once they have left."""
    patch_cache_control(response, private=True, no_store=True)
    return response
