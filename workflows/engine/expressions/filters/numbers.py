"""Filters that make or change numbers and booleans."""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from typing import Any

from workflows.engine.expressions import values
from workflows.engine.expressions.bounds import Budget, ExpressionError

_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
    "": False,
}

_ROUNDINGS = {
    "common": ROUND_HALF_UP,
    "floor": ROUND_FLOOR,
    "ceil": ROUND_CEILING,
}


def absolute(budget: Budget, value: float) -> float:
    """Without its sign."""
    return abs(value)


def round_number(
    budget: Budget, value: float, digits: int = 0, method: str = "common"
) -> float:
    """To so many digits behind the point; `method` is 'common' (half away from zero), 'floor' or 'ceil'. Without digits a whole number."""
    if method not in _ROUNDINGS or not 0 <= digits <= 15:
        raise ExpressionError(
            "round takes 0 to 15 digits and the method 'common', 'floor' or 'ceil'."
        )
    rounded = Decimal(repr(value)).quantize(
        Decimal(1).scaleb(-digits), _ROUNDINGS[method], Context(prec=400)
    )
    return float(rounded) if digits else int(rounded)


def to_int(budget: Budget, value: Any, default: Any = None) -> Any:
    """A whole number out of a number or a text; the `default` where it is none."""
    try:
        if type(value) in {int, float, bool}:
            return int(value)
        if type(value) is str and len(value) <= 100:
            return _int_of(value)
    except (ValueError, OverflowError):
        pass
    return _or_default("int", value, default)


def _int_of(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        return int(float(text))


def to_float(budget: Budget, value: Any, default: Any = None) -> Any:
    """A number out of a number or a text; the `default` where it is none."""
    try:
        if type(value) in {int, float, bool}:
            return values.sized_number(float(value))
        if type(value) is str and len(value) <= 100:
            return values.sized_number(float(value))
    except (ValueError, OverflowError, ExpressionError):
        pass
    return _or_default("float", value, default)


def _or_default(name: str, value: Any, default: Any) -> Any:
    if default is None:
        shown = f"'{value[:40]}'" if type(value) is str else values.kind(value)
        raise ExpressionError(f"{name} can't make a number of {shown}.")
    return default


def to_bool(budget: Budget, value: Any) -> bool:
    """'true', 'yes', 'on', '1' and numbers but 0 are true; 'false', 'no', 'off', '0', '' and null are false."""
    if type(value) is str and value.strip().lower() in _WORDS:
        return _WORDS[value.strip().lower()]
    if value is None or type(value) in {int, float, bool}:
        return bool(value)
    raise ExpressionError(f"bool can't make a boolean of {values.kind(value)}.")


def format_number(
    budget: Budget,
    value: float,
    digits: int = 0,
    thousands: str = ",",
    point: str = ".",
) -> str:
    """As people read it: `1234.5|format_number(2)` is '1,234.50'."""
    if not 0 <= digits <= 15 or len(thousands) > 3 or len(point) > 3:
        raise ExpressionError("format_number takes 0 to 15 digits and short marks.")
    whole, _, rest = f"{value:,.{digits}f}".partition(".")
    return whole.replace(",", thousands) + (point + rest if rest else "")


FILTERS: dict[str, Callable[..., Any]] = {
    "abs": absolute,
    "round": round_number,
    "int": to_int,
    "float": to_float,
    "bool": to_bool,
    "format_number": format_number,
}
