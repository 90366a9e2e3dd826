"""Asking somebody to join a company; belonging to several."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import AuditEntry, Invitation, Mail, Membership, User
from accounts.services import invitations
from accounts.services.mail import render, send_due
from tests.accounts.test_mail import postman
from tests.factories import PASSWORD, make_person, make_token

__all__ = ["postman"]

ACCEPT = "/api/v1/invitations/accept"


def as_person(person) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(person)}")
    return client


def path_of(person, rest="") -> str:
    return f"/api/v1/companies/{person.company.pk}/invitations{rest}"


def invite(person, email="guest@example.com", role="member") -> Invitation:
    return invitations.invite(
        company=person.company, user=person.user, email=email, role=role
    )


def token_of(invitation) -> str:
    """As the last mail about it has it."""
    mail = Mail.objects.filter(token__subject=invitation.pk).order_by("pk").last()
    return mail.token.text


def later(**delta):
    return time_machine.travel(timezone.now() + timedelta(**delta), tick=False)


NEW = {"full_name": "Grace Guest", "password": PASSWORD}


# --- Asking ---


def test_an_invitation_is_made_listed_and_mailed(alice, api, postman):
    client = api(alice)
    body = {"email": "Guest@Example.com", "role": "viewer"}
    made = client.post(path_of(alice), body)
    assert made.status_code == 201
    invitation = made.json()["invitation"]
    assert invitation["id"].startswith("invite_")
    assert invitation["email"] == "guest@example.com"
    assert invitation["status"] == "pending"
    assert invitation["invited_by"] == alice.user.pk
    assert client.get(made["Location"]).json()["invitation"] == invitation
    assert client.get(path_of(alice)).json()["invitations"] == [invitation]

    send_due()
    (message,) = postman.received
    assert message["To"] == "guest@example.com"
    assert message["Subject"] == f"Join {alice.company.name}"
    text = message.get_body(["plain"]).get_content()
    assert "Alice Admin asks you to join" in text
    token = re.search(r"give it this:\s+(\S+)", text)[1]
    answer = api().post(ACCEPT, {"token": token, **NEW})
    assert answer.status_code == 200


def test_the_token_is_neither_answered_nor_kept(alice, api):
    answer = api(alice).post(path_of(alice), {"email": "guest@example.com"})
    invitation = Invitation.objects.for_company(alice.company).get()
    text = token_of(invitation)
    assert text not in answer.content.decode()
    rows = [*Mail.objects.values(), *Invitation.unscoped.values()]
    rows += AuditEntry.unscoped.values()
    assert text.partition(".")[2] not in str(rows)


def test_who_is_in_or_asked_is_not_asked_again(alice, bob, api):
    for email in (bob.user.email, bob.user.email.upper()):
        answer = api(alice).post(path_of(alice), {"email": email})
        assert answer.status_code == 409
    invite(alice)
    answer = api(alice).post(path_of(alice), {"email": "GUEST@example.com"})
    assert answer.status_code == 409
    assert set(answer.json()["details"]) == {"email"}


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "nobody"), ("email", ""), ("role", "owner"), ("role", "root")],
)
def test_an_invitation_with_a_fault_is_refused(alice, api, field, value):
    body = {"email": "guest@example.com", field: value}
    answer = api(alice).post(path_of(alice), body)
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {field}
    assert not Mail.objects.exists()


def test_open_invitations_have_an_end(alice, api, monkeypatch):
    monkeypatch.setattr(invitations, "MAX_OPEN", 2)
    for number in range(2):
        invite(alice, f"guest{number}@example.com")
    answer = api(alice).post(path_of(alice), {"email": "guest@example.com"})
    assert answer.status_code == 409


def test_only_admins_ask(bob, vera, api):
    for person in (bob, vera):
        client = as_person(person)
        body = {"email": "guest@example.com"}
        assert client.post(path_of(person), body).status_code == 403
        assert client.get(path_of(person)).status_code == 403


def test_a_new_link_ends_the_one_before(alice, api):
    invitation = invite(alice)
    before = token_of(invitation)
    resend = path_of(alice, f"/{invitation.pk}/resend")
    assert api(alice).post(resend).status_code == 409
    with later(days=6):
        answer = api(alice).post(resend)
        assert answer.status_code == 200
        assert answer.json()["invitation"]["status"] == "pending"
    assert api().post(ACCEPT, {"token": before, **NEW}).status_code == 400
    with later(days=8):
        answer = api().post(ACCEPT, {"token": token_of(invitation), **NEW})
        assert answer.status_code == 200
    assert api(alice).post(resend).status_code == 409


def test_one_that_was_deleted_is_no_way_in(alice, api):
    invitation = invite(alice)
    token = token_of(invitation)
    answer = api(alice).delete(path_of(alice, f"/{invitation.pk}"))
    assert answer.json() == {"success": True, "message": "Invitation deleted"}
    assert api().post(ACCEPT, {"token": token, **NEW}).status_code == 400
    assert not User.objects.filter(email=invitation.email).exists()


# --- Joining ---


def test_somebody_new_joins(alice, api):
    invitation = invite(alice, role="viewer")
    answer = api().post(ACCEPT, {"token": token_of(invitation), **NEW})
    assert answer.status_code == 200
    user = answer.json()["user"]
    assert user["email"] == "guest@example.com"
    assert user["is_verified"] is True
    assert (user["role"], user["company_id"]) == ("viewer", alice.company.pk)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['token']}")
    assert client.get("/api/v1/auth/me").status_code == 200
    login = {"email": "guest@example.com", "password": PASSWORD}
    assert api().post("/api/v1/auth/login", login).status_code == 200
    listed = api(alice).get(path_of(alice)).json()["invitations"]
    assert [one["status"] for one in listed] == ["accepted"]
    entry = AuditEntry.unscoped.get(type="user.joined")
    assert (entry.user_id, entry.resource_id) == (user["id"], user["id"])


def test_somebody_new_says_who_they_are(alice, api):
    token = token_of(invite(alice))
    answer = api().post(ACCEPT, {"token": token})
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {"full_name", "password"}
    weak = {"token": token, "full_name": "Grace", "password": "12345678"}
    answer = api().post(ACCEPT, weak)
    assert set(answer.json()["details"]) == {"password"}
    assert api().post(ACCEPT, {"token": token, **NEW}).status_code == 200


def test_it_is_good_once_and_for_seven_days(alice, api):
    token = token_of(invite(alice))
    with later(days=7, seconds=1):
        assert api().post(ACCEPT, {"token": token, **NEW}).status_code == 400
        listed = api(alice).get(path_of(alice)).json()["invitations"]
        assert [one["status"] for one in listed] == ["expired"]
    assert api().post(ACCEPT, {"token": token, **NEW}).status_code == 200
    assert api().post(ACCEPT, {"token": token, **NEW}).status_code == 400


@pytest.mark.parametrize("odd", ["x", "x.y", ".", "mt_.", "é.é"])
def test_a_wrong_token_is_a_400_that_says_no_more(api, db, odd):
    answer = api().post(ACCEPT, {"token": odd, **NEW})
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {"token"}


def test_who_is_known_and_signed_in_joins(alice, charlie):
    token = token_of(invite(alice, charlie.user.email))
    answer = as_person(charlie).post(ACCEPT, {"token": token})
    assert answer.status_code == 200
    assert answer.json()["user"]["company_id"] == alice.company.pk
    assert answer.json()["token"]
    assert Membership.objects.filter(user=charlie.user).count() == 2


def test_who_is_known_joins_by_password_and_then_signs_in(alice, api):
    person = make_person()
    person.user.set_password(PASSWORD)
    person.user.save()
    token = token_of(invite(alice, person.user.email))

    answer = api().post(ACCEPT, {"token": token})
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {"password"}
    answer = api().post(ACCEPT, {"token": token, "password": "wrong"})
    assert answer.status_code == 401
    answer = api().post(ACCEPT, {"token": token, "password": PASSWORD})
    assert answer.status_code == 200
    assert answer.json()["token"] is None
    assert Membership.objects.filter(user=person.user).count() == 2


def test_somebody_elses_invitation_can_not_be_taken(alice, bob, charlie, api):
    """Whoever got hold of the link is still not the person who was asked; nor is a key."""
    token = token_of(invite(alice, charlie.user.email))
    for client in (as_person(bob), api(bob), api(charlie), api()):
        assert client.post(ACCEPT, {"token": token}).status_code == 400
    assert Membership.objects.filter(company=alice.company).count() == 2


def test_who_joined_meanwhile_is_not_made_twice(alice, api):
    """The address registers between the mail and the click."""
    token = token_of(invite(alice))
    registration = {
        "email": "guest@example.com",
        "password": PASSWORD,
        "full_name": "Grace",
        "company_name": "Own",
    }
    assert api().post("/api/v1/auth/register", registration).status_code == 201
    answer = api().post(ACCEPT, {"token": token, **NEW})
    assert answer.status_code == 200
    assert User.objects.filter(email="guest@example.com").count() == 1


def test_the_mail_names_who_asks_and_nothing_secret_stands_in_its_row(alice):
    invitation = invite(alice)
    mail = Mail.objects.get()
    assert token_of(invitation) not in str(mail.context)
    message = render(mail)
    assert alice.company.name in message.body


# --- Several companies ---


@pytest.fixture
def both(bob, charlie):
    """Bob, in Charlie's company too."""
    return Membership.objects.create(
        user=bob.user, company=charlie.company, role="viewer"
    )


def test_own_companies_are_listed(bob, charlie, both):
    body = as_person(bob).get("/api/v1/account/companies").json()
    rows = {row["id"]: row for row in body["companies"]}
    assert set(rows) == {bob.company.pk, charlie.company.pk}
    assert rows[bob.company.pk]["is_current"] is True
    assert rows[charlie.company.pk]["is_current"] is False
    assert rows[charlie.company.pk]["role"] == "viewer"


def test_switching_gives_tokens_for_the_other_company(bob, charlie, both, api):
    client = as_person(bob)
    body = {"company_id": charlie.company.pk}
    answer = client.post("/api/v1/account/switch", body)
    assert answer.status_code == 200
    assert answer.json()["user"]["company_id"] == charlie.company.pk
    there = APIClient()
    there.credentials(HTTP_AUTHORIZATION=f"Bearer {answer.json()['token']}")
    here = f"/api/v1/companies/{bob.company.pk}"
    assert there.get(f"/api/v1/companies/{charlie.company.pk}").status_code == 200
    assert there.get(here).status_code == 404
    assert client.get(here).status_code == 200
    refreshed = api().post(
        "/api/v1/auth/refresh", {"refresh_token": answer.json()["refresh_token"]}
    )
    assert refreshed.status_code == 200


def test_one_switches_to_ones_own_companies_only(alice, charlie):
    for company_id in (charlie.company.pk, 10**9):
        answer = as_person(alice).post(
            "/api/v1/account/switch", {"company_id": company_id}
        )
        assert answer.status_code == 404


def test_a_key_does_not_switch(bob, charlie, both, api):
    body = {"company_id": charlie.company.pk}
    assert api(bob).post("/api/v1/account/switch", body).status_code == 403
