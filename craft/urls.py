"""All addresses. The apps' resources are served at both base paths by the same viewsets; an app lists its own in
`<app>/urls.py: routes`, and its pages there as `pages`."""

from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from rest_framework.routers import SimpleRouter

from craft.api import docs, system


def collect(name: str) -> list[Any]:
    """What the apps list under this name in their `urls.py`."""
    found: list[Any] = []
    for app in settings.CRAFT_APPS:
        found += getattr(import_module(f"{app}.urls"), name, [])
    return found


def build_router(routes: list[tuple[str, Any, str]]) -> SimpleRouter:
    router = SimpleRouter(trailing_slash=False)
    for prefix, viewset, basename in routes:
        router.register(prefix, viewset, basename=basename)
    return router


routes = [*system.routes, *collect("routes")]
api = build_router(routes).urls
workflows_only = build_router(
    [route for route in routes if route[0].partition("/")[0] == "workflows"]
).urls

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", system.healthz),
    path("readyz", system.readyz),
    path("api/v1/", include((api, "api"), namespace="api_v1")),
    path("v1/", include((api, "api"), namespace="v1")),
    path(
        "api/", include((workflows_only, "api"), namespace="alias")
    ),  # document 003's own snippet calls /api/workflows
    path("docs/", include(docs.urlpatterns)),
    path("admin/", admin.site.urls),
    *collect("pages"),
]

handler400 = "craft.api.exceptions.bad_request"
handler403 = "craft.api.exceptions.permission_denied"
handler404 = "craft.api.exceptions.page_not_found"
handler500 = "craft.api.exceptions.server_error"
