"""Reckons with times."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.relativedelta import relativedelta

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.items import is_number
from workflows.nodes.resolved import choice, is_expression, number, text

MAX_AMOUNT = 1_000_000_000
CLOCK = {"milliseconds": 0.001, "seconds": 1, "minutes": 60, "hours": 3600}
CALENDAR = ("days", "weeks", "months", "years")
UNITS = (*CLOCK, *CALENDAR)
OPERATIONS = (
    *("now", "parse", "format", "convert", "add", "subtract", "difference", "round"),
)
BELONGS = {
    "format": ("parse", "format"),
    "amount": ("add", "subtract"),
    "unit": ("add", "subtract", "difference", "round"),
    "other": ("difference",),
    "direction": ("round",),
}
NEEDS = {
    "format": ("format",),
    "add": ("amount", "unit"),
    "subtract": ("amount", "unit"),
    "difference": ("other", "unit"),
    "round": ("unit",),
}
DIRECTIVE = re.compile(r"%(.?)", re.DOTALL)
DIRECTIVES = frozenset("YmdHMSfzZaAbBjpIyUWuGV%")


class Datetime(Node):
    type = "datetime"
    family = "processing"
    summary = "Reads, writes and reckons with dates and times, in any time zone."
    config_schema = {
        "type": "object",
        "properties": {
            "operation": {
                "enum": list(OPERATIONS),
                "description": "now: when the node was reached. parse: reads a time. format: writes it as people read it. convert: shows it in the time zone. add, subtract: so many units later or earlier."
                " difference: from `value` to `other`, in units. round: to a whole unit.",
            },
            "value": {
                "description": "A time: ISO 8601, an e-mail's date, or seconds since 1970; without an offset it is in the time zone. Without it, the node's input."
            },
            "timezone": {
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "default": "UTC",
                "description": "An IANA name such as `Europe/Berlin`: whose days, months and clocks count, and how the output is written.",
            },
            "format": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "description": "For format and parse: directives such as `%d.%m.%Y %H:%M`.",
            },
            "amount": {
                "type": "number",
                "minimum": -MAX_AMOUNT,
                "maximum": MAX_AMOUNT,
                "description": "For add and subtract: how many units. Days and longer are whole, and keep the time of day.",
            },
            "unit": {
                "enum": list(UNITS),
                "description": "A month later than 31 January is the last day of February. A difference in months or years counts whole ones.",
            },
            "other": {"description": "For difference: the other time."},
            "direction": {
                "enum": ["down", "up", "nearest"],
                "default": "down",
                "description": "For round. A week begins on Monday.",
            },
        },
        "required": ["operation"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "operation": "add",
            "value": "{{ input.signed }}",
            "amount": 1,
            "unit": "months",
            "timezone": "Europe/Berlin",
        },
        "input": {"signed": "2027-02-28T09:00:00Z"},
        "output": "2027-03-28T10:00:00+02:00",
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults: dict[str, str] = {}
        operation = config["operation"]
        if not is_expression(operation):
            for name, belongs in BELONGS.items():
                if name in config and operation not in belongs:
                    faults[name] = f"`{name}` goes with {' and '.join(belongs)}."
            for name in NEEDS.get(operation, ()):
                if name not in config:
                    faults[name] = f"{operation} needs it."
        readers: dict[str, Callable[[str], Any]] = {
            "timezone": _zone,
            "format": _directives,
        }
        for name, read in readers.items():
            if name in config and not is_expression(config[name]):
                try:
                    read(config[name])
                except NodeError as error:
                    faults.setdefault(name, error.message)
        return faults

    async def run(self, call: Call) -> Output:
        zone = _zone(text(call, "timezone", "UTC"))
        operation = choice(call, "operation", OPERATIONS, "")
        if operation == "now":
            return Output(_written(call.started_at.astimezone(zone)))
        given = call.config.get("value", call.input)
        if operation == "parse" and "format" in call.config:
            return Output(_written(_parsed(given, text(call, "format"), zone)))
        moment = _read(given, zone)
        try:
            return Output(_reckoned(call, operation, moment, zone))
        except (OverflowError, ValueError):
            raise NodeError(
                "The time falls out of the calendar, which has the years 1 to 9999.",
                code="invalid_input",
            ) from None


def _reckoned(call: Call, operation: str, moment: datetime, zone: tzinfo) -> Any:
    match operation:
        case "format":
            format = text(call, "format")
            _directives(format)
            return moment.strftime(format)
        case "add" | "subtract":
            amount = number(call, "amount", at_least=-MAX_AMOUNT, at_most=MAX_AMOUNT)
            sign = 1 if operation == "add" else -1
            return _written(_later(moment, sign * amount, _unit(call)))
        case "difference":
            other = _read(call.config.get("other"), zone)
            return _between(moment, other, _unit(call))
        case "round":
            direction = choice(call, "direction", ("down", "up", "nearest"), "down")
            return _written(_rounded(moment, _unit(call), direction))
    return _written(moment)


def _unit(call: Call) -> str:
    return choice(call, "unit", UNITS, "")


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NodeError(
            f"There is no time zone {name[:64]!r}.", code="invalid_config"
        ) from None


def _directives(format: str) -> None:
    for directive in DIRECTIVE.findall(format):
        if directive not in DIRECTIVES:
            raise NodeError(
                f"There is no directive %{directive}.", code="invalid_config"
            )


def _read(value: Any, zone: tzinfo) -> datetime:
    try:
        if is_number(value):
            return datetime.fromtimestamp(value, UTC).astimezone(zone)
        if isinstance(value, str) and len(value) <= 100:
            return _in(_from_text(value.strip()), zone)
    except (ValueError, OverflowError, OSError):
        pass
    raise NodeError(
        f"This is no time that can be read: {str(value)[:50]!r}.", code="invalid_input"
    )


def _from_text(value: str) -> datetime:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        return parsedate_to_datetime(value)


def _parsed(value: Any, format: str, zone: tzinfo) -> datetime:
    _directives(format)
    try:
        return _in(datetime.strptime(value, format), zone)  # noqa: DTZ007 (_in gives it one)
    except (TypeError, ValueError, OverflowError, re.error):
        raise NodeError(
            f"{str(value)[:50]!r} is not written as {format}.", code="invalid_input"
        ) from None


def _in(moment: datetime, zone: tzinfo) -> datetime:
    if moment.tzinfo is None:
        return _settled(moment.replace(tzinfo=zone))
    return moment.astimezone(zone)


def _settled(moment: datetime) -> datetime:
    """A time of day that is left out when clocks go forward is moved by as much."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo)


def _written(moment: datetime) -> str:
    digits = "milliseconds" if moment.microsecond else "seconds"
    written = moment.isoformat(timespec=digits)
    return f"{written[:-6]}Z" if written.endswith("+00:00") else written


def _later(moment: datetime, amount: float, unit: str) -> datetime:
    if unit in CLOCK:
        later = moment.astimezone(UTC) + timedelta(seconds=amount * CLOCK[unit])
        return later.astimezone(moment.tzinfo)
    if amount != int(amount):
        raise NodeError(
            f"{unit} are added whole; {amount} is not.", code="invalid_config"
        )
    step = {unit: int(amount)}
    return _settled(moment + relativedelta(**step))


def _between(start: datetime, end: datetime, unit: str) -> int | float:
    if unit in ("months", "years"):
        apart = relativedelta(end, start)
        years, months = int(apart.years), int(apart.months)
        return years if unit == "years" else years * 12 + months
    if unit in CLOCK:
        seconds = (end - start.astimezone(UTC)).total_seconds()
        count = seconds / CLOCK[unit]
    else:
        # On the wall: from noon to noon is a day, also where clocks change.
        wall = end.replace(tzinfo=None) - start.replace(tzinfo=None)
        count = wall / timedelta(**{unit: 1})
    return int(count) if count.is_integer() else count


def _rounded(moment: datetime, unit: str, direction: str) -> datetime:
    down = _floor(moment, unit)
    if direction == "down" or down == moment:
        return down
    up = _later(down, 1, unit)
    if direction == "up":
        return up
    return down if moment - down < up - moment else up


def _floor(moment: datetime, unit: str) -> datetime:
    match unit:
        case "milliseconds":
            return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
        case "seconds":
            return moment.replace(microsecond=0)
        case "minutes":
            return moment.replace(second=0, microsecond=0)
        case "hours":
            return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    match unit:
        case "weeks":
            day -= timedelta(days=day.weekday())
        case "months":
            day = day.replace(day=1)
        case "years":
            day = day.replace(month=1, day=1)
    return _settled(day.replace(fold=0))
