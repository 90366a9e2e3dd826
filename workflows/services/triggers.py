"""What a workflow's `trigger` says: a word, or an object that begins with its `type`. All faults come at once, each by its field."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.utils.dateparse import parse_datetime

from craft.exceptions import InvalidError
from workflows.engine.expressions import ExpressionSyntaxError, compile_value
from workflows.models import Workflow
from workflows.models.schedules import YEAR_SECONDS, Misfire, Overlap
from workflows.services import timing
from workflows.services.timing import Timing, TimingError

T = TypeVar("T")

TYPES = ("webhook", "cron", "schedule", "manual", "api")
SCHEDULED = ("cron", "schedule")
AUTHS = ("key", "secret", "signature", "open")
PRESETS = ("standard", "github", "stripe")
ANSWERS = ("accepted", "last", "respond")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105  # a header's name
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,99}")
NOT_FOR_SECRETS = {"authorization", "cookie", "host", "content-type", "content-length"}
LONGEST_WAIT_SECONDS = 60.0
USUAL_WAIT_SECONDS = 30.0

OPTIONS: dict[str, tuple[str, ...]] = {
    "webhook": (
        "auth",
        "preset",
        "header",
        "answer",
        "timeout_seconds",
        "idempotency",
        "methods",
    ),
    "cron": ("schedule",),
    "schedule": ("cron", "every"),
    "manual": (),
    "api": (),
}
OF_SCHEDULES = (
    "timezone",
    "start_at",
    "end_at",
    "jitter_seconds",
    "misfire",
    "catch_up_seconds",
    "overlap",
)


@dataclass(frozen=True)
class Repeats:
    """By what a repeated call is known: a header's value, or an expression's."""

    header: str = ""
    expression: str = ""


PRESET_REPEATS = {
    "standard": Repeats(header="webhook-id"),
    "github": Repeats(header="X-GitHub-Delivery"),
    "stripe": Repeats(expression="{{ body.id }}"),
}
"""Each sender's own name for a message."""


@dataclass(frozen=True)
class WebhookSettings:
    auth: str = "key"
    preset: str = ""
    header: str = SECRET_HEADER
    answer: str = "accepted"
    timeout_seconds: float = USUAL_WAIT_SECONDS
    repeats: Repeats | None = None
    methods: tuple[str, ...] = ("POST",)

    @property
    def is_plain(self) -> bool:
        """Whether a POST with a key is answered as that of any workflow."""
        is_accepted = self.answer == "accepted" and self.repeats is None
        return is_accepted and self.methods == ("POST",)


BY_A_WORD = WebhookSettings()


@dataclass(frozen=True)
class ScheduleSettings:
    timing: Timing
    misfire: str = Misfire.LAST
    catch_up_seconds: int = YEAR_SECONDS
    overlap: str = Overlap.ALLOW


def type_of(trigger: Any) -> str:
    kind = trigger.get("type") if isinstance(trigger, dict) else trigger
    return str(kind or "api")


def trigger_type(workflow: Workflow) -> str:
    return type_of(workflow.trigger)


def check_trigger(trigger: Any) -> dict[str, str]:
    """Its faults, each by the field within it."""
    kind = trigger.get("type") if isinstance(trigger, dict) else trigger
    if not isinstance(kind, str) or kind not in TYPES:
        return {
            "type": f"Must be one of: {', '.join(TYPES)}; or an object with such a type."
        }
    if not isinstance(trigger, dict):
        return {} if kind != "schedule" else {"cron": "Say cron or every."}
    reader = _Reader(trigger)
    if kind == "webhook":
        _read_webhook(reader)
    elif kind in SCHEDULED:
        _read_schedule(reader, kind)
    reader.refuse_others(kind)
    return reader.faults


def webhook_settings(trigger: Any) -> WebhookSettings | None:
    """None for a workflow that is started in another way."""
    if trigger == "webhook":
        return BY_A_WORD
    if type_of(trigger) != "webhook":
        return None
    return _read_webhook(_Reader(trigger))


def schedule_settings(trigger: Any) -> ScheduleSettings | None:
    """None for a workflow that does not fire by itself. Raises InvalidError."""
    kind = type_of(trigger)
    if kind not in SCHEDULED:
        return None
    reader = _Reader(trigger if isinstance(trigger, dict) else {})
    found = _read_schedule(reader, kind)
    if reader.faults:
        field, sentence = next(iter(reader.faults.items()))
        raise InvalidError(
            f"trigger.{field}: {sentence}",
            details={f"trigger.{name}": text for name, text in reader.faults.items()},
        )
    return found


class _Reader:
    """Reads one option after the other, and gathers what is wrong with them."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        self.faults: dict[str, str] = {}

    def take(self, name: str, read: Callable[[Any], T], default: T) -> T:
        if name not in self.said:
            return default
        try:
            return read(self.said[name])
        except TimingError as error:
            self.faults[name] = str(error)
        except ExpressionSyntaxError as error:
            self.faults[name] = str(error)
        return default

    def refuse(self, name: str, sentence: str) -> None:
        if name in self.said:
            self.faults.setdefault(name, sentence)

    def refuse_others(self, kind: str) -> None:
        known = ("type", *OPTIONS[kind], *(OF_SCHEDULES if kind in SCHEDULED else ()))
        for name in sorted(set(self.said) - set(known)):
            self.faults[str(name)] = f"Unknown field. Known are: {', '.join(known)}."


def _read_webhook(reader: _Reader) -> WebhookSettings:
    preset = reader.take("preset", _choice(PRESETS), "")
    auth = reader.take("auth", _choice(AUTHS), "signature" if preset else "key")
    if auth == "signature":
        preset = preset or "standard"
    else:
        reader.refuse("preset", "Goes with auth: signature.")
    answer = reader.take("answer", _choice(ANSWERS), "accepted")
    if auth != "secret":
        reader.refuse("header", "Goes with auth: secret.")
    if answer == "accepted":
        reader.refuse("timeout_seconds", "Goes with answer: last or respond.")
    return WebhookSettings(
        auth=auth,
        preset=preset,
        header=reader.take("header", _secret_header, SECRET_HEADER),
        answer=answer,
        timeout_seconds=reader.take("timeout_seconds", _wait, USUAL_WAIT_SECONDS),
        repeats=reader.take("idempotency", _repeats, PRESET_REPEATS.get(preset)),
        methods=reader.take("methods", _methods, ("POST",)),
    )


def _read_schedule(reader: _Reader, kind: str) -> ScheduleSettings:
    zone = reader.take("timezone", _timezone, "UTC")
    cron_field = "schedule" if kind == "cron" else "cron"
    cron = reader.take(cron_field, lambda said: _cron(said, zone), "")
    every = reader.take("every", timing.read_every, 0) if kind == "schedule" else 0
    if kind == "cron":
        cron = cron or timing.DAILY
    elif len({"cron", "every"} & set(reader.said)) != 1:
        reader.faults["cron"] = "Say either cron or every."
    start_at = reader.take("start_at", _moment, None)
    end_at = reader.take("end_at", _moment, None)
    if start_at and end_at and end_at < start_at:
        reader.faults["end_at"] = "Must not be before start_at."
    return ScheduleSettings(
        timing=Timing(
            cron=cron,
            every_seconds=every,
            timezone=zone,
            start_at=start_at,
            end_at=end_at,
            jitter_seconds=reader.take("jitter_seconds", _whole(0, 86_400), 0),
        ),
        misfire=reader.take("misfire", _choice(Misfire.values), str(Misfire.LAST)),
        catch_up_seconds=reader.take(
            "catch_up_seconds", _whole(60, YEAR_SECONDS), YEAR_SECONDS
        ),
        overlap=reader.take("overlap", _choice(Overlap.values), str(Overlap.ALLOW)),
    )


# --- Options ---


def _choice(words: Any) -> Callable[[Any], str]:
    def read(said: Any) -> str:
        if not isinstance(said, str) or said not in words:
            raise TimingError(f"Must be one of: {', '.join(words)}.")
        return said

    return read


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(said: Any) -> int:
        if not isinstance(said, int) or isinstance(said, bool):
            raise TimingError("Must be a whole number.")
        if not least <= said <= most:
            raise TimingError(f"Must be from {least} to {most}.")
        return said

    return read


def _wait(said: Any) -> float:
    if not isinstance(said, int | float) or isinstance(said, bool):
        raise TimingError("Must be a number.")
    if not 0.1 <= said <= LONGEST_WAIT_SECONDS:
        raise TimingError(f"Must be from 0.1 to {LONGEST_WAIT_SECONDS:g}.")
    return float(said)


def _cron(said: Any, zone: str) -> str:
    text = " ".join(said.split()) if isinstance(said, str) else ""
    text = text.lower() if text.startswith("@") else text
    timing.check_cron(text, zone)
    return text


def _timezone(said: Any) -> str:
    name = said if isinstance(said, str) else ""
    timing.check_timezone(name)
    return name


def _moment(said: Any) -> datetime | None:
    """Times are to the second."""
    if said is None:
        return None
    try:
        found = parse_datetime(said) if isinstance(said, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise TimingError("Must be a time with its zone, such as 2026-03-01T08:00:00Z.")
    if not 1970 < found.year < 9999:
        raise TimingError("Must be within 1971 and 9998.")
    return found.astimezone(UTC).replace(microsecond=0)


def _secret_header(said: Any) -> str:
    if not isinstance(said, str) or not HEADER.fullmatch(said):
        raise TimingError("Must be the name of a header.")
    if said.lower() in NOT_FOR_SECRETS:
        raise TimingError("This header has another meaning already.")
    return said


def _repeats(said: Any) -> Repeats | None:
    if said is None:
        return None
    if not isinstance(said, dict) or len(said) != 1:
        raise TimingError("Must be an object with header or expression.")
    header, expression = said.get("header"), said.get("expression")
    if isinstance(header, str) and HEADER.fullmatch(header):
        return Repeats(header=header)
    if isinstance(expression, str) and len(expression) <= 1_000:
        if compile_value(expression).is_constant:
            raise TimingError("Must depend on the call, as {{ body.id }} does.")
        return Repeats(expression=expression)
    raise TimingError("Must be an object with header or expression.")


def _methods(said: Any) -> tuple[str, ...]:
    if (
        not isinstance(said, list)
        or not said
        or not all(isinstance(method, str) and method in METHODS for method in said)
    ):
        raise TimingError(f"Must be a list out of: {', '.join(METHODS)}.")
    return tuple(dict.fromkeys(said))
