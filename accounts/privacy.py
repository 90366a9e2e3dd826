"""What becomes of a person's rows in this app."""

from typing import Any

from django.contrib.admin.models import LogEntry
from django.db.models import Q

from accounts.models import (
    ApiKey,
    AuditEntry,
    AuditHead,
    Company,
    Invitation,
    Mail,
    MailedToken,
    Membership,
    Outlet,
    RecoveryCode,
    RefreshToken,
    Session,
    TwoFactor,
    User,
)
from accounts.services.audit import erase_person_from_log
from craft.privacy import Erased, Impersonal, Kept, Policies


def _forget_in_console(user: Any) -> None:
    """What operators did to them, and what they did themselves: without their name."""
    about = Q(object_repr__icontains=user.email) | Q(
        change_message__icontains=user.email
    )
    LogEntry.objects.filter(about).update(object_repr="(erased)", change_message="")


def _forget_in_mail(user: Any) -> None:
    """What was sent to them goes; what was sent in their name goes on without it."""
    Mail.objects.filter(to__iexact=user.email).delete()
    invitations = Invitation.unscoped.filter(invited_by=user).values("pk")
    for mail in Mail.objects.filter(token__subject__in=invitations):
        mail.context = {**mail.context, "by": ""}
        mail.save(update_fields=["context"])


POLICIES: Policies = {
    User: Erased(
        by=(),
        told=(
            "id",
            "email",
            "full_name",
            "phone",
            "time_zone",
            "is_verified",
            "is_active",
            "last_login",
            "created_at",
        ),
    ),
    Membership: Erased(told=("company_id", "role", "is_owner", "created_at")),
    ApiKey: Erased(
        by=("membership__user",),
        told=(
            "id",
            "company_id",
            "name",
            "prefix",
            "last_four",
            "permissions",
            "created_at",
            "last_used_at",
        ),
    ),
    Session: Erased(
        told=(
            "id",
            "user_agent",
            "address",
            "created_at",
            "last_seen_at",
            "ended_at",
        )
    ),
    RefreshToken: Erased(
        by=("session__user",), told=("created_at", "expires_at", "used_at")
    ),
    TwoFactor: Erased(told=("begun_at", "enabled_at")),
    RecoveryCode: Erased(by=("two_factor__user",), told=("created_at", "used_at")),
    MailedToken: Erased(
        told=("purpose", "email", "created_at", "used_at"),
        also=lambda user: Q(email__iexact=user.email),
    ),
    Mail: Kept(
        why="mail to others that names them: without the name",
        told=("to", "template", "status", "created_at", "sent_at"),
        also=lambda user: Q(to__iexact=user.email),
        forget=_forget_in_mail,
    ),
    Invitation: Kept(
        why="that somebody was invited is the company's to know; whom, only while they are here",
        by=("invited_by",),
        told=("id", "company_id", "email", "role", "created_at", "accepted_at"),
        also=lambda user: Q(email=user.email),
        forget=lambda user: Invitation.unscoped.filter(email=user.email).delete(),
    ),
    AuditEntry: Kept(
        why="what was done to a company's records stays known, and its chain whole; from where, and what it says about the person, goes",
        told=("id", "company_id", "type", "resource_id", "created_at", "origin"),
        also=lambda user: (
            Q(user_id=user.pk) | Q(resource_type="user", resource_id=user.pk)
        ),
        forget=lambda user: erase_person_from_log(user_id=user.pk),
    ),
    LogEntry: Kept(
        why="what operators did to others' records",
        told=("action_time", "object_repr", "action_flag"),
        also=lambda user: Q(user=user),
        forget=_forget_in_console,
    ),
    AuditHead: Impersonal("the end of a chain"),
    Company: Impersonal("what a company says of itself"),
    Outlet: Impersonal("a branch of a company"),
}
