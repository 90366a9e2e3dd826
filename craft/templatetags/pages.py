"""What every page is dressed with: icons, moments."""

import json
from datetime import UTC, datetime
from itertools import groupby
from zoneinfo import ZoneInfo

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince

from craft.events import spoken

register = template.Library()

ICONS = {
    "alert": '<circle cx="12" cy="12" r="9"/><path d="M12 8v4.5M12 16h.01"/>',
    "book": '<path d="M4 19V5.5A2.5 2.5 0 0 1 6.5 3H20v18H6.5A2.5 2.5 0 0 1 4 18.5 2.5 2.5 0 0 1 6.5 16H20"/>',
    "building": '<rect x="5" y="3" width="14" height="18" rx="2"/><path d="M9 7h.01M15 7h.01M9 11h.01M15 11h.01M9 15h.01M15 15h.01"/>',
    "check": '<path d="m5 12.5 4.5 4.5L19 7.5"/>',
    "close": '<path d="M6 6l12 12M18 6 6 18"/>',
    "copy": '<rect x="9" y="9" width="12" height="12" rx="2"/><path d="M5 15H4a1 1 0 0 1-1-1V5a2 2 0 0 1 2-2h9a1 1 0 0 1 1 1v1"/>',
    "device": '<rect x="3" y="4" width="18" height="12" rx="2"/><path d="M8 20h8M12 16v4"/>',
    "download": '<path d="M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14"/>',
    "flask": '<path d="M9 3h6M10 3v6l-5.2 8.7A2.2 2.2 0 0 0 6.7 21h10.6a2.2 2.2 0 0 0 1.9-3.3L14 9V3M7.5 15h9"/>',
    "gear": '<circle cx="12" cy="12" r="3"/><path d="M12 3v2.5M12 18.5V21M3 12h2.5M18.5 12H21M5.6 5.6l1.8 1.8M16.6 16.6l1.8 1.8M18.4 5.6l-1.8 1.8M7.4 16.6l-1.8 1.8"/>',
    "home": '<path d="m4 11 8-7 8 7v8a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 19zM9.5 20.5V14h5v6.5"/>',
    "key": '<circle cx="8" cy="15.5" r="4.5"/><path d="m11.2 12.3 8.3-8.3M16 7.5l3 3"/>',
    "leave": '<path d="M9 21H6a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2h3M16 16.5l4.5-4.5L16 7.5M20 12H9"/>',
    "log": '<path d="M8 6h12M8 12h12M8 18h12M4 6h.01M4 12h.01M4 18h.01"/>',
    "mail": '<rect x="3" y="5" width="18" height="14" rx="2"/><path d="m3.5 7 8.5 6 8.5-6"/>',
    "moon": '<path d="M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z"/>',
    "people": '<circle cx="9" cy="8" r="3.5"/><path d="M2.5 20a6.5 6.5 0 0 1 13 0M16 4.8a3.5 3.5 0 0 1 0 6.4M17.5 14.2a6.5 6.5 0 0 1 4 5.8"/>',
    "person": '<circle cx="12" cy="8" r="4"/><path d="M4.5 20.5a7.5 7.5 0 0 1 15 0"/>',
    "pin": '<path d="M12 21s7-6.1 7-11.5A7 7 0 0 0 5 9.5C5 14.9 12 21 12 21z"/><circle cx="12" cy="9.5" r="2.5"/>',
    "plus": '<path d="M12 5v14M5 12h14"/>',
    "shield": '<path d="M12 21c5-2 7.5-5.5 7.5-10V5.5L12 3 4.5 5.5V11c0 4.5 2.5 8 7.5 10z"/><path d="m9 11.5 2.2 2.2L15.5 9.5"/>',
    "sun": '<circle cx="12" cy="12" r="4"/><path d="M12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3l1.8 1.8M16.9 16.9l1.8 1.8M18.7 5.3l-1.8 1.8M7.1 16.9l-1.8 1.8"/>',
    "terminal": '<rect x="3" y="4" width="18" height="16" rx="2"/><path d="m7.5 9.5 3 2.5-3 2.5M13 15h3.5"/>',
}


@register.simple_tag
def icon(name: str, size: int = 18, shown_when: str = "") -> SafeString:
    """Beside words that say the same, so it is hidden from screen readers."""
    return format_html(
        '<svg class="{}" width="{}" height="{}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75"'
        ' stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{}</svg>',
        shown_when,
        size,
        size,
        mark_safe(ICONS[name]),  # noqa: S308  # from the table above
    )


@register.filter
def moment(when: datetime) -> SafeString:
    """Near moments as one says them, far ones as dates; the exact time in UTC on hovering."""
    local = timezone.localtime(when)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        local.isoformat(),
        local.strftime("%Y-%m-%d %H:%M:%S"),
        _spoken(when),
    )


@register.filter
def stamp(when: datetime) -> SafeString:
    """The exact minute, where it matters which."""
    utc = timezone.localtime(when, UTC)
    return format_html(
        '<time datetime="{}">{}</time>',
        utc.isoformat(),
        f"{utc:%-d %b %Y, %H:%M} UTC",
    )


def _spoken(when: datetime) -> str:
    now = timezone.now()
    if when > now:
        return f"{when:%-d %b %Y}"
    seconds = (now - when).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 7 * 86400:
        return f"{timesince(when, now, depth=1)} ago"
    return f"{when:%-d %b %Y}"


@register.filter
def clock(time_zone: str) -> str:
    """What time it is there."""
    return f"{timezone.localtime(timezone.now(), ZoneInfo(time_zone)):%H:%M}"


WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@register.filter
def hours(week: dict[str, list[dict[str, str]]]) -> list[tuple[str, str]]:
    """A week as a shop's door says it: days that are alike stand together, and those when it is closed are left out."""
    by_day = {day[:3].capitalize(): spans for day, spans in week.items()}
    lines: list[tuple[str, str]] = []
    for spans, days in groupby(WEEKDAYS, key=lambda day: _spans(by_day.get(day, []))):
        first, *others = days
        if spans:
            lines.append((f"{first}–{others[-1]}" if others else first, spans))
    return lines


def _spans(spans: list[dict[str, str]]) -> str:
    return ", ".join(f"{span['opens']}–{span['closes']}" for span in spans)


@register.filter
def initials(name: str) -> str:
    words = [word for word in name.replace("@", " ").split() if word]
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()


register.filter("event", spoken)


@register.filter
def value(side: object) -> str:
    """One side of a change: texts as they are, all else as JSON."""
    if isinstance(side, str):
        return side or "(empty)"
    return json.dumps(side, ensure_ascii=False)


BROWSERS = {"Edg": "Edge", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
SYSTEMS = {
    "Windows": "Windows",
    "Android": "Android",
    "iPhone": "iPhone",
    "iPad": "iPad",
    "Mac OS": "macOS",
    "Linux": "Linux",
}


@register.filter
def device(user_agent: str) -> str:
    """What a user agent says it is, in the words of its owner: "Firefox on Windows". A program goes by its own name."""
    browser = next((name for mark, name in BROWSERS.items() if mark in user_agent), "")
    system = next((name for mark, name in SYSTEMS.items() if mark in user_agent), "")
    if browser:
        return f"{browser} on {system}" if system else browser
    return user_agent.split("/")[0].split(" ")[0] or "Unknown device"
