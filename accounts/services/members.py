"""Who works in a company, and as what. A company has one owner, who is an admin and stays until they hand over: so it is never without an admin."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from accounts import events
from accounts.models import Company, Membership, Role, User
from craft.events import Event, publish
from craft.exceptions import ConflictError, InvalidError, NotFoundError

GONE = "This person is not in the company any more."


@transaction.atomic
def add_member(*, company: Company, user: User, role: str) -> Membership:
    """Without an invitation: an operator's to do."""
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                user=user, company=company, role=role
            )
    except IntegrityError:
        raise ConflictError(f"{user} is in {company} already.") from None
    publish(_told(events.USER_JOINED, membership))
    return membership


@transaction.atomic
def change_role(membership: Membership, *, role: str) -> Membership:
    membership = _locked(membership)
    if membership.is_owner and role != Role.ADMIN:
        raise ConflictError(
            "The owner is always an admin. Hand the company over first.",
            details={"role": "The owner's can't be changed."},
        )
    changes = membership.assign({"role": role})
    if changes:
        membership.save()
        publish(_told(events.USER_ROLE_CHANGED, membership, changes=changes))
    return membership


@transaction.atomic
def remove_member(membership: Membership) -> None:
    """Their keys and sessions for this company go with it; what they made stays the company's."""
    membership = _locked(membership)
    if membership.is_owner:
        raise ConflictError(
            "The owner can't be removed. Hand the company over first.",
        )
    publish(_told(events.USER_REMOVED, membership))
    membership.delete()


@transaction.atomic
def transfer_ownership(*, owner: Membership, to: Membership) -> Membership:
    """Hand the company over. Who had it stays an admin, who gets it becomes one. Of several at the same moment one does it, for whoever comes second is
    no longer the owner."""
    by_id = {
        membership.pk: membership
        for membership in Membership.objects.select_for_update()
        .filter(company=owner.company_id, pk__in=[owner.pk, to.pk])
        .order_by("pk")
    }
    if to.pk not in by_id:
        raise NotFoundError(GONE)
    owner, to = by_id.get(owner.pk, owner), by_id[to.pk]
    if owner.pk not in by_id or not owner.is_owner:
        raise ConflictError("Somebody else owns the company by now.")
    if owner == to:
        raise InvalidError(
            "You own the company already.", details={"user_id": "Name somebody else."}
        )
    owner.is_owner = False
    owner.save()  # first, for there is one owner at most
    before = to.role
    to.is_owner, to.role = True, Role.ADMIN
    to.save()
    changes = {"owner": [owner.user_id, to.user_id], "role": [before, to.role]}
    data = {"company_id": to.company_id, "user_id": to.user_id, "changes": changes}
    publish(Event(events.OWNERSHIP_TRANSFERRED, to.company_id, data))
    return to


def _locked(membership: Membership) -> Membership:
    """As it is now: with who it is, for what is answered."""
    rows = Membership.objects.select_related("user", "company")
    found = rows.select_for_update(of=("self",)).filter(pk=membership.pk).first()
    if found is None:
        raise NotFoundError(GONE)
    return found


def _told(kind: str, membership: Membership, **more: object) -> Event:
    data = {"user_id": membership.user_id, "role": membership.role, **more}
    return Event(kind, membership.company_id, data)
