from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from craft.admin import (
    CompanyColumn,
    ConsoleAdmin,
    ConsoleInline,
    count_of,
    is_operator,
)
from craft.admin.shown import (
    as_badge,
    as_bytes,
    as_count,
    as_moment,
    as_row_link,
    as_time,
)
from craft.admin.writing import Writer
from datasources import services
from datasources.models import DataSource, DataTable


class SourceWriter(Writer):
    def update(self, row: DataSource, values: dict[str, Any]) -> None:
        services.update_source(row, **values)

    def delete(self, row: DataSource) -> None:
        services.delete_source(row)


class TableInline(ConsoleInline):
    """The tables of a source. What is in them is their company's, and not shown."""

    model = DataTable
    can_delete = False
    fields = ["name", "column_names", "rows", "size", "original_name"]
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_operator(request)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Columns")
    def column_names(self, table: DataTable) -> str:
        return ", ".join(
            f"{column['name']} {column['type']}" for column in table.columns
        )

    @admin.display(description="Rows")
    def rows(self, table: DataTable) -> str:
        return as_count(table.row_count)

    @admin.display(description="Size")
    def size(self, table: DataTable) -> str:
        return as_bytes(table.bytes)


@admin.register(DataSource)
class DataSourceAdmin(ConsoleAdmin):
    """What companies have connected. Sources are made by uploads, so there is nothing to add here."""

    list_display = ["source_name", "in_company", "engine", "state", "table_count", "size", "made"]  # fmt: skip
    list_filter = [("company", AutocompleteSelectFilter), "engine", "status"]
    list_filter_submit = True
    list_select_related = ["company"]
    search_fields = ["source_name"]
    ordering = ["-id"]
    writer = SourceWriter()
    inlines = [TableInline]
    fields = ["id", "company", "source_name", "source_type", "engine", "mode", "status", "created_by", "made_at"]  # fmt: skip
    readonly_fields = [name for name in fields if name != "source_name"]
    empty_hint = "A source appears when somebody uploads a file."
    company_column = CompanyColumn(
        "data_sources", "Data sources", lambda: count_of(DataSource)
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[DataSource]:
        rows: QuerySet[DataSource] = super().get_queryset(request)
        return rows.annotate(tables_in=Count("tables"), bytes_in=Sum("tables__bytes"))

    @admin.display(description="Company", ordering="company__name")
    def in_company(self, source: DataSource) -> SafeString:
        return as_row_link(source.company)

    @admin.display(description="Status", ordering="status")
    def state(self, source: DataSource) -> SafeString:
        return as_badge(source.status)

    @admin.display(description="Tables", ordering="tables_in")
    def table_count(self, source: Any) -> str:
        return as_count(source.tables_in)

    @admin.display(description="Size", ordering="bytes_in")
    def size(self, source: Any) -> str:
        return as_bytes(source.bytes_in or 0)

    @admin.display(description="Created", ordering="id")
    def made(self, source: DataSource) -> SafeString:
        return as_moment(source.created_at)

    @admin.display(description="Created")
    def made_at(self, source: DataSource) -> SafeString:
        return as_time(source.created_at)
