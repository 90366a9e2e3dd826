"""How the console writes. What an operator changes in a company is told like any other change, so that the company's audit log shows it with the operator
as its actor.

A page of the console names a `Writer`, which calls the services of its app. Whatever a writer does, it does it here: a change that its service did not tell
is told in its place. An admin class that has a way of its own past this stops the start (`craft/checks.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import models, transaction
from unfold.forms import PaginationInlineFormSet

from craft.events import Event, listening, publish


class Writer:
    """How rows of one kind are made, changed and deleted."""

    def create(self, row: Any) -> None:
        row.save(force_insert=True)

    def update(self, row: Any, values: dict[str, Any]) -> None:
        """`row` has these values already; a service takes the row as it stands in the database, and sets them."""
        row.save()

    def delete(self, row: Any) -> None:
        row.delete()


def create_row(writer: Writer, row: models.Model) -> None:
    with _told("created", row, {}):
        writer.create(row)


def update_row(writer: Writer, row: models.Model, form: Any) -> None:
    fields = {field.name: field for field in row._meta.concrete_fields}
    changed = [fields[name] for name in form.changed_data if name in fields]
    if not changed:
        return
    before = type(row)._base_manager.get(pk=row.pk)
    changes = {
        field.name: [getattr(before, field.attname), getattr(row, field.attname)]
        for field in changed
    }
    with _told("updated", row, changes):
        writer.update(row, {field.name: getattr(row, field.name) for field in changed})


def delete_row(writer: Writer, row: models.Model) -> None:
    with _told("deleted", row, {}):
        writer.delete(row)


@contextmanager
def _told(deed: str, row: models.Model, changes: dict[str, Any]) -> Iterator[None]:
    company_ids, pk = _companies_of(row), row.pk
    with transaction.atomic(), listening() as heard:
        yield
        told = {event.company_id for event in heard}
        resource = re.sub(r"(?<!^)(?=[A-Z])", "_", type(row).__name__).lower()
        for company_id in sorted((company_ids or _companies_of(row)) - told):
            data = {f"{resource}_id": pk or row.pk, "changes": changes}
            publish(Event(f"{resource}.{deed}", company_id, data))


def _companies_of(row: Any) -> set[int]:
    """Whose log should show it. A row of no company is the installation's own: it stands in the operator's log."""
    if hasattr(row, "company_id"):
        return {row.company_id}
    if hasattr(row, "company_ids") and row.pk:
        return set(row.company_ids())
    return set()


class ConsoleFormSet(PaginationInlineFormSet):
    """Rows that are written on the page of what they belong to."""

    writer = Writer()

    def save_new(self, form: Any, commit: bool = True) -> Any:
        row = super().save_new(form, commit=False)
        create_row(self.writer, row)
        return row

    def save_existing(self, form: Any, obj: Any, commit: bool = True) -> Any:
        update_row(self.writer, form.instance, form)
        return obj

    def delete_existing(self, obj: Any, commit: bool = True) -> None:
        delete_row(self.writer, obj)


DOORS = ("save_model", "save_formset", "save_related", "delete_model", "delete_queryset")  # fmt: skip
FORM_SET_DOORS = ("save", "save_new", "save_existing", "delete_existing")


def ways_round(model_admin: type[Any], own: type[Any]) -> Iterator[str]:
    """What an admin class defines of its own where `own`, the console's, is to be asked."""
    yield from _others(model_admin, DOORS, own)
    for inline in model_admin.inlines:
        if not issubclass(inline.formset, ConsoleFormSet):
            yield f"{inline.__name__}.formset"
            continue
        yield from _others(inline.formset, FORM_SET_DOORS, ConsoleFormSet)


def _others(found: type[Any], names: tuple[str, ...], own: type[Any]) -> Iterator[str]:
    for name in names:
        if getattr(found, name) is not getattr(own, name):
            yield f"{found.__name__}.{name}"
