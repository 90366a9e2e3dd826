"""What people call executions, to find them again."""

from __future__ import annotations

import re
from typing import Any

from django.db import transaction

from craft.events import Event, publish
from craft.exceptions import InvalidError
from workflows.engine import journal
from workflows.events import EXECUTION_UPDATED
from workflows.models import Execution, ExecutionLabel

MOST = 20
MAX_VALUE = 200
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")


def check_labels(labels: dict[str, Any]) -> None:
    """Raises InvalidError that names each faulty one."""
    faults = {
        f"labels.{key}": fault
        for key, value in labels.items()
        if (fault := _fault_of(key, value))
    }
    if len(labels) > MOST:
        faults["labels"] = f"At most {MOST} labels."
    if faults:
        raise InvalidError("These labels can't be kept.", details=faults)


def _fault_of(key: str, value: Any) -> str:
    if not KEY.fullmatch(key):
        return "A label's name has up to 40 letters, digits, dots, dashes and underscores, and begins with a letter."
    if not isinstance(value, str) or not 0 < len(value) <= MAX_VALUE:
        return f"Must be a text of 1 to {MAX_VALUE} characters."
    return "Must hold no NUL." if "\0" in value else ""


@transaction.atomic
def change_labels(execution: Execution, changes: dict[str, Any]) -> Execution:
    """Key by key; None takes one away."""
    locked = Execution.unscoped.select_for_update(of=("self",)).only("labels")
    before = locked.get(pk=execution.pk).labels
    after = {
        key: value for key, value in {**before, **changes}.items() if value is not None
    }
    check_labels(after)
    execution.labels = after
    if after == before:
        return execution
    Execution.unscoped.filter(pk=execution.pk).update(labels=after)
    ExecutionLabel.unscoped.filter(execution=execution).delete()
    journal.index_labels([execution])
    data = {
        "execution_id": execution.pk,
        "workflow_id": execution.workflow_id,
        "changes": {"labels": [before, after]},
    }
    publish(Event(EXECUTION_UPDATED, execution.company_id, data))
    return execution
