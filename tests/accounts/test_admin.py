"""Companies, people and keys in the operator console."""

import pytest
from django.test import Client
from django.urls import reverse

from accounts.events import API_KEY_DELETED
from accounts.models import (
    ApiKey,
    AuditEntry,
    Company,
    Invitation,
    MailedToken,
    Membership,
    Session,
    User,
)
from accounts.services.companies import create_outlet
from accounts.services.invitations import invite
from accounts.services.sessions import open_session
from craft.events import subscribe
from tests.factories import PASSWORD, make_key, make_person, make_workflow

GRAPH = {"nodes": [{"id": "begin", "type": "input"}], "edges": []}


@pytest.fixture
def operator(db) -> User:
    return User.objects.create_superuser("olive@example.com", PASSWORD)


@pytest.fixture
def console(operator) -> Client:
    client = Client()
    client.force_login(operator)
    return client


def page(row, action="change") -> str:
    meta = row._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_{action}", args=[row.pk])


def roles_form(company, *, new_user="", **changes):
    """What the company's page sends: the memberships that there are, and an empty form for one more."""
    memberships = list(company.memberships.all())
    data = {"name": company.name}
    for prefix, initial, total in (
        ("memberships", len(memberships), len(memberships)),
        ("memberships-2", 0, 1 if new_user else 0),
    ):
        data |= {
            f"{prefix}-INITIAL_FORMS": initial,
            f"{prefix}-TOTAL_FORMS": total,
        }
    for place, membership in enumerate(memberships):
        data |= {
            f"memberships-{place}-id": membership.pk,
            f"memberships-{place}-company": company.pk,
            f"memberships-{place}-role": membership.role,
        }
    if new_user:
        data |= {
            "memberships-2-0-user": new_user,
            "memberships-2-0-company": company.pk,
            "memberships-2-0-role": "viewer",
        }
    return data | changes


def test_the_list_of_companies_tells_their_size(console, alice, bob, charlie):
    make_key(alice)
    make_workflow(alice, **GRAPH)
    make_workflow(alice, **GRAPH)
    answer = console.get("/admin/accounts/company/")
    by_name = {row.name: row for row in answer.context["cl"].result_list}
    own = by_name[alice.company.name]
    assert (own.people_count, own.key_count, own.workflow_count) == (2, 1, 2)
    assert own.plan_name == "Enterprise"
    other = by_name[charlie.company.name]
    assert (other.people_count, other.key_count, other.workflow_count) == (1, 0, 0)


def test_a_company_leads_to_what_is_its_own(console, alice, charlie):
    make_key(alice)
    make_key(charlie)
    answer = console.get(page(alice.company))
    keys = next(url for title, _, url in answer.context["figures"] if title == "Keys")
    rows = console.get(keys).context["cl"].result_list
    assert {row.company_id for row in rows} == {alice.company.pk}


def test_companies_and_people_are_not_deleted_here(console, alice):
    for row in (alice.company, alice.user):
        assert console.post(page(row, "delete"), {"post": "yes"}).status_code == 403
    assert console.get("/admin/accounts/company/add/").status_code == 403
    assert Company.objects.filter(pk=alice.company.pk).exists()


def test_a_role_is_changed(console, alice, bob):
    data = roles_form(alice.company, **{"memberships-1-role": "admin"})
    assert console.post(page(alice.company), data).status_code == 302
    assert Membership.objects.get(pk=bob.membership.pk).role == "admin"


def test_a_membership_can_not_be_handed_to_somebody_else(console, alice, bob, charlie):
    data = roles_form(alice.company, **{"memberships-1-user": charlie.user.pk})
    assert console.post(page(alice.company), data).status_code == 302
    assert Membership.objects.get(pk=bob.membership.pk).user == bob.user


def test_somebody_is_added_to_a_company(console, alice, charlie):
    data = roles_form(alice.company, new_user=charlie.user.pk)
    assert console.post(page(alice.company), data).status_code == 302
    added = alice.company.memberships.get(user=charlie.user)
    assert (added.role, added.is_owner) == ("viewer", False)


def test_a_member_is_taken_out_but_not_the_owner(console, alice, bob):
    data = roles_form(alice.company, **{"memberships-1-DELETE": "on"})
    assert console.post(page(alice.company), data).status_code == 302
    assert not Membership.objects.filter(pk=bob.membership.pk).exists()
    data = roles_form(alice.company, **{"memberships-0-DELETE": "on"})
    answer = console.post(page(alice.company), data, follow=True)
    assert "The owner can&#x27;t be removed" in answer.content.decode()
    assert Membership.objects.filter(pk=alice.membership.pk).exists()


def test_what_a_service_refuses_changes_nothing_else_of_the_page(console, alice, bob):
    data = roles_form(
        alice.company, **{"memberships-0-role": "viewer", "name": "Other"}
    )
    answer = console.post(page(alice.company), data, follow=True)
    assert "The owner is always an admin" in answer.content.decode()
    assert Company.objects.get(pk=alice.company.pk).name == alice.company.name


def test_a_page_of_many_people_asks_no_more(
    console, alice, django_assert_max_num_queries
):
    for _ in range(20):
        make_person(company=alice.company, role="member")
    with django_assert_max_num_queries(12):
        console.get(page(alice.company))


def test_users_are_shown_with_their_places(console, alice, bob):
    text = console.get("/admin/accounts/user/").content.decode()
    assert alice.company.name in text
    assert "owner" in text
    assert "Operator" in text


def test_an_operator_is_added(console):
    data = {
        "email": "Otto@Example.com",
        "full_name": "Otto",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "usable_password": "true",
        "is_staff": "on",
    }
    answer = console.post("/admin/accounts/user/add/", data)
    assert answer.status_code == 302, answer.context["errors"]
    user = User.objects.get(email="otto@example.com")
    assert user.is_staff
    assert Client().login(username="otto@example.com", password=PASSWORD)


def test_nobody_locks_themselves_out(console, operator):
    data = {
        "email": operator.email,
        "full_name": "Olive",
        "memberships-INITIAL_FORMS": 0,
        "memberships-TOTAL_FORMS": 0,
        "memberships-2-INITIAL_FORMS": 0,
        "memberships-2-TOTAL_FORMS": 0,
    }
    assert console.post(page(operator), data).status_code == 302
    operator.refresh_from_db()
    assert (operator.full_name, operator.is_staff, operator.is_active) == (
        "Olive",
        True,
        True,
    )


def test_an_operator_sets_a_new_password(console, bob):
    url = reverse("admin:auth_user_password_change", args=[bob.user.pk])
    assert url in console.get(page(bob.user)).content.decode()
    assert console.get(url).status_code == 200
    data = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert console.post(url, data).status_code == 302
    assert User.objects.get(pk=bob.user.pk).check_password(PASSWORD)


def test_no_page_shows_a_hash(console, alice):
    alice.user.set_password(PASSWORD)
    alice.user.save()
    make_key(alice)
    key = ApiKey.unscoped.get()
    for row in (alice.user, key):
        text = console.get(page(row)).content.decode()
        assert alice.user.password not in text
        assert alice.user.password.split("$")[-1] not in text
        assert key.digest not in text


def test_a_key_is_ended_as_its_owner_would_end_it(console, alice):
    ended = []
    subscribe(API_KEY_DELETED, lambda event: ended.append(event.data["api_key_id"]))
    make_key(alice)
    key = ApiKey.unscoped.get()
    assert console.post(page(key, "delete"), {"post": "yes"}).status_code == 302
    assert ended == [key.pk]
    assert not ApiKey.unscoped.exists()


def test_several_keys_are_ended_at_once(console, alice):
    ended = []
    subscribe(API_KEY_DELETED, lambda event: ended.append(event.data["api_key_id"]))
    make_key(alice)
    make_key(alice)
    chosen = list(ApiKey.unscoped.values_list("pk", flat=True))
    data = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    assert console.post("/admin/accounts/apikey/", data).status_code == 302
    assert sorted(ended) == sorted(chosen)


def test_a_key_is_not_changed_here(console, alice):
    make_key(alice)
    key = ApiKey.unscoped.get()
    assert console.post(page(key), {"name": "mine"}).status_code == 403
    assert console.get("/admin/accounts/apikey/add/").status_code == 403


# --- What operators do is in the companies' audit logs ---


def told(person) -> list[AuditEntry]:
    return list(AuditEntry.objects.for_company(person.company).order_by("pk"))


def test_what_an_operator_does_to_a_company_is_in_its_audit_log(
    console, operator, alice, bob, charlie
):
    before = len(told(alice))
    data = roles_form(
        alice.company,
        new_user=charlie.user.pk,
        **{"name": "Renamed", "memberships-1-role": "admin"},
    )
    sent_from = {"REMOTE_ADDR": "192.0.2.7", "HTTP_USER_AGENT": "Firefox"}
    console.post(page(alice.company), data, **sent_from)
    data = roles_form(
        alice.company, **{"memberships-1-DELETE": "on", "name": "Renamed"}
    )
    console.post(page(alice.company), data, **sent_from)
    new = told(alice)[before:]
    assert [(entry.type, entry.changes) for entry in new] == [
        ("company.updated", {"name": [alice.company.name, "Renamed"]}),
        ("user.role_changed", {"role": ["member", "admin"]}),
        ("user.joined", {}),
        ("user.removed", {}),
    ]
    assert {(entry.user_id, entry.address, entry.user_agent) for entry in new} == {
        (operator.pk, "192.0.2.7", "Firefox")
    }


def test_what_an_operator_does_to_a_person_is_in_the_logs_of_all_their_companies(
    console, operator, bob, charlie
):
    charlie.company.memberships.create(user=bob.user)
    data = {
        "email": "Robert@Example.com",
        "full_name": bob.user.full_name,
        "is_verified": "on",
    }
    for prefix in ("memberships", "memberships-2"):
        data |= {f"{prefix}-INITIAL_FORMS": 0, f"{prefix}-TOTAL_FORMS": 0}
    assert console.post(page(bob.user), data).status_code == 302
    for person in (bob, charlie):
        entry = told(person)[-1]
        assert (entry.type, entry.user_id) == ("user.updated", operator.pk)
        assert entry.changes == {
            "email": [bob.user.email, "robert@example.com"],
            "is_active": [True, False],
            "is_verified": [False, True],
        }


def test_a_password_that_an_operator_sets_ends_sessions_and_is_told(
    console, operator, bob
):
    open_session(bob.membership)
    url = reverse("admin:auth_user_password_change", args=[bob.user.pk])
    data = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    console.post(url, data)
    assert not Session.objects.live().filter(user=bob.user).exists()
    types = [entry.type for entry in told(bob) if entry.user_id == operator.pk]
    assert types == ["user.password_changed", "user.signed_out"]
    assert PASSWORD not in "".join(entry.details for entry in told(bob))


# --- Invitations and outlets ---


def test_an_invitation_is_found_and_ended(console, operator, alice):
    sent = invite(
        company=alice.company, user=alice.user, email="new@example.com", role="member"
    )
    text = console.get("/admin/accounts/invitation/", {"q": "new@"}).content.decode()
    assert "new@example.com" in text
    assert alice.company.name in text
    assert console.get(page(sent)).status_code == 200
    assert console.post(page(sent), {"email": "x@example.com"}).status_code == 403
    assert console.post(page(sent, "delete"), {"post": "yes"}).status_code == 302
    assert not Invitation.unscoped.exists()
    assert not MailedToken.objects.filter(subject=sent.pk, used_at=None).exists()
    entry = told(alice)[-1]
    assert (entry.type, entry.user_id) == ("invitation.deleted", operator.pk)


def test_outlets_are_read_and_left_alone(console, alice):
    outlet = create_outlet(company=alice.company, name="Dock", address="1 Quay")
    text = console.get("/admin/accounts/outlet/", {"q": "quay"}).content.decode()
    assert "Dock" in text
    assert "1 Quay" in console.get(page(outlet)).content.decode()
    assert console.post(page(outlet, "delete"), {"post": "yes"}).status_code == 403
