"""What every answer tells the browser: what a page may load and do, and who may read an answer. One place for the API, the pages and the console.

Cookies, HSTS and CORS are Django's and django-cors-headers' own settings (`craft/settings.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase


def _policy(**changes: str) -> str:
    """Nothing is allowed but what is named, and that from this very server."""
    directives = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "font-src": "'self'",
        "connect-src": "'self'",
        "form-action": "'self'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    } | {name.replace("_", "-"): value for name, value in changes.items()}
    return "; ".join(f"{name} {value}" for name, value in directives.items())


POLICIES = {
    # Alpine makes functions of the attributes in the theme's HTML, and the theme sets style attributes.
    "/admin/": _policy(
        script_src="'self' 'unsafe-eval'", style_src="'self' 'unsafe-inline'"
    ),
    # Swagger UI sets style attributes.
    "/docs/": _policy(style_src="'self' 'unsafe-inline'", form_action="'none'"),
    "/api/": "default-src 'none'; frame-ancestors 'none'",
    "/v1/": "default-src 'none'; frame-ancestors 'none'",
    "/": _policy(),
}
"""By how the path begins; the first that fits."""

PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"


class SecurityHeadersMiddleware:
    """Beside what Django's SecurityMiddleware says. A view that sets one of these headers itself has its way."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        policy = next(
            policy
            for prefix, policy in POLICIES.items()
            if request.path.startswith(prefix) or prefix == "/"
        )
        response.headers.setdefault("Content-Security-Policy", policy)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response


def secret_in_address(
    page: Callable[..., HttpResponseBase],
) -> Callable[..., HttpResponseBase]:
    """For a page whose link came by mail with a token in it: no server is told that address, not even our own log of what came next.

    `no-referrer` would take the origin from the page's form, too, and then nobody could tell it from another site's.
    """

    @wraps(page)
    def opened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        response = page(request, *args, **kwargs)
        response.headers["Referrer-Policy"] = "strict-origin"
        return response

    return opened
