"""What becomes of a person's rows: what they are given when they ask what is kept of them, and what stays when they go.

Every app says in its `privacy.py`, of each of its models, one of four things: `Erased`, `Unlinked`, `Kept` or `Impersonal`. A model that says nothing, or says
something else than its own foreign keys do, fails the build (`craft/checks.py`). The foreign keys do the work when a person is deleted; what leads to a
person without one (an address in a text) is named beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Q

from craft.declarations import all_models, gather
from craft.models import DoomedFolder, KeptAnswer

MOST_ROWS = 10_000
"""Of each kind, the newest: an answer has an end. `total` says how many there are."""
WAY = "__"

Finder = Callable[[Any], Q]
"""Given a person, the rows that are theirs without a foreign key that says so."""


@dataclass(frozen=True)
class Erased:
    """Goes with the person."""

    by: tuple[str, ...] = ("user",)
    """The ways from the row to the person: each begins with a foreign key that cascades."""
    told: tuple[str, ...] = ()
    """What of it a person is given who asks what is kept of them."""
    also: Finder | None = None


@dataclass(frozen=True)
class Unlinked:
    """The company's: it stays, and who made it is forgotten."""

    by: tuple[str, ...] = ("created_by",)
    told: tuple[str, ...] = ("id", "created_at")


@dataclass(frozen=True)
class Kept:
    """Stays, without what is personal in it."""

    why: str
    forget: Callable[[Any], object]
    """Given a person who goes: takes them out of it."""
    told: tuple[str, ...] = ()
    also: Finder | None = None
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Impersonal:
    """Says nothing about a person."""

    why: str


Policy = Erased | Unlinked | Kept | Impersonal
Policies = Mapping[type[models.Model], Policy]


@cache
def policies() -> Policies:
    own = {
        KeptAnswer: Impersonal("sealed, and gone within a day"),
        DoomedFolder: Impersonal("where something was that is gone"),
    }
    return own | gather("privacy", "POLICIES")


def faults() -> Iterator[tuple[type[models.Model], str]]:
    """What is not declared, or not as the foreign keys have it."""
    known = policies()
    for model in all_models():
        policy = known.get(model)
        if policy is None:
            yield model, "does not say what becomes of a person's rows"
            continue
        yield from ((model, fault) for fault in _faults_of(model, policy))


def _faults_of(model: type[models.Model], policy: Policy) -> Iterator[str]:
    named = {way.partition(WAY)[0] for way in getattr(policy, "by", ())}
    for key in keys_to_people(model):
        if key.name not in named:
            yield f"does not speak of {key.name!r}, which leads to a person"
    fields: dict[str, Any] = {
        field.name: field for field in model._meta.concrete_fields
    }
    for name in named & fields.keys():
        deed = fields[name].remote_field.on_delete
        wanted = models.CASCADE if isinstance(policy, Erased) else models.SET_NULL
        if deed is not wanted:
            yield f"says {type(policy).__name__}, but the key {name!r} is {deed.__name__}"
    for name in (*sorted(named), *getattr(policy, "told", ())):
        if name not in fields and name not in {f.attname for f in fields.values()}:
            yield f"names {name!r}, which it has not"


def keys_to_people(model: type[models.Model]) -> list[Any]:
    person = get_user_model()
    return [
        field
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model is person
    ]


def rows_of(model: type[models.Model], policy: Policy, person: Any) -> Any:
    """This person's, of whichever company."""
    wanted = Q(pk__in=[])
    for way in getattr(policy, "by", ()):
        wanted |= Q(**{way: person})
    if isinstance(policy, Erased | Kept) and policy.also:
        wanted |= policy.also(person)
    if model is type(person):
        wanted = Q(pk=person.pk)
    return model._base_manager.filter(wanted)


def export_person(person: Any) -> dict[str, dict[str, Any]]:
    """All that is kept of a person, by kind."""
    found = {}
    for model, policy in policies().items():
        told = getattr(policy, "told", ())
        if not told:
            continue
        rows = rows_of(model, policy, person).order_by("-pk")
        total = rows.count()
        if total:
            shown = list(rows.values(*told)[:MOST_ROWS])
            found[model._meta.label_lower] = {"total": total, "rows": shown}
    return found


def forget_person(person: Any) -> None:
    """What the foreign keys don't do when the person is deleted: in the same transaction, and before."""
    for model, policy in policies().items():
        if isinstance(policy, Kept):
            policy.forget(person)
        elif isinstance(policy, Erased) and policy.also:
            model._base_manager.filter(policy.also(person)).delete()
