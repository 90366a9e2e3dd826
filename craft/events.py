"""News travels up: an app publishes what happened, apps above it react, and the publisher knows none of them.

Subscribers run at once, inside the publisher's transaction, and only write rows and schedule tasks on commit: the change, its audit record and
its pending deliveries stand or fall together. This is the code base's only use of Django's signals.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.dispatch import Signal


@dataclass(frozen=True)
class Event:
    """`type` is `resource.past_participle`; `data` holds ids and plain JSON, never a secret.

    `data["<resource>_id"]` (or `data["id"]`) says what it is about, `data["changes"]` what became of each field: `{"name": [before, after]}`.
    What a run reports of itself is no change, and says `is_change=False`: the audit log keeps everything else.
    """

    type: str
    company_id: int
    data: dict[str, Any] = field(default_factory=dict)
    is_change: bool = True

    @property
    def resource(self) -> str:
        return self.type.partition(".")[0]

    @property
    def resource_id(self) -> str:
        return str(self.data.get(f"{self.resource}_id", self.data.get("id", "")))


@dataclass(frozen=True)
class Actor:
    """Who acts, and from where."""

    user_id: str | None = None
    api_key_id: str | None = None
    address: str | None = None
    user_agent: str = ""
    request_id: str = ""


class _Sender:
    """Stands for a type of events. Django knows a sender by its identity, and remembers who listens to one only where it can be referred to weakly."""


_published = Signal(use_caching=True)
_sender_of = cache(lambda event_type: _Sender())
_subscribed: set[str] = set()
_heard: ContextVar[list[Event] | None] = ContextVar("heard", default=None)
current_actor: ContextVar[Actor] = ContextVar("current_actor", default=Actor())  # noqa: B039  # frozen


def publish(event: Event) -> None:
    _published.send(sender=_sender_of(event.type), event=event)
    heard = _heard.get()
    if heard is not None:
        heard.append(event)


@contextmanager
def listening() -> Iterator[list[Event]]:
    """What is published here meanwhile."""
    heard: list[Event] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def subscribe(event_type: str, receiver: Callable[[Event], None]) -> None:
    """Call `receiver` for each event of this type. A receiver that raises undoes the change."""

    def receive(*, event: Event, **_: object) -> None:
        receiver(event)

    _subscribed.add(event_type)
    _published.connect(
        receive,
        sender=_sender_of(event_type),
        weak=False,
        dispatch_uid=(event_type, receiver),
    )


def is_heard(event_type: str) -> bool:
    """Whether anybody listens for events of this very type, and may want the publisher's transaction for it."""
    return event_type in _subscribed


def subscribe_to_all(receiver: Callable[[Event], None]) -> None:
    """Call `receiver` for every event, of whatever type."""

    def receive(*, event: Event, **_: object) -> None:
        receiver(event)

    _published.connect(receive, sender=None, weak=False, dispatch_uid=receiver)


def changes_between(
    before: dict[str, Any], after: dict[str, Any]
) -> dict[str, list[Any]]:
    """What an event says of fields that changed, `{"name": [before, after]}`; what is alike is left out."""
    return {
        name: [before.get(name), after.get(name)]
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    }


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    token = current_actor.set(actor)
    try:
        yield
    finally:
        current_actor.reset(token)


@cache
def event_types() -> list[str]:
    """Of all that the apps publish: what their `events.py` name."""
    modules = [f"{app}.events" for app in settings.CRAFT_APPS]
    found = [import_module(name) for name in modules if find_spec(name)]
    return sorted(
        value
        for module in found
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    )


def spoken(event_type: str) -> str:
    """`api_key.created` as one says it: "API key created"."""
    words = event_type.replace(".", " ").replace("_", " ")
    return (words[:1].upper() + words[1:]).replace("Api ", "API ")
