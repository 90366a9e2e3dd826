"""What every page of the operator console shares."""

from __future__ import annotations

import json
from typing import Any

from django.db import models
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

JSON_SHOWN = 20_000


class ConsoleAdmin(ModelAdmin):
    """An operator sees all companies: the console reads through `unscoped`, which is these models' default manager."""

    list_per_page = 50
    show_full_result_count = False
    compressed_fields = True


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


def as_json(value: Any) -> SafeString:
    """A value as a person reads it: indented, and cut where it goes on for pages."""
    if value is None:
        return format_html("{}", "-")
    text = json.dumps(value, indent=2, ensure_ascii=False)
    cut = text[:JSON_SHOWN] + ("\n…" if len(text) > JSON_SHOWN else "")
    return format_html('<pre class="craft-json">{}</pre>', cut)


def as_duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    if milliseconds < 1_000:
        return f"{milliseconds:.1f} ms"
    seconds = milliseconds / 1_000
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
