"""Who may answer what an execution asks of people, and what their answers come to."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import Membership, Purpose, Role
from accounts.services.mail import (
    find_token,
    make_token,
    queue_mail,
    spend_token,
)
from craft.events import Event, publish
from craft.exceptions import ConflictError, DomainError, InvalidError
from workflows.engine import arrivals
from workflows.events import APPROVAL_DECIDED
from workflows.models import Approval, ApprovalStatus, Decision
from workflows.services.executions import doorbell
from workflows.services.signals import lock

ANYBODY = (Role.ADMIN, Role.MEMBER)
MAX_MAILS = 50
MAX_TEXT = 5_000


class NotAskedError(DomainError):
    """Somebody else has to answer this."""

    code = "forbidden"
    status_code = 403


# --- Who ---


def refusal(approval: Approval, member: Membership) -> str:
    """Why this member may not answer; nothing where they may."""
    is_starter = approval.execution.created_by_id == member.user_id
    if approval.excludes_starter and is_starter:
        return "You started this execution: somebody else has to decide."
    if not _is_asked(approval, member):
        return "Others are asked to decide this."
    return ""


def _is_asked(approval: Approval, member: Membership) -> bool:
    if not approval.people and not approval.roles:
        return member.role in ANYBODY
    named = {member.user_id, member.user.email.lower()}
    return member.role in approval.roles or not named.isdisjoint(approval.people)


def people_asked(approval: Approval) -> list[Membership]:
    members = Membership.objects.filter(company=approval.company_id)
    return [
        member
        for member in members.select_related("user").filter(user__is_active=True)
        if not refusal(approval, member)
    ]


# --- Asking ---


def tell_people(approval: Approval) -> None:
    """A mail to each who may answer, in the transaction that asks. A sandbox sends none."""
    if approval.company.is_sandbox:
        return
    for member in people_asked(approval)[:MAX_MAILS]:
        token = make_token(
            purpose=Purpose.APPROVAL,
            email=member.user.email,
            user=member.user,
            subject=approval.pk,
        )
        if approval.expires_at is not None:
            token.expires_at = min(token.expires_at, approval.expires_at)
            token.save(update_fields=["expires_at"])
        context = {
            "title": approval.title,
            "message": approval.message,
            "company": str(approval.company),
            "workflow": approval.execution.workflow.name,
        }
        queue_mail(
            to=member.user.email, template="approval", context=context, token=token
        )


def approval_of_link(text: str) -> tuple[Approval, Membership]:
    """What a link in a mail asks, and whom. Raises a DomainError where it is no good any more."""
    token = find_token(text, Purpose.APPROVAL)
    approval = (
        Approval.unscoped.select_related("execution__workflow", "company")
        .filter(pk=token.subject)
        .first()
    )
    member = (
        Membership.objects.select_related("user")
        .filter(company=approval.company_id, user=token.user, user__is_active=True)
        .first()
        if approval
        else None
    )
    if approval is None or member is None:
        raise InvalidError("What this link asks is not there any more.")
    return approval, member


@transaction.atomic
def decide_by_link(*, token: str, **answer: Any) -> Approval:
    approval, member = approval_of_link(token)
    decided = decide(approval, member=member, **answer)
    spend_token(token, Purpose.APPROVAL)
    return decided


# --- Answering ---


@transaction.atomic
def decide(
    approval: Approval,
    *,
    member: Membership,
    approves: bool,
    comment: str = "",
    data: dict[str, Any] | None = None,
) -> Approval:
    """Write down what this member answers. Enough who approve, or one who rejects, decide it, and the execution goes on.

    Raises NotAskedError, ConflictError where it is decided already, and InvalidError for a form that is not filled in as it asks.
    """
    execution = lock(approval.execution)
    approval = Approval.unscoped.select_for_update().get(pk=approval.pk)
    approval.execution = execution
    if not approval.is_open:
        raise ConflictError(f"This is {approval.shown_status} already.")
    if reason := refusal(approval, member):
        raise NotAskedError(reason)
    if approval.decisions.filter(user=member.user_id).exists():
        raise ConflictError("You have answered this already.")
    Decision.objects.create(
        approval=approval,
        user_id=member.user_id,
        approves=approves,
        comment=comment,
        data=checked_data(approval, data or {}) if approves else {},
    )
    _count(approval, approves=approves)
    told = {
        "approval_id": approval.pk,
        "execution_id": execution.pk,
        "workflow_id": execution.workflow_id,
        "user_id": member.user_id,
        "approved": approves,
        "changes": {"status": [ApprovalStatus.PENDING, approval.status]},
    }
    publish(Event(APPROVAL_DECIDED, approval.company_id, told))
    return approval


def _count(approval: Approval, *, approves: bool) -> None:
    enough = approval.decisions.filter(approves=True).count() >= approval.needed
    if approves and not enough:
        return
    approval.status = ApprovalStatus.APPROVED if approves else ApprovalStatus.REJECTED
    approval.decided_at = timezone.now()
    approval.save(update_fields=["status", "decided_at", "updated_at"])
    arrivals.wake([approval.execution_id])
    doorbell.ring_on_commit()


# --- The form ---


def checked_data(approval: Approval, data: dict[str, Any]) -> dict[str, Any]:
    """What was filled in, each as its field's kind has it. Raises InvalidError with every fault, by the field's name."""
    known = {field["name"]: field for field in approval.fields}
    faults = {
        f"data.{name}": f"Unknown field. Known are: {', '.join(known) or 'none'}."
        for name in data.keys() - known.keys()
    }
    values: dict[str, Any] = {}
    for name, field in known.items():
        value = data.get(name)
        if value is None or value == "":
            if field.get("required"):
                faults[f"data.{name}"] = "This field is required."
            continue
        if sentence := fault_of(field, value):
            faults[f"data.{name}"] = sentence
        else:
            values[name] = value
    if faults:
        raise InvalidError("Please look again.", details=faults)
    return values


def fault_of(field: dict[str, Any], value: Any) -> str:
    kind = field.get("type", "text")
    if kind == "choice":
        options = field["options"]
        return "" if value in options else f"Must be one of: {', '.join(options)}."
    return "" if _KINDS[kind](value) else _SENTENCES[kind]


def _is_date(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_number(value: Any) -> bool:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and math.isfinite(value)


_KINDS: dict[str, Callable[[Any], bool]] = {
    "text": _is_text,
    "textarea": _is_text,
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "date": _is_date,
}
_SENTENCES = {
    "text": f"Must be a text of at most {MAX_TEXT:,} characters.",
    "textarea": f"Must be a text of at most {MAX_TEXT:,} characters.",
    "number": "Must be a number.",
    "boolean": "Must be true or false.",
    "date": "Must be a date such as 2027-03-01.",
}
