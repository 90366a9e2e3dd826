"""What is kept of a person, and how people and companies go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts import events
from accounts.models import Company, Invitation, MailedToken, Purpose, User
from accounts.services.guesses import check_own_password
from craft import privacy
from craft.events import Event, publish
from craft.exceptions import NotFoundError
from craft.files import remove_with_rows


def export_person(user: User) -> dict[str, Any]:
    """All that this installation keeps of a person, in whichever company."""
    return {
        "user_id": user.pk,
        "exported_at": timezone.now(),
        "records": privacy.export_person(user),
    }


@transaction.atomic
def erase_person(user: User) -> None:
    """Delete a person and what is only about them. What they made stays their companies', and says no more who made it; the audit log keeps what was done.
    What they own is handed over, or deleted, before."""
    privacy.forget_person(user)
    user.delete()


def delete_company(company: Company, *, user: User, password: str) -> None:
    """All of it, at the word of its owner, who is asked for their password. Every key and token for it ends at once."""
    check_own_password(user, password)
    remove_company(company)


@transaction.atomic
def remove_company(company: Company) -> None:
    """Every row and every file of a company. The files go once it is certain that the rows have gone."""
    if not Company.objects.select_for_update().filter(pk=company.pk).first():
        raise NotFoundError("There is no such company any more.")
    data = {"company_id": company.pk, "name": company.name}
    publish(Event(events.COMPANY_DELETED, company.pk, data))
    ids = _with_what_hangs_on_it(company)
    invitations = Invitation.unscoped.filter(company__in=ids).values("pk")
    MailedToken.objects.filter(
        purpose=Purpose.INVITATION, subject__in=invitations
    ).delete()
    for company_id in ids:
        remove_with_rows(_folder_of(company_id))
    company.delete()


def _with_what_hangs_on_it(company: Company) -> list[int]:
    """The company, and such as go with it: its sandbox."""
    ids = [company.pk]
    for relation in Company._meta.related_objects:
        if relation.related_model is Company:
            hanging = Company.objects.filter(**{relation.field.name: company})
            ids += hanging.values_list("pk", flat=True)
    return ids


def _folder_of(company_id: int) -> Path:
    """Whatever an app keeps of a company in files, it keeps below this."""
    return Path(settings.MEDIA_ROOT) / str(company_id)
