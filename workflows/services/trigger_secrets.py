"""The secret by which callers without a key start a workflow: made or taken, shown once, kept sealed."""

from __future__ import annotations

import base64
import contextlib
import secrets
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from craft.events import Event, publish
from craft.exceptions import NotFoundError
from craft.vault import UnsealError, seal, unseal
from workflows import events
from workflows.models import TriggerSecret, Workflow
from workflows.services.signatures import PREFIX

SECRET_BYTES = 32
OVERLAP_SECONDS = 24 * 60 * 60
MAX_OVERLAP_SECONDS = 30 * 24 * 60 * 60


def make_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@transaction.atomic
def change_secret(
    workflow: Workflow,
    *,
    user: User | None,
    secret: str = "",
    overlap_seconds: int = OVERLAP_SECONDS,
) -> tuple[TriggerSecret, str]:
    """Give it this secret, or a new one. The one before works on for a while. The text is known here and never again."""
    text = secret or make_secret()
    Workflow.unscoped.select_for_update(no_key=True).get(pk=workflow.pk)
    row = TriggerSecret.objects.filter(workflow=workflow).first()
    is_first = row is None
    row = row or TriggerSecret(workflow=workflow, created_by=user)
    now = timezone.now()
    until = now + timedelta(seconds=overlap_seconds)
    keeps = bool(row.sealed) and overlap_seconds > 0
    row.previous_sealed = row.sealed if keeps else ""
    row.previous_expires_at = until if keeps else None
    row.sealed = seal(text, context=context_of(workflow.pk))
    row.hint, row.rotated_at = text[-4:], now
    row.save()
    before = None if is_first else {"rotated": False}
    after = {"rotated": not is_first, "overlap_seconds": overlap_seconds}
    _tell(events.WORKFLOW_TRIGGER_SECRET_CHANGED, workflow, [before, after])
    return row, text


@transaction.atomic
def delete_secret(workflow: Workflow) -> None:
    """From now on nobody can prove anything by it."""
    if not TriggerSecret.objects.filter(workflow=workflow).delete()[0]:
        raise NotFoundError("This workflow's trigger has no secret.")
    _tell(events.WORKFLOW_TRIGGER_SECRET_DELETED, workflow, [{"set": True}, None])


def get_secret(workflow: Workflow) -> TriggerSecret:
    found = TriggerSecret.objects.filter(workflow=workflow).first()
    if found is None:
        raise NotFoundError("This workflow's trigger has no secret.")
    return found


def open_secrets(row: TriggerSecret) -> list[str]:
    """Those that are good now. One that can't be opened any more is none."""
    sealed = [row.sealed]
    if row.previous_expires_at and row.previous_expires_at > timezone.now():
        sealed.append(row.previous_sealed)
    found = []
    for text in sealed:
        with contextlib.suppress(UnsealError):
            found.append(unseal(text, context=context_of(row.workflow_id)))
    return found


def context_of(workflow_id: str) -> str:
    return f"trigger:{workflow_id}"


def _tell(kind: str, workflow: Workflow, change: list[Any]) -> None:
    data = {"workflow_id": workflow.pk, "changes": {"trigger_secret": change}}
    publish(Event(kind, workflow.company_id, data))
