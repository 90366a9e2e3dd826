"""How a company's records become its sandbox's.

Every app says in its `copies.py` what becomes of each of its models in a sandbox: `Copied`, `LeftOut` or `Shared`. A model that says nothing fails the build
(`craft/checks.py`), so nobody forgets. Copies have ids of their own, refer to each other as the originals do, and share no file with them: a key to a copied
row leads to its copy, and an id that stands in JSON or in a text is put in its place there.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from django.db import models

from craft.declarations import all_models, gather
from craft.fields import IdField, new_id
from craft.files import remove_with_rows
from craft.models import DoomedFolder, KeptAnswer

BATCH = 500
ID = re.compile(r"(?<![0-9A-Za-z_])[a-z]+_[0-9a-hjkmnp-tv-z]{26}(?![0-9A-Za-z])")

Renamed = Callable[[str], str]


@dataclass(frozen=True)
class Copied:
    """A sandbox begins with copies of the company's rows."""

    of: str = "company"
    """The way from the row to its company, where it is longer."""
    anew: Mapping[str, Any] = field(default_factory=dict)
    """Fields that begin anew in the copy: what was counted, what was run."""
    copy_files: Callable[[Any, Any, Renamed], None] | None = None
    """Given the row, its copy and the way to rename a file as the ids were."""
    folder_of: Callable[[Any], Path] | None = None
    """Given the row: what it keeps in files, which go with it."""


@dataclass(frozen=True)
class LeftOut:
    """A sandbox begins without. What it gathers itself goes when it is reset, unless it is `kept`."""

    why: str
    of: str = "company"
    kept: bool = False
    folder_of: Callable[[int], Path] | None = None
    """Given the sandbox's id: what its rows wrote to files, which go with them."""


@dataclass(frozen=True)
class Shared:
    """Belongs to no company, or to the live one for its sandbox too."""

    why: str


Declaration = Copied | LeftOut | Shared
Copies = Mapping[type[models.Model], Declaration]


@cache
def declarations() -> Copies:
    """In an order in which what is referred to comes first: of the apps, and within each its own."""
    own: dict[type[models.Model], Declaration] = {
        KeptAnswer: LeftOut("what calls of test keys were answered", kept=True),
        DoomedFolder: Shared("where something was that is gone"),
    }
    return own | gather("copies", "COPIES")


def undeclared() -> list[type[models.Model]]:
    known = declarations()
    return [model for model in all_models() if model not in known]


def dangling() -> Iterator[tuple[type[models.Model], str]]:
    """The fields of copied models that lead to what is left out and can't be empty: there would be nothing to put in."""
    known = declarations()
    for model, said in known.items():
        if isinstance(said, Copied):
            for one in _keys_of(model):
                led_to = known.get(one.related_model)
                if isinstance(led_to, LeftOut) and not one.null:
                    yield model, one.name


def _keys_of(model: type[models.Model]) -> list[Any]:
    return [one for one in model._meta.concrete_fields if one.is_relation]


def _rows_of(model: type[models.Model], of: str, company_id: int) -> Any:
    # All companies' rows, narrowed by the way that its app declared; some have no company of their own.
    return model._base_manager.filter(**{of: company_id})


class Copying:
    """One company's records on their way to another: read at once, written in the transaction of `write`."""

    def __init__(self, *, source_id: int, target_id: int, company: type[models.Model]):
        self.source_id, self.target_id, self.company = source_id, target_id, company
        self.copied = {
            model: said
            for model, said in declarations().items()
            if isinstance(said, Copied)
        }
        self.texts: dict[str, str] = {}
        self.keys: dict[tuple[type[models.Model], Any], Any] = {}
        self.rows: dict[type[models.Model], list[tuple[Any, Any]]] = {}
        self.links: list[tuple[Any, list[tuple[Any, Any]]]] = []
        self.written: set[Any] = set()

    @property
    def count(self) -> int:
        return sum(len(pairs) for pairs in self.rows.values())

    def read(self) -> None:
        for model, said in self.copied.items():
            rows = list(_rows_of(model, said.of, self.source_id).order_by("pk"))
            self._name(model, rows)
            self.rows[model] = [(row, copy(row)) for row in rows]
            self._read_links(model, said)
        for model, pairs in self.rows.items():
            for row, made in pairs:
                self._fill(model, row, made)

    def _name(self, model: type[models.Model], rows: list[Any]) -> None:
        """New ids, in the order of the old."""
        key = model._meta.pk
        if isinstance(key, IdField):
            names = sorted(new_id(key.prefix) for _ in rows)
            self.texts.update(zip((row.pk for row in rows), names, strict=True))
            self.keys.update(
                ((model, row.pk), name) for row, name in zip(rows, names, strict=True)
            )

    def _read_links(self, model: type[models.Model], said: Copied) -> None:
        for one in model._meta.local_many_to_many:
            through: Any = one.remote_field.through
            if through._meta.auto_created:
                near, far = one.m2m_column_name(), one.m2m_reverse_name()
                own = {f"{one.m2m_field_name()}__{said.of}": self.source_id}
                pairs = list(through._base_manager.filter(**own).values_list(near, far))
                self.links.append((one, pairs))

    def _fill(self, model: type[models.Model], row: Any, made: Any) -> None:
        made._state = copy(row._state)
        made._state.adding, made._state.fields_cache = True, {}
        made.pk = self.keys.get((model, row.pk))
        for one in model._meta.concrete_fields:
            if one.name in self.copied[model].anew:
                setattr(made, one.attname, self.copied[model].anew[one.name])
            elif isinstance(one, models.JSONField):
                setattr(made, one.attname, self.renamed(getattr(row, one.attname)))
            elif (
                isinstance(one, models.CharField | models.TextField)
                and not one.primary_key
                and (value := getattr(row, one.attname))
            ):
                setattr(made, one.attname, self.rename(value))

    def rename(self, text: str) -> str:
        return ID.sub(lambda found: self.texts.get(found[0], found[0]), text)

    def renamed(self, value: Any) -> Any:
        return json.loads(self.rename(json.dumps(value)))

    def copy_files(self) -> None:
        for model, said in self.copied.items():
            for row, made in self.rows[model] if said.copy_files else []:
                made.company_id = self.target_id
                said.copy_files(row, made, self.rename)  # type: ignore[misc]  # asked for in the line above

    def remove_files(self) -> None:
        for model, said in self.copied.items():
            for _, made in self.rows[model] if said.folder_of else []:
                made.company_id = self.target_id
                shutil.rmtree(said.folder_of(made), ignore_errors=True)  # type: ignore[misc]  # as above

    @contextmanager
    def with_files(self) -> Iterator[None]:
        """The files of the copies, which go again if what is done with them fails."""
        try:
            self.copy_files()
            yield
        except BaseException:
            self.remove_files()
            raise

    def write(self) -> None:
        later: list[tuple[Any, Any, Any]] = []
        for model, pairs in self.rows.items():
            kept = [pair for pair in pairs if self._lead(model, *pair, later)]
            # Not by `objects`: its guard asks whose rows, which the copies themselves say.
            model._base_manager.bulk_create([made for _, made in kept], BATCH)
            self.keys.update({(model, row.pk): made.pk for row, made in kept})
            self.written.add(model)
        for one in {one for one, _, _ in later}:
            made = [made for other, _, made in later if other is one]
            for other, row, copied in later:
                if other is one:
                    target = self.keys.get(
                        (one.related_model, getattr(row, one.attname))
                    )
                    setattr(copied, one.attname, target)
            one.model._base_manager.bulk_update(made, [one.name], BATCH)
        for one, links in self.links:
            self._write_links(one, links)

    def _lead(
        self,
        model: type[models.Model],
        row: Any,
        made: Any,
        later: list[tuple[Any, Any, Any]],
    ) -> bool:
        """Let the copy's keys lead where they should. False for one that would lead nowhere: what it belonged to went while rows were read."""
        for one in _keys_of(model):
            value, target = getattr(row, one.attname), one.related_model
            if value is None or one.name in self.copied[model].anew:
                continue
            if target is self.company:
                setattr(made, one.attname, self.target_id)
            elif target in self.written:
                setattr(made, one.attname, self.keys.get((target, value)))
            elif target in self.copied:
                setattr(made, one.attname, None)
                later.append((one, row, made))
            elif isinstance(declarations().get(target), LeftOut):
                setattr(made, one.attname, None)
            if getattr(made, one.attname) is None and not one.null:
                return False
        return True

    def _write_links(self, one: Any, links: list[tuple[Any, Any]]) -> None:
        through, model = one.remote_field.through, one.model
        near, far = one.m2m_column_name(), one.m2m_reverse_name()
        pairs = [
            (self.keys.get((model, left)), self.keys.get((one.related_model, right)))
            for left, right in links
        ]
        rows = [
            through(**{near: left, far: right})
            for left, right in pairs
            if left and right
        ]
        through._base_manager.bulk_create(rows, BATCH)


def _held() -> Iterator[tuple[type[models.Model], Copied | LeftOut]]:
    """What a sandbox has of its own, and loses when it is reset."""
    for model, said in declarations().items():
        if isinstance(said, Copied) or (isinstance(said, LeftOut) and not said.kept):
            yield model, said


def count_rows(company_id: int) -> list[tuple[type[models.Model], int]]:
    """How much of each kind a sandbox holds."""
    return [
        (model, _rows_of(model, said.of, company_id).count()) for model, said in _held()
    ]


def empty(company_id: int) -> None:
    """Delete what a sandbox holds, in the transaction at hand; its files go with the commit."""
    for model, said in reversed(list(_held())):
        rows = _rows_of(model, said.of, company_id)
        if isinstance(said, Copied) and said.folder_of:
            for row in rows:
                remove_with_rows(said.folder_of(row))
        if isinstance(said, LeftOut) and said.folder_of:
            remove_with_rows(said.folder_of(company_id))
        rows.delete()
