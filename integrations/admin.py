from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from craft.admin import CompanyColumn, ConsoleAdmin, count_of
from craft.admin.shown import as_badge, as_moment, as_row_link, as_time
from craft.admin.writing import Writer
from integrations.models import Credential
from integrations.services import credentials


class CredentialWriter(Writer):
    def delete(self, row: Credential) -> None:
        credentials.delete_credential(row)


@admin.register(Credential)
class CredentialAdmin(ConsoleAdmin):
    """What companies keep for services outside: that it is there, and since when. What is in it is theirs, and not shown."""

    list_display = ["name", "in_company", "kind_shown", "state", "rotated", "made"]
    list_filter = [("company", AutocompleteSelectFilter), "type"]
    list_filter_submit = True
    list_select_related = ["company"]
    search_fields = ["name"]
    ordering = ["-id"]
    writer = CredentialWriter()
    fields = ["id", "company", "name", "kind_shown", "secrets_it_has", "created_by", "made_at", "rotated_at_shown"]  # fmt: skip
    readonly_fields = fields
    empty_hint = "A credential appears when somebody makes one by the API."
    company_column = CompanyColumn(
        "credentials", "Credentials", lambda: count_of(Credential)
    )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="Company", ordering="company__name")
    def in_company(self, credential: Credential) -> SafeString:
        return as_row_link(credential.company)

    @admin.display(description="Type", ordering="type")
    def kind_shown(self, credential: Credential) -> str:
        return credential.type

    @admin.display(description="Secret")
    def state(self, credential: Credential) -> SafeString:
        return (
            as_badge("completed", "set")
            if credential.is_set
            else as_badge("waiting", "missing")
        )

    @admin.display(description="Secret fields")
    def secrets_it_has(self, credential: Credential) -> str:
        return ", ".join(credential.secret_fields)

    @admin.display(description="Rotated", ordering="rotated_at")
    def rotated(self, credential: Credential) -> SafeString:
        return as_moment(credential.rotated_at)

    @admin.display(description="Created", ordering="id")
    def made(self, credential: Credential) -> SafeString:
        return as_moment(credential.created_at)

    @admin.display(description="Created")
    def made_at(self, credential: Credential) -> SafeString:
        return as_time(credential.created_at)

    @admin.display(description="Rotated")
    def rotated_at_shown(self, credential: Credential) -> SafeString:
        return as_time(credential.rotated_at)
