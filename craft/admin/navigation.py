"""The console's sidebar, in the product's own words, and what its search finds. Apps are named by string: this package imports none."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst
from unfold.dataclasses import SearchResult

from craft.admin import AN_ID, CompanyColumn, ConsoleAdmin
from craft.admin.shown import list_of, page_of
from craft.fields import IdField

GROUPS: dict[str, dict[str, str]] = {
    "People": {
        "accounts.company": "apartment",
        "accounts.user": "group",
        "accounts.outlet": "storefront",
        "accounts.invitation": "forward_to_inbox",
        "accounts.apikey": "key",
    },
    "Workflows": {
        "workflows.workflow": "account_tree",
        "workflows.execution": "play_circle",
        "workflows.approval": "how_to_reg",
    },
    "Agents": {
        "agents.agent": "smart_toy",
        "agents.agentexecution": "forum",
    },
    "Data": {"datasources.datasource": "database"},
    "Outside": {"integrations.credential": "vpn_key"},
    "Billing": {
        "billing.subscription": "receipt_long",
        "billing.plan": "sell",
    },
    "System": {
        "accounts.mail": "mail",
        "accounts.auditentry": "policy",
        "admin.logentry": "history",
    },
}
"""Group -> model -> icon. A model that no app has yet, or that the console does not show, is left out."""

TITLES = {"accounts.auditentry": "Audit log", "admin.logentry": "Operator log"}
FOUND_PER_KIND = 5
SHORTEST_SEARCH = 2


def get_navigation(request: HttpRequest) -> list[dict[str, Any]]:
    groups = [
        {"title": title, "items": _items(models)} for title, models in GROUPS.items()
    ]
    groups[-1]["items"] += [  # type: ignore[operator]  # a list, like all of them
        {"title": "API console", "icon": "terminal", "link": reverse("docs")}
    ]
    overview = {
        "title": "Overview",
        "icon": "monitoring",
        "link": reverse("admin:index"),
    }
    return [{"title": "", "items": [overview]}, *groups]


def _items(models: dict[str, str]) -> list[dict[str, Any]]:
    items = []
    for label, icon in models.items():
        try:
            model = apps.get_model(label)
        except LookupError:
            continue
        if admin.site.is_registered(model):
            title = TITLES.get(label) or capfirst(str(model._meta.verbose_name_plural))
            items.append({"title": title, "icon": icon, "link": list_of(model)})
    return items


def company_columns() -> dict[type[Model], CompanyColumn]:
    """What the apps have to say of each company, in the sidebar's order."""
    places = [label for models in GROUPS.values() for label in models]
    columns = {
        model: model_admin.company_column
        for model, model_admin in admin.site._registry.items()
        if isinstance(model_admin, ConsoleAdmin) and model_admin.company_column
    }
    return {
        model: columns[model]
        for model in sorted(
            columns, key=lambda model: places.index(model._meta.label_lower)
        )
    }


def search(request: HttpRequest, term: str) -> list[SearchResult]:
    """A few rows of each kind; for an id, the row itself."""
    term = term.strip()
    if len(term) < SHORTEST_SEARCH:
        return []
    icons = {
        label: icon for models in GROUPS.values() for label, icon in models.items()
    }
    found = []
    for model, model_admin in admin.site._registry.items():
        if not isinstance(model_admin, ConsoleAdmin) or model is admin.models.LogEntry:
            continue
        for row in _rows(request, model_admin, term):
            kind = capfirst(str(model._meta.verbose_name))
            icon = icons.get(model._meta.label_lower, "tag")
            found.append(SearchResult(str(row), kind, page_of(row), icon))
    return found


def _rows(request: HttpRequest, model_admin: ConsoleAdmin, term: str) -> list[Any]:
    if not model_admin.search_fields or not model_admin.has_view_permission(request):
        return []
    rows = model_admin.get_queryset(request).order_by()
    if AN_ID.fullmatch(term):
        has_text_key = isinstance(model_admin.model._meta.pk, IdField)
        return list(rows.filter(pk=term)) if has_text_key else []
    if model_admin.is_found_by_id_only:
        return []
    matching, may_repeat = model_admin.get_search_results(request, rows, term)
    found = matching.distinct() if may_repeat else matching
    return list(found[:FOUND_PER_KIND])
