"""How the console writes values down: statuses, moments, durations, JSON, links."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe

JSON_SHOWN = 20_000
ERROR_SHOWN = 300
DASH = "\N{EN DASH}"
SPACE = "\N{NO-BREAK SPACE}"
NOTHING = format_html("{}", DASH)

TONES = {
    "completed": "good",
    "active": "good",
    "published": "good",
    "connected": "good",
    "trialing": "live",
    "running": "live",
    "waiting": "wait",
    "pending": "idle",
    "failed": "bad",
    "unknown": "bad",
    "disconnected": "bad",
    "canceled": "off",
    "cancelled": "off",
    "skipped": "off",
    "draft": "off",
}
"""One colour for a word, wherever it is shown."""

_TOKEN = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*")(?=:)|(?P<text>"(?:[^"\\]|\\.)*")|(?P<word>\b(?:true|false|null)\b)|(?P<number>-?\d[\d.eE+-]*)'
)


# --- Words ---


def as_badge(status: str, label: str = "") -> SafeString:
    return format_html(
        '<span class="craft-badge craft-{}">{}</span>',
        TONES.get(status, "off"),
        label or status.capitalize(),
    )


def as_quiet(text: object) -> SafeString:
    return format_html('<span class="craft-quiet">{}</span>', text)


def as_link(url: str, label: object, *, title: str = "") -> SafeString:
    return format_html(
        '<a class="craft-link" href="{}" title="{}">{}</a>', url, title, label
    )


def as_failure(error: dict[str, Any]) -> SafeString:
    """An error's message, in two lines at the most; a page shows it whole."""
    return format_html(
        '<span class="craft-error craft-clamped" title="{}">{}</span>',
        error.get("code", ""),
        str(error.get("message", ""))[:ERROR_SHOWN],
    )


def as_row_link(row: models.Model | None, label: object = "") -> SafeString:
    """A row by its name, leading to its page."""
    return as_link(page_of(row), label or row) if row is not None else NOTHING


def as_id(pk: str) -> SafeString:
    """The end of an id, which tells it from its neighbours; the beginning is the time."""
    return format_html('<code class="craft-id" title="{0}">…{1}</code>', pk, pk[-8:])


def page_of(row: models.Model) -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


def list_of(model: type[models.Model], **filters: Any) -> str:
    meta = model._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


# --- Numbers ---


def as_count(number: float | None) -> str:
    return DASH if number is None else f"{number:,}"


def as_figure(value: object) -> str:
    """A number, or a word in its place."""
    return as_count(value) if isinstance(value, int | float) else str(value or DASH)


def as_bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1_000:
            return _measured(size, unit, digits=0 if unit == "B" else 1)
        size /= 1_000
    return _measured(size, "TB", digits=1)


def as_duration(milliseconds: float | None) -> str:
    if milliseconds is None:
        return DASH
    if milliseconds < 0.1:
        return f"<{SPACE}0.1{SPACE}ms"
    if milliseconds < 1_000:
        return _measured(milliseconds, "ms", digits=1 if milliseconds < 10 else 0)
    if milliseconds < 10_000:
        return _measured(milliseconds / 1_000, "s", digits=1)
    return in_words(timedelta(milliseconds=milliseconds))


def in_words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return _measured(seconds // size, unit)
    return _measured(seconds, "s")


def _measured(number: float, unit: str, *, digits: int = 0) -> str:
    return f"{number:,.{digits}f}{SPACE}{unit}"


def as_moment(moment: datetime | None) -> SafeString:
    """How long ago; the exact time on hovering."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time class="craft-moment" datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        exactly(moment),
        since(moment),
    )


def as_time(moment: datetime | None) -> SafeString:
    """The exact time, and how long ago that is."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time datetime="{}">{}</time> <span class="craft-quiet">{}</span>',
        moment.isoformat(),
        exactly(moment),
        since(moment),
    )


def exactly(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def since(moment: datetime) -> str:
    past = timezone.now() - moment
    if past < timedelta(0):
        return f"in {in_words(-past)}"
    return "just now" if past < timedelta(seconds=1) else f"{in_words(past)} ago"


# --- JSON ---


def as_json(value: Any) -> SafeString:
    """A value as a person reads it: indented, coloured, and cut where it goes on for pages."""
    if value is None:
        return NOTHING
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    shown = _coloured(text[:JSON_SHOWN])
    if len(text) > JSON_SHOWN:
        rest = f"\n… cut: {as_bytes(len(text))} in all"
        shown += format_html('<span class="craft-quiet">{}</span>', rest)
    return format_html('<pre class="craft-json">{}</pre>', shown)


def _coloured(text: str) -> SafeString:
    pieces: list[tuple[str, str]] = []
    end = 0
    for token in _TOKEN.finditer(text):
        pieces += [
            ("plain", text[end : token.start()]),
            (str(token.lastgroup), token[0]),
        ]
        end = token.end()
    pieces.append(("plain", text[end:]))
    return format_html_join("", '<span class="json-{}">{}</span>', pieces)


def in_short(value: Any) -> str:
    """What kind of thing a JSON value is, before it is unfolded."""
    match value:
        case None:
            return "nothing"
        case dict():
            return ", ".join(list(value)[:6]) + (" …" if len(value) > 6 else "") or "{}"
        case list():
            return f"{len(value)} item" + ("" if len(value) == 1 else "s")
        case str():
            return value if len(value) <= 60 else f"{value[:60]}…"
        case _:
            return json.dumps(value)


def compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def joined(parts: list[SafeString], separator: str = ", ") -> SafeString:
    return mark_safe(separator.join(parts)) if parts else NOTHING  # noqa: S308  # each part is safe, and so is the separator
