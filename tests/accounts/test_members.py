"""Roles: what each may do, and who changes them."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from accounts.models import LEVELS, ApiKey, AuditEntry, Membership, RefreshToken
from accounts.services import members
from accounts.services.sessions import open_session
from craft.exceptions import ConflictError
from tests.factories import make_key, make_person, make_token


def as_person(person) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(person)}")
    return client


def path_of(person) -> str:
    return f"/api/v1/companies/{person.company.pk}/users/{person.user.pk}"


def transfer(person) -> str:
    return f"/api/v1/companies/{person.company.pk}/transfer-ownership"


# --- The table ---


def test_the_table_in_the_docs_is_the_one_that_is_enforced():
    page = Path(settings.BASE_DIR, "docs/roles.md").read_text(encoding="utf-8")
    header, _, *rows = re.findall(r"^\|(.+)\|$", page, re.MULTILINE)
    roles = [cell.strip().strip("`") for cell in header.split("|")][2:]
    assert roles == [str(role) for role in LEVELS]
    shown = {role: set() for role in roles}
    for row in rows:
        level, _, *cells = (cell.strip().strip("`") for cell in row.split("|"))
        for role, cell in zip(roles, cells, strict=True):
            assert cell in {"yes", ""}
            if cell:
                shown[role].add(level)
    assert shown == {str(role): set(levels) for role, levels in LEVELS.items()}


def test_each_role_may_what_the_one_below_may():
    sizes = [len(levels) for levels in LEVELS.values()]
    assert sizes == sorted(set(sizes))
    for lower, higher in zip(LEVELS.values(), list(LEVELS.values())[1:], strict=False):
        assert lower < higher


# --- Changing a role ---


def test_a_role_holds_from_the_next_call_on(alice, bob, api):
    key, token = make_key(bob), as_person(bob)
    outlets = f"/api/v1/companies/{bob.company.pk}/outlets"
    assert token.post(outlets, {"name": "One"}).status_code == 201

    answer = as_person(alice).patch(path_of(bob), {"role": "viewer"})
    assert answer.status_code == 200
    assert answer.json()["user"]["role"] == "viewer"

    assert token.post(outlets, {"name": "Two"}).status_code == 403
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert client.post(outlets, {"name": "Three"}).status_code == 403
    assert client.get(outlets).status_code == 200


def test_a_role_is_one_of_three(alice, bob):
    for role in ("owner", "root", "", None, 1):
        answer = as_person(alice).patch(path_of(bob), {"role": role})
        assert answer.status_code == 400
        assert set(answer.json()["details"]) == {"role"}


def test_the_owner_stays_an_admin(alice, bob):
    members.change_role(bob.membership, role="admin")
    answer = as_person(bob).patch(path_of(alice), {"role": "viewer"})
    assert answer.status_code == 409
    assert as_person(alice).patch(path_of(alice), {"role": "admin"}).status_code == 200


def test_a_company_is_never_without_an_admin(alice, bob):
    """Everybody who can go goes, and the owner is left."""
    members.change_role(bob.membership, role="admin")
    bob.membership.refresh_from_db()
    assert as_person(bob).delete(path_of(alice)).status_code == 409
    assert as_person(bob).delete(path_of(bob)).status_code == 200
    assert as_person(alice).delete(path_of(alice)).status_code == 409
    left = Membership.objects.filter(company=alice.company, role="admin")
    assert [one.user for one in left] == [alice.user]


# --- Removing somebody ---


def test_who_is_removed_is_out_at_once(alice, bob, api):
    token, key = as_person(bob), api(bob)
    refresh = open_session(bob.membership).refresh_token
    me = "/api/v1/auth/me"
    assert token.get(me).status_code == key.get(me).status_code == 200

    answer = as_person(alice).delete(path_of(bob))
    assert answer.json() == {"success": True, "message": "Membership deleted"}

    assert token.get(me).status_code == key.get(me).status_code == 401
    answer = api().post("/api/v1/auth/refresh", {"refresh_token": refresh})
    assert answer.status_code == 401
    assert not ApiKey.unscoped.filter(membership=bob.membership.pk).exists()
    assert not RefreshToken.objects.filter(
        session__membership=bob.membership.pk
    ).exists()
    assert as_person(alice).get(path_of(bob)).status_code == 404


def test_who_is_removed_here_stays_elsewhere(alice, bob, charlie):
    there = Membership.objects.create(user=bob.user, company=charlie.company)
    elsewhere = as_person(type(bob)(there))
    assert as_person(alice).delete(path_of(bob)).status_code == 200
    assert elsewhere.get("/api/v1/auth/me").status_code == 200


def test_what_they_made_stays(alice, bob, api):
    outlets = f"/api/v1/companies/{bob.company.pk}/outlets"
    assert api(bob).post(outlets, {"name": "One"}).status_code == 201
    as_person(alice).delete(path_of(bob))
    assert api(alice).get(outlets).json()["total"] == 1


# --- Handing over ---


def test_the_company_is_handed_over(alice, bob):
    answer = as_person(alice).post(transfer(alice), {"user_id": bob.user.pk})
    assert answer.status_code == 200
    owner = answer.json()["user"]
    assert (owner["id"], owner["role"], owner["is_owner"]) == (
        bob.user.pk,
        "admin",
        True,
    )
    (entry,) = AuditEntry.unscoped.filter(type="company.transferred")
    assert entry.changes["owner"] == [alice.user.pk, bob.user.pk]
    before = as_person(alice).get("/api/v1/auth/me").json()["user"]
    assert (before["role"], before["is_owner"]) == ("admin", False)
    answer = as_person(alice).post(transfer(alice), {"user_id": alice.user.pk})
    assert answer.status_code == 403
    assert as_person(bob).delete(path_of(alice)).status_code == 200


def test_only_the_owner_hands_over_and_not_by_a_key(alice, bob, api):
    members.change_role(bob.membership, role="admin")
    body = {"user_id": bob.user.pk}
    for client in (as_person(bob), api(alice), api(bob)):
        answer = client.post(transfer(alice), body)
        assert answer.status_code == 403
        assert "owner" in answer.json()["message"]


@pytest.mark.parametrize("whom", ["stranger", "nobody", "oneself"])
def test_it_is_handed_to_somebody_else_of_the_company(alice, charlie, whom):
    user_id = {
        "stranger": charlie.user.pk,
        "nobody": "user_none",
        "oneself": alice.user.pk,
    }[whom]
    answer = as_person(alice).post(transfer(alice), {"user_id": user_id})
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {"user_id"}


def test_handing_over_twice_with_the_same_right_works_once(alice, bob):
    """The second was let in as the owner, and is not by the time that it gets the rows."""
    carol = make_person(company=alice.company)
    members.transfer_ownership(owner=alice.membership, to=bob.membership)
    with pytest.raises(ConflictError):
        members.transfer_ownership(owner=alice.membership, to=carol.membership)
    owners = Membership.objects.filter(company=alice.company, is_owner=True)
    assert [one.user for one in owners] == [bob.user]
