"""What every page of the operator console shares: who may see it, how rows are found and counted, and that what an operator does is known to be theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.paginator import Paginator
from django.db import models
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import URLPattern
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin, TabularInline
from unfold.views import ChangeList

from craft.admin.shown import DASH, as_id, as_link, as_moment
from craft.admin.writing import (
    ConsoleFormSet,
    Writer,
    create_row,
    delete_row,
    update_row,
    ways_round,
)
from craft.events import current_actor
from craft.exceptions import DomainError
from craft.fields import IdField

AN_ID = re.compile(r"([a-z]+)_[0-9a-z]{26}")
COUNTED = 10_000
"""A list says how many rows it has up to here, so that opening it never reads a whole table."""


def is_operator(request: HttpRequest) -> bool:
    """There is one kind of operator, and they may do what the console offers."""
    return bool(request.user.is_active and getattr(request.user, "is_staff", False))


@dataclass(frozen=True)
class CompanyColumn:
    """What the console says of each company about one kind of row. `value` refers to the company as OuterRef("pk")."""

    name: str
    title: str
    value: Callable[[], Combinable]


def count_of(model: type[models.Model]) -> Combinable:
    """How many rows each company has, as a column: no query per company."""
    rows = model._default_manager.filter(company=OuterRef("pk"))
    own = rows.order_by().values("company")
    return Coalesce(Subquery(own.values(number=Count("pk"))), 0)


class ConsolePaginator(Paginator[Any]):
    template_name = "craft/admin/pagination.html"

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return int(rows.order_by().values("pk")[: COUNTED + 1].count())

    @property
    def counted(self) -> int:
        return COUNTED

    @property
    def is_cut(self) -> bool:
        return self.count > COUNTED


class ConsoleList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            self.full_result_count = (
                self.result_count
            )  # else the header offers to "show all"


class ConsoleAdmin(ModelAdmin):
    """An operator sees all companies: the console reads through `unscoped`, which is these models' default manager."""

    list_per_page = 50
    list_fullwidth = True
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = ConsolePaginator
    compressed_fields = True
    empty_value_display = DASH
    empty_hint = ""
    """What to do when there is nothing in the list."""
    is_found_by_id_only = False
    """Rows without names of their own would drown the names that the console's search finds."""
    company_column: CompanyColumn | None = None
    writer = Writer()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return ConsoleList

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        context["show_save_and_add_another"] = False
        return super().render_change_form(request, context, *args, **kwargs)  # type: ignore[no-any-return]  # unfold is not typed

    # --- Who may ---

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    def has_view_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return is_operator(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_operator(request)

    def has_change_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return is_operator(request)

    def has_delete_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return is_operator(request)

    def get_urls(self) -> list[URLPattern]:
        urls = super().get_urls()
        for url in urls:
            url.callback = as_operator(url.callback)
        return urls  # type: ignore[no-any-return]  # unfold is not typed

    # --- Writing: all of it by the writer, see craft/admin/writing.py ---

    def save_model(
        self, request: HttpRequest, obj: models.Model, form: Any, change: bool
    ) -> None:
        if change:
            update_row(self.writer, obj, form)
        else:
            create_row(self.writer, obj)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        delete_row(self.writer, obj)

    def delete_queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> None:
        for row in queryset:
            delete_row(self.writer, row)

    # --- Finding rows ---

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """A whole id finds its row, or the rows that belong to it, by an index; anything else is looked for in `search_fields`."""
        given = AN_ID.fullmatch(search_term.strip())
        if given is None:
            return super().get_search_results(request, queryset, search_term)  # type: ignore[no-any-return]  # unfold is not typed
        pk = self.model._meta.pk
        if isinstance(pk, IdField) and pk.prefix == given[1]:
            return queryset.filter(pk=given[0]), False
        belongs = Q(pk__in=[])
        for field in self.model._meta.concrete_fields:
            if isinstance(field, models.ForeignKey):
                target = field.target_field
                if isinstance(target, IdField) and target.prefix == given[1]:
                    belongs |= Q(**{field.name: given[0]})
        return queryset.filter(belongs), False


class ReadOnlyAdmin(ConsoleAdmin):
    """Rows that the platform writes: looked at, never edited."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: models.Model | None = None
    ) -> bool:
        return False


class ConsoleInline(TabularInline):
    """Rows on the page of what they belong to; whoever lets them be changed names a form set with a writer."""

    formset = ConsoleFormSet
    extra = 0
    hide_title = True


def as_operator(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """What a service publishes from here says who did it; what it refuses, the page says."""

    @wraps(view)
    def acting(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            actor = replace(current_actor.get(), user_id=str(request.user.pk))
            current_actor.set(actor)
        try:
            return view(request, *args, **kwargs)
        except DomainError as error:
            messages.error(request, error.message)
            return redirect(request.get_full_path())

    return acting


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """What operators did in this console."""

    list_display = ["moment", "user", "deed", "what", "kind"]
    list_display_links = None
    list_select_related = ["user", "content_type"]
    list_filter = ["action_flag"]
    search_fields = ["object_repr", "object_id", "user__email"]
    ordering = ["-id"]
    fields = ["action_time", "user", "deed", "what", "kind"]
    readonly_fields = fields
    empty_hint = "Nobody has changed anything here yet."

    @admin.display(description="When", ordering="id")
    def moment(self, entry: LogEntry) -> SafeString:
        return as_moment(entry.action_time)

    @admin.display(description="Did")
    def deed(self, entry: LogEntry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()

    @admin.display(description="To")
    def what(self, entry: LogEntry) -> SafeString | str:
        name = entry.object_repr
        label = as_id(name) if AN_ID.fullmatch(name) else name
        url = None if entry.is_deletion() else entry.get_admin_url()
        return as_link(url, label) if url else label

    @admin.display
    def kind(self, entry: LogEntry) -> str:
        return entry.content_type.name if entry.content_type else DASH


@register(Tags.admin)
def check_writing(**_: Any) -> Iterator[CheckMessage]:
    for model_admin in admin.site._registry.values():
        for way in ways_round(type(model_admin), ConsoleAdmin):
            yield Error(
                f"{way} writes past the console's door: the companies' audit logs may not show what an operator changes there.",
                hint="Give the admin class, or the form set of its inline (a ConsoleFormSet), a Writer of craft.admin.writing that calls a service.",
                id="craft.E051",
            )
