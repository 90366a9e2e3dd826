"""Filters of dates. A date is an ISO 8601 string, or a number of seconds since 1970; one without an offset is UTC."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from workflows.engine.expressions.bounds import Budget, ExpressionError

_DIRECTIVE = re.compile(r"%([-]?.?)", re.DOTALL)
_ALLOWED = frozenset("YmdHMSfzZaAbBjpIyUWuGV%")


def _read(value: Any) -> datetime:
    try:
        if type(value) is str:
            moment = datetime.fromisoformat(value[:100].strip())
        else:
            moment = datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError) as error:
        shown = f"'{value[:40]}'" if type(value) is str else str(value)
        raise ExpressionError(f"{shown} is no date.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name[:100])
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ExpressionError(f"There is no time zone '{name[:40]}'.") from error


def _write(moment: datetime) -> str:
    text = moment.isoformat(
        timespec="milliseconds" if moment.microsecond else "seconds"
    )
    return text.removesuffix("+00:00") + "Z" if text.endswith("+00:00") else text


def _later(value: str | float, seconds: float) -> str:
    try:
        return _write(_read(value) + timedelta(seconds=seconds))
    except OverflowError as error:
        raise ExpressionError("The date falls out of the calendar.") from error


def date(budget: Budget, value: str | float, timezone: str = "UTC") -> str:
    """The day: '2026-03-01'."""
    return _read(value).astimezone(_zone(timezone)).date().isoformat()


def format_datetime(
    budget: Budget,
    value: str | float,
    format: str = "%Y-%m-%d %H:%M:%S",
    timezone: str = "UTC",
) -> str:
    """By the directives %Y %m %d %H %M %S %f %z %Z %a %A %b %B %j %p %I %y %U %W %u %G %V."""
    if len(format) > 200:
        raise ExpressionError("format_datetime takes a format of 200 characters.")
    for directive in _DIRECTIVE.findall(format):
        if directive not in _ALLOWED:
            raise ExpressionError(f"format_datetime knows no directive %{directive}.")
    return _read(value).astimezone(_zone(timezone)).strftime(format)


def in_timezone(budget: Budget, value: str | float, timezone: str) -> str:
    """The same moment, as clocks in that zone show it."""
    return _write(_read(value).astimezone(_zone(timezone)))


def add_seconds(budget: Budget, value: str | float, seconds: float) -> str:
    """So many seconds later, or earlier if negative."""
    return _later(value, seconds)


def add_days(budget: Budget, value: str | float, days: float) -> str:
    """So many days of 24 hours later, or earlier if negative."""
    return _later(value, days * 86_400)


def timestamp(budget: Budget, value: str | float) -> float:
    """Seconds since 1970."""
    seconds = _read(value).timestamp()
    return int(seconds) if seconds.is_integer() else seconds


def seconds_until(budget: Budget, value: str | float, other: str | float) -> float:
    """From one date to another; negative where the other is earlier."""
    seconds = (_read(other) - _read(value)).total_seconds()
    return int(seconds) if seconds.is_integer() else seconds


FILTERS: dict[str, Callable[..., Any]] = {
    "date": date,
    "format_datetime": format_datetime,
    "in_timezone": in_timezone,
    "add_seconds": add_seconds,
    "add_days": add_days,
    "timestamp": timestamp,
    "seconds_until": seconds_until,
}
