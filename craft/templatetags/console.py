"""The console's way of writing values down, for its templates."""

from typing import Any

from django import template

from craft.admin import shown

register = template.Library()

register.filter("badge", shown.as_badge)
register.filter("bytes", shown.as_bytes)
register.filter("compact", shown.compact)
register.filter("count", shown.as_count)
register.filter("duration", shown.as_duration)
register.filter("exactly", shown.exactly)
register.filter("figure", shown.as_figure)
register.filter("id", shown.as_id)
register.filter("json", shown.as_json)
register.filter("moment", shown.as_moment)
register.filter("page", shown.page_of)
register.filter("row_link", shown.as_row_link)
register.filter("time", shown.as_time)


@register.inclusion_tag("craft/admin/fold.html")
def fold(title: str, value: Any, *, is_open: bool = False) -> dict[str, Any]:
    """A JSON value behind its title, with a glimpse of what is in it."""
    glimpse = shown.in_short(value)
    return {"title": title, "value": value, "glimpse": glimpse, "is_open": is_open}
