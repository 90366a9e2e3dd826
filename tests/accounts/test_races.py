"""Two at the same moment, in processes of their own: a company keeps one owner, and an invitation makes one member."""

from functools import partial

import pytest

from accounts.models import (
    Company,
    Invitation,
    MailedToken,
    Membership,
    Purpose,
    Role,
    User,
)
from accounts.services import mail
from accounts.services.invitations import accept_invitation, invite
from accounts.services.members import change_role, remove_member, transfer_ownership
from accounts.services.people import delete_account
from tests.at_once import at_once
from tests.factories import PASSWORD, make_person

pytestmark = pytest.mark.django_db(transaction=True, serialized_rollback=True)
ROUNDS = 3
REFUSED = {"ConflictError", "NotFoundError", "UselessTokenError"}


def fresh(membership):
    """As a process has it that read it before the others changed it."""
    return Membership.objects.select_related("user", "company").get(pk=membership.pk)


def admins(count):
    owner = make_person()
    others = [make_person(company=owner.company) for _ in range(count)]
    return [fresh(person.membership) for person in (owner, *others)]


def check_company(company):
    """One owner, who is an admin."""
    owner = company.memberships.get(is_owner=True)
    assert owner.role == Role.ADMIN


def test_two_who_are_handed_a_company_at_once_leave_one_owner():
    for _ in range(ROUNDS):
        owner, first, second = admins(2)
        outcomes = at_once(
            partial(transfer_ownership, owner=owner, to=first),
            partial(transfer_ownership, owner=owner, to=second),
        )
        assert sorted(outcomes) == ["ConflictError", "done"]
        check_company(owner.company)


def test_whoever_is_handed_a_company_while_they_are_taken_out_or_down():
    for turn in range(ROUNDS):
        owner, other = admins(1)
        against = (
            partial(remove_member, other),
            partial(change_role, other, role="viewer"),
        )
        outcomes = at_once(
            partial(transfer_ownership, owner=owner, to=other), against[turn % 2]
        )
        assert set(outcomes) <= {"done", *REFUSED}, outcomes
        assert "done" in outcomes
        check_company(owner.company)


def test_whoever_is_handed_a_company_while_they_leave_for_good():
    for _ in range(ROUNDS):
        owner, other = admins(1)
        user = other.user
        user.set_password(PASSWORD)
        user.save()
        outcomes = at_once(
            partial(transfer_ownership, owner=owner, to=other),
            partial(delete_account, user=user, password=PASSWORD),
        )
        assert "done" in outcomes
        assert set(outcomes) <= {"done", *REFUSED}, outcomes
        check_company(owner.company)


def test_admins_who_take_each_other_down_at_once_leave_one():
    for _ in range(ROUNDS):
        owner, first, second = admins(2)
        outcomes = at_once(
            partial(change_role, first, role="viewer"),
            partial(remove_member, second),
            partial(change_role, owner, role="viewer"),
            partial(remove_member, owner),
        )
        assert outcomes == ["done", "done", "ConflictError", "ConflictError"]
        check_company(owner.company)


def test_one_who_is_taken_out_twice_at_once():
    for _ in range(ROUNDS):
        _, other = admins(1)
        outcomes = at_once(*[partial(remove_member, other)] * 3)
        assert sorted(outcomes) == ["NotFoundError"] * 2 + ["done"]


def invitation_of(company, user, email):
    sent = invite(company=company, user=user, email=email, role="member")
    token = mail.make_token(purpose=Purpose.INVITATION, email=email, subject=sent.pk)
    return token.text


def test_an_invitation_that_is_accepted_many_times_at_once_makes_one_member():
    owner = make_person()
    for turn in range(ROUNDS):
        email = f"new{turn}@example.com"
        token = invitation_of(owner.company, owner.user, email)
        outcomes = at_once(
            *[
                partial(
                    accept_invitation, token=token, full_name="New", password=PASSWORD
                )
            ]
            * 3
        )
        assert sorted(outcomes) == ["UselessTokenError"] * 2 + ["done"]
        assert User.objects.filter(email=email).count() == 1
        joined = owner.company.memberships.filter(user__email=email)
        assert joined.count() == 1
        assert Invitation.unscoped.get(email=email).status == "accepted"
        assert not MailedToken.objects.filter(email=email, used_at=None).exclude(
            purpose=Purpose.INVITATION
        )


def test_somebody_who_is_here_accepts_one_invitation_twice_at_once():
    owner, guest = make_person(), make_person()
    token = invitation_of(owner.company, owner.user, guest.user.email)
    outcomes = at_once(
        *[partial(accept_invitation, token=token, signed_in=guest.user)] * 3
    )
    assert sorted(outcomes) == ["UselessTokenError"] * 2 + ["done"]
    assert owner.company.memberships.filter(user=guest.user).count() == 1


def test_a_company_that_goes_while_somebody_joins_it():
    """Either it stays with both of them, or it is gone with all that hung on it."""
    for turn in range(ROUNDS):
        owner = make_person()
        owner.user.set_password(PASSWORD)
        owner.user.save()
        email = f"late{turn}@example.com"
        token = invitation_of(owner.company, owner.user, email)
        outcomes = at_once(
            partial(delete_account, user=owner.user, password=PASSWORD),
            partial(accept_invitation, token=token, full_name="New", password=PASSWORD),
        )
        assert set(outcomes) <= {"done", *REFUSED}, outcomes
        there = Company.objects.filter(pk=owner.company.pk).first()
        if there is None:
            assert not User.objects.filter(email=email).exists()
        else:
            assert there.memberships.count() == 2
            check_company(there)
