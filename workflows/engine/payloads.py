"""Inputs and outputs that are too large for their rows: kept in a table of their own, and read when somebody uses them.

A row whose value stands apart holds null, and names the field in `apart`. Lists show the rows as they are, and never read what is apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from craft import rows
from workflows.models import Execution, Payload, Step

LIMIT = 256 * 1024
FIELDS = ("input", "output")
UNIQUE = ("execution", "node_id", "iteration", "field")

Row = Execution | Step


def names_apart(row: Row) -> set[str]:
    return set(row.apart.split(",")) if row.apart else set()


@contextmanager
def set_apart(
    written: Sequence[Row], *, fields: tuple[str, ...] = FIELDS
) -> Iterator[None]:
    """Within it the rows hold nothing large, and what they hold is encoded, and they can be written; what is large is written behind them. Afterwards they
    hold it all again."""
    held: list[tuple[Row, str, Any]] = []
    payloads: list[Payload] = []
    try:
        for row in written:
            known = row.__dict__
            apart = names_apart(row).difference(fields)
            for name in fields:
                value = known[name]
                if value is None:
                    continue
                text = value if type(value) is rows.Encoded else rows.Encoded(value)
                held.append((row, name, value))
                known[name] = text
                if len(text.text) > LIMIT:
                    known[name] = None
                    payloads.append(_payload(row, name, text.text.decode()))
                    apart.add(name)
            known["apart"] = ",".join(sorted(apart)) if apart else ""
        yield
    finally:
        for row, name, value in held:
            row.__dict__[name] = value
    rows.insert_or_update(payloads, unique=UNIQUE, update=("body",))


def _payload(row: Row, name: str, text: str) -> Payload:
    if isinstance(row, Step):
        place = {"node_id": row.node_id, "iteration": row.iteration}
        return Payload(execution_id=row.execution_id, field=name, body=text, **place)
    return Payload(execution_id=row.pk, field=name, body=text)


def load(loaded: Iterable[Row]) -> None:
    """Put what stands apart back in its place, in one query; in none where nothing does."""
    wanted = {}
    for row in loaded:
        for name in names_apart(row):
            if getattr(row, name) is None:
                wanted[_place_of(row, name)] = row
    if not wanted:
        return
    found = Payload.objects.filter(
        execution__in={place[0] for place in wanted},
        node_id__in={place[1] for place in wanted},
    )
    for payload in found.order_by("id"):
        place = payload.execution_id, payload.node_id, payload.iteration, payload.field
        if place in wanted:
            setattr(wanted[place], payload.field, json.loads(payload.body))


def _place_of(row: Row, name: str) -> tuple[str, str, str, str]:
    if isinstance(row, Step):
        return row.execution_id, row.node_id, row.iteration, name
    return row.pk, "", "", name
