"""Pages are thin: what they may do, the services decide. Here is who may open which, and that forms say what was refused."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import (
    ApiKey,
    AuditEntry,
    Company,
    Invitation,
    Mail,
    Outlet,
    Purpose,
)
from accounts.services import audit, companies, invitations, people, sessions
from accounts.services.mail import make_token
from accounts.urls import pages
from craft import first_operator
from tests.factories import PASSWORD, Person, make_key, make_person

PUBLIC = {
    "home",
    "set-up",
    "sign-up",
    "sign-in",
    "sign-in-code",
    "sign-out",
    "invitation",
    "forgot-password",
    "reset-password",
    "verify-email",
    "change-email",
}
POSTED = {
    "switch-company",
    "settings-invitation-resend",
    "settings-invitation-delete",
    "settings-verification",
    "settings-two-factor-confirm",
    "settings-session-end",
    "settings-sessions-end-others",
    "settings-sandbox-make",
    "settings-audit-verify",
}
PLACES = re.compile(r"<\w+:(\w+)>")


@pytest.fixture
def browse():
    """`browse(alice)` is her browser, signed in by the page."""

    def opened(person: Person) -> Client:
        person.user.set_password(PASSWORD)
        person.user.save()
        client = Client()
        form = {"email": person.user.email, "password": PASSWORD}
        assert client.post("/login", form).status_code == 302
        return client

    return opened


def addresses(**ids: str) -> list[tuple[str, str]]:
    """Every page, with these ids in its address."""
    return [
        (
            page.name,
            "/"
            + PLACES.sub(lambda place: str(ids.get(place[1], "1")), str(page.pattern)),
        )
        for page in pages
    ]


def ids_of(person: Person) -> dict[str, Any]:
    outlet = companies.create_outlet(company=person.company, name="Leeds")
    api_key = ApiKey.objects.create(
        company=person.company,
        membership=person.membership,
        name="Till",
        digest=f"digest of {person.user.pk}",
        prefix="cv_live_",
        last_four="abcd",
        permissions=["read"],
    )
    invitation = invitations.invite(
        company=person.company, user=person.user, email="new@example.com", role="member"
    )
    return {
        "company_id": person.company.pk,
        "invitation_id": invitation.pk,
        "user_id": person.user.pk,
        "outlet_id": outlet.pk,
        "key_id": api_key.pk,
    }


def test_who_is_not_signed_in_is_asked_to_sign_in(db, client):
    for name, address in addresses():
        if name not in PUBLIC:
            answer = client.post(address) if name in POSTED else client.get(address)
            assert answer.status_code == 302, address
            assert answer["Location"].startswith("/login?next="), address


def test_another_companys_anything_is_not_there(alice, charlie, browse):
    client = browse(alice)
    foreign = [
        address
        for _, address in addresses(**ids_of(charlie))
        if any(str(value) in address for value in ids_of_texts(charlie))
    ]
    assert len(foreign) >= 6
    for address in foreign:
        assert client.get(address).status_code in {404, 405}, address
        assert client.post(address).status_code == 404, address


def test_an_id_that_can_be_none_is_not_there(alice, browse):
    client = browse(alice)
    for name, address in addresses(
        user_id="%00", outlet_id="%00", key_id="%00", invitation_id="%00"
    ):
        if "%00" in address:
            answer = client.post(address) if name in POSTED else client.get(address)
            assert answer.status_code == 404, address
    assert client.get("/settings/audit-log?before=%00").status_code == 200


def ids_of_texts(person: Person) -> list[str]:
    outlet = Outlet.objects.for_company(person.company).first()
    api_key = ApiKey.objects.for_company(person.company).first()
    invitation = Invitation.objects.for_company(person.company).first()
    switch = f"/switch/{person.company.pk}"
    return [person.user.pk, outlet.pk, api_key.pk, invitation.pk, switch]


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_roles_hold_for_pages(alice, browse, role):
    client = browse(make_person(company=alice.company, role=role))
    ids = ids_of(alice)
    forbidden = ["company", "members", "api-keys", "api-keys/new", "audit-log"]
    forbidden += [f"api-keys/{ids['key_id']}", "audit-log/export", "sandbox/reset"]
    for address in forbidden:
        assert client.get(f"/settings/{address}").status_code == 403, address
    for address in ("sandbox/make", "sandbox/reset", "audit-log/verify"):
        assert client.post(f"/settings/{address}").status_code == 403, address
    assert "Make sandbox" not in client.get("/settings/sandbox").content.decode()
    answer = client.post(f"/settings/members/{ids['user_id']}/remove")
    assert answer.status_code == 403
    assert client.get("/settings/outlets").status_code == 200
    may_write = role == "member"
    answer = client.get("/settings/outlets/new")
    assert answer.status_code == (200 if may_write else 403)


def test_lists_ask_as_often_for_many_rows_as_for_one(
    alice, browse, django_assert_num_queries
):
    client = browse(alice)
    for number in range(5):
        make_person(company=alice.company, full_name=f"Person {number}")
        companies.create_outlet(company=alice.company, name=f"Outlet {number}")
    for address, rows in {
        "members": 2,
        "outlets": 1,
        "api-keys": 1,
        "audit-log": 3,  # and the people and keys to choose from
    }.items():
        with django_assert_num_queries(3 + rows):  # session, user, place
            assert client.get(f"/settings/{address}").status_code == 200


def test_the_company_page_says_beside_the_field_what_is_wrong(alice, browse):
    client = browse(alice)
    form = {"name": "New name", "time_zone": "Europe/Berlin", "website": "nowhere"}
    answer = client.post("/settings/company", form)
    assert "Enter a valid URL" in answer.content.decode()
    assert 'aria-invalid="true"' in answer.content.decode()
    client.post("/settings/company", form | {"website": "https://example.com"})
    alice.company.refresh_from_db()
    assert (alice.company.name, alice.company.time_zone) == (
        "New name",
        "Europe/Berlin",
    )


def test_an_outlet_is_made_changed_and_deleted(alice, browse):
    client = browse(alice)
    form = {
        "name": "Leeds",
        "time_zone": "Europe/London",
        "monday": "9:00-12:30, 14:00–18:00",
    }
    assert (
        "Write it like"
        in client.post(
            "/settings/outlets/new", form | {"sunday": "noon"}
        ).content.decode()
    )
    assert (
        "overlap"
        in client.post(
            "/settings/outlets/new", form | {"sunday": "9:00-12:00, 11:00-13:00"}
        ).content.decode()
    )
    client.post("/settings/outlets/new", form)
    outlet = Outlet.objects.for_company(alice.company).get()
    assert outlet.opening_hours == {
        "monday": [
            {"opens": "09:00", "closes": "12:30"},
            {"opens": "14:00", "closes": "18:00"},
        ]
    }
    shown = client.get(f"/settings/outlets/{outlet.pk}").content.decode()
    assert "09:00–12:30, 14:00–18:00" in shown
    client.post(f"/settings/outlets/{outlet.pk}", form | {"name": "Leeds North"})
    outlet.refresh_from_db()
    assert outlet.name == "Leeds North"
    client.post(f"/settings/outlets/{outlet.pk}/delete")
    assert not Outlet.objects.for_company(alice.company).exists()


def test_an_outlets_variables_are_written_as_json(alice, browse):
    client = browse(alice)
    form = {"name": "Leeds", "time_zone": "Europe/London"}
    for text, said in {
        '{\n "a": 1,}': "in line 2, column",
        "[1]": "Write an object",
        '{"a": 1, "a": 2}': "“a” is there twice",
        '{"a": NaN}': "NaN is not a JSON value",
        '{"a": 1e999}': "too large",
        f'{{"a": 1{"0" * 5000}}}': "too long",
        '{"a": "\\u0000"}': "NUL",
        "[" * 60_000: "Nested too deep",
    }.items():
        page = client.post("/settings/outlets/new", form | {"variables": text})
        assert said in page.content.decode(), text[:20]
    client.post("/settings/outlets/new", form | {"variables": '{"seats": 40, "ä": []}'})
    outlet = Outlet.objects.for_company(alice.company).get()
    assert outlet.variables == {"seats": 40, "ä": []}
    address = f"/settings/outlets/{outlet.pk}"
    assert "&quot;seats&quot;: 40" in client.get(address).content.decode()
    client.post(address, form)
    outlet.refresh_from_db()
    assert outlet.variables == {}


def test_a_viewer_reads_an_outlet_and_changes_nothing(alice, vera, browse):
    hours = [{"opens": "09:00", "closes": "17:00"}]
    outlet = companies.create_outlet(
        company=alice.company,
        name="Leeds",
        time_zone="Europe/London",
        opening_hours={"monday": hours, "tuesday": hours, "sunday": hours},
        variables={"manager": "Mia"},
    )
    client = browse(vera)
    address = f"/settings/outlets/{outlet.pk}"
    page = client.get(address).content.decode()
    for told in ("Europe/London", "Mon–Tue", "09:00–17:00", "manager", "Mia"):
        assert told in page
    assert "Save" not in page
    form = {"name": "Mine", "time_zone": "UTC"}
    assert client.post(address, form).status_code == 403


def test_all_faults_of_a_form_are_told_at_once(alice, browse):
    form = {"name": "", "time_zone": "Nowhere", "website": "no", "phone": "no"}
    page = browse(alice).post("/settings/company", form).content.decode()
    assert page.count('aria-invalid="true"') == 4


def test_a_role_is_changed_a_member_removed_and_the_company_handed_over(
    alice, bob, vera, browse
):
    client = browse(alice)
    client.post(f"/settings/members/{bob.user.pk}", {"role": "admin"})
    bob.membership.refresh_from_db()
    assert bob.membership.role == "admin"
    client.post(f"/settings/members/{vera.user.pk}/remove")
    assert alice.company.memberships.count() == 2
    answer = client.post(f"/settings/members/{alice.user.pk}/remove", follow=True)
    assert "Hand the company over first" in answer.content.decode()
    client.post(f"/settings/members/{bob.user.pk}/owner")
    bob.membership.refresh_from_db()
    assert bob.membership.is_owner
    assert client.get(f"/settings/members/{bob.user.pk}/owner").status_code == 403


def test_a_key_gets_an_expiry_addresses_and_a_new_secret(alice, browse, api):
    client = browse(alice)
    form = {
        "name": "Till",
        "mode": "live",
        "permissions": "read,write",
        "expires": "30",
    }
    answer = client.post("/settings/api-keys/new", form | {"allowed_addresses": "here"})
    assert "Must be an IP address" in answer.content.decode()
    answer = client.post(
        "/settings/api-keys/new", form | {"allowed_addresses": "127.0.0.1, ::1"}
    )
    first = re.search(r"cv_live_\w{36}", answer.content.decode())[0]
    api_key = ApiKey.objects.for_company(alice.company).get()
    assert api_key.permissions == ["read", "write"]
    assert api_key.allowed_addresses == ["127.0.0.1", "::1"]
    assert api_key.expires_at is not None

    answer = client.post(
        f"/settings/api-keys/{api_key.pk}/rotate", {"overlap_seconds": "0"}
    )
    second = re.search(r"cv_live_\w{36}", answer.content.decode())[0]
    statuses = []
    for secret in (first, second):
        caller = api()
        caller.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        statuses.append(caller.get("/v1/auth/me").status_code)
    assert statuses == [401, 200]


def test_of_a_key_only_what_was_edited_changes(alice, browse):
    client = browse(alice)
    make_key(alice, "write", allowed_addresses=["203.0.113.7"])
    own = ApiKey.objects.for_company(alice.company)
    past = timezone.now() - timedelta(days=1)
    own.update(expires_at=past)
    api_key = own.get()
    address = f"/settings/api-keys/{api_key.pk}"
    page = client.get(address).content.decode()
    assert "Expired" in page
    assert "As it is" in page
    form = {
        "name": "Till",
        "permissions": "write",
        "allowed_addresses": "203.0.113.7",
        "expires_at": f"{past:%Y-%m-%dT%H:%M}",
    }
    assert client.post(address, form).status_code == 302
    api_key.refresh_from_db()
    assert (api_key.name, api_key.permissions) == ("Till", ["write"])
    assert api_key.expires_at == past

    form |= {"permissions": "read", "expires_at": "2020-01-01T00:00"}
    assert "Must be in the future" in client.post(address, form).content.decode()
    form |= {"permissions": "read,admin"}
    assert "not one of the" in client.post(address, form).content.decode()
    form |= {"permissions": "read", "expires_at": "", "allowed_addresses": ""}
    assert client.post(address, form).status_code == 302
    api_key.refresh_from_db()
    assert (api_key.permissions, api_key.allowed_addresses) == (["read"], [])
    assert api_key.expires_at is None


def test_a_test_key_is_made_on_a_page_and_works_on_the_sandbox(alice, browse, api):
    client = browse(alice)
    page = client.get("/settings/api-keys/new?mode=test").content.decode()
    assert re.search(r'value="test"[^>]*checked', page)
    form = {"name": "Trial", "mode": "test", "permissions": "read"}
    answer = client.post("/settings/api-keys/new", form)
    secret = re.search(r"cv_test_\w{36}", answer.content.decode())[0]
    caller = api()
    caller.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    assert caller.get("/v1/agents")["X-Craft-Mode"] == "test"


def test_the_sandbox_is_made_shown_and_reset(alice, browse):
    client = browse(alice)
    address = "/settings/sandbox"
    companies.create_outlet(company=alice.company, name="Leeds")
    assert "No sandbox yet" in client.get(address).content.decode()
    assert client.post(f"{address}/make").status_code == 302
    twin = Company.objects.get(sandbox_of=alice.company)
    companies.create_outlet(company=twin, name="Made in it")
    page = client.get(address).content.decode()
    assert "<dt>Outlets</dt><dd>2</dd>" in page
    assert f"{twin.copied_at:%-d %b %Y, %H:%M} UTC" in page
    assert "is gone" in client.get(f"{address}/reset").content.decode()
    assert Outlet.objects.for_company(twin).count() == 2
    client.post(f"{address}/reset")
    assert "<dt>Outlet</dt><dd>1</dd>" in client.get(address).content.decode()


def test_a_session_that_was_ended_elsewhere_is_over_here(alice, browse, api):
    client = browse(alice)
    assert client.get("/settings/profile").status_code == 200
    sessions.end_all_sessions(alice.user)
    assert client.get("/settings/profile").status_code == 302


def test_signing_in_leads_back_to_a_page_of_ours_only(alice):
    alice.user.set_password(PASSWORD)
    alice.user.save()
    form = {"email": alice.user.email, "password": PASSWORD}
    for wanted, given in (
        ("/settings/outlets", "/settings/outlets"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("javascript:alert(1)", "/"),
    ):
        answer = Client().post("/login", form | {"next": wanted})
        assert answer["Location"] == given


def test_the_first_operator_needs_the_token_that_was_printed(db, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    token = first_operator.offer_token()
    assert first_operator.offer_token() == token
    assert (tmp_path / "setup_token").stat().st_mode & 0o077 == 0
    form = {
        "full_name": "Ada",
        "company_name": "Engines",
        "email": "ada@example.com",
        "password": "a long pass phrase",
    }
    assert Client().get("/")["Location"] == "/setup"
    answer = Client().post(reverse("set-up"), form | {"token": "guess"})
    assert "not the token" in answer.content.decode()
    answer = Client().post(reverse("set-up"), form | {"token": token, "password": "x"})
    assert "too short" in answer.content.decode()
    assert Client().post(reverse("set-up"), form | {"token": token})["Location"] == "/"
    assert not (tmp_path / "setup_token").exists()
    again = form | {"token": token, "email": "eve@example.com"}
    assert Client().post(reverse("set-up"), again)["Location"] == "/"
    assert Client().get("/")["Location"] == "/login"


def test_a_stranger_is_invited_makes_an_account_and_is_in(alice, browse):
    client = browse(alice)
    form = {"email": "new@example.com", "role": "viewer"}
    assert client.post("/settings/members/invite", form).status_code == 302
    answer = client.post("/settings/members/invite", form)
    assert "Already invited" in answer.content.decode()
    assert "new@example.com" in client.get("/settings/members").content.decode()

    token = Mail.objects.get(to="new@example.com").token.text
    stranger = Client()
    page = stranger.get(f"/invitation?token={token}")
    assert page["Referrer-Policy"] == "strict-origin"
    assert f"Join {alice.company}" in page.content.decode()
    joining = {"token": token, "full_name": "Nia New", "password": "short"}
    assert "too short" in stranger.post("/invitation", joining).content.decode()
    joining["password"] = PASSWORD
    assert stranger.post("/invitation", joining)["Location"] == "/"
    assert f"{alice.company}" in stranger.get("/").content.decode()
    assert Client().post("/invitation", joining).status_code == 400


def test_an_invitation_is_sent_again_or_taken_back(alice, browse):
    client = browse(alice)
    invitation = ids_of(alice)["invitation_id"]
    answer = client.post(f"/settings/invitations/{invitation}/resend", follow=True)
    assert "a moment ago" in answer.content.decode()
    client.post(f"/settings/invitations/{invitation}/delete")
    assert not Invitation.objects.for_company(alice.company).exists()


def test_who_is_known_joins_with_their_password_or_signed_in_and_switches(
    alice, charlie, browse
):
    client = browse(charlie)
    invitations.invite(
        company=alice.company, user=alice.user, email=charlie.user.email, role="member"
    )
    token = Mail.objects.filter(template="invitation").latest("id").token.text
    wrong = {"token": token, "password": "wrong"}
    assert "is wrong" in Client().post("/invitation", wrong).content.decode()
    assert client.post("/invitation", {"token": token})["Location"] == "/"
    assert f"{alice.company}" in client.get("/").content.decode()
    client.post(f"/switch/{charlie.company.pk}")
    assert f"{charlie.company}" in client.get("/").content.decode()


def test_the_audit_log_tells_who_did_what_page_by_page(alice, browse):
    client = browse(alice)
    client.post(
        "/settings/company", {"name": "New & better", "time_zone": "Europe/Berlin"}
    )
    for number in range(60):
        companies.create_outlet(company=alice.company, name=f"Outlet {number}")
    page = client.get("/settings/audit-log").content.decode()
    assert page.count(">Outlet created</span>") == 50
    older = re.search(r'href="\?before=([^"]+)"', page)[1]
    page = client.get("/settings/audit-log", {"before": older}).content.decode()
    assert page.count(">Outlet created</span>") == 10
    assert "Company updated" in page
    assert "New &amp; better" in page
    assert alice.user.email in page


LOG = "/settings/audit-log"


@pytest.fixture
def logged(alice, browse):
    """A log with a line of Alice's, two by a key of hers, and one of Craft's own."""
    client = browse(alice)
    companies.create_outlet(company=alice.company, name="By Craft")
    client.post("/settings/outlets/new", {"name": "By Alice", "time_zone": "UTC"})
    secret = make_key(alice)
    caller = Client(headers={"authorization": f"Bearer {secret}"})
    for name in ("By key", "Also by key"):
        body = {"name": name}
        address = f"/v1/companies/{alice.company.pk}/outlets"
        assert caller.post(address, body, "application/json").status_code == 201
    return client


def told_in(page: str) -> set[str]:
    return set(re.findall(r"(By Craft|By Alice|By key|Also by key)</a>", page))


def test_the_audit_log_is_narrowed_as_the_api_narrows_it(alice, charlie, logged):
    api_key = ApiKey.objects.for_company(alice.company).get()
    today = timezone.now().date()
    for query, told in (
        ({"actor": alice.user.pk}, {"By Alice", "By key", "Also by key"}),
        ({"actor": api_key.pk}, {"By key", "Also by key"}),
        ({"event": "outlet.deleted"}, set()),
        ({"resource_id": Outlet.objects.for_company(alice.company).first().pk}, None),
        ({"from": today, "to": today, "event": "outlet.created"}, ...),
        ({"to": today - timedelta(days=1)}, set()),
        ({"from": "2000-01-01", "to": "9999-12-31"}, ...),
    ):
        found = told_in(logged.get(LOG, query).content.decode())
        if told is None:
            assert len(found) == 1
        elif told is ...:
            assert len(found) == 4
        else:
            assert found == told, query
    assert api_key.name in logged.get(LOG).content.decode()
    for query, said in (
        ({"from": "2026-05-02", "to": "2026-05-01"}, "Before the first day"),
        ({"from": "yesterday"}, "Enter a valid date"),
        ({"actor": charlie.user.pk}, "not one of the available choices"),
    ):
        page = logged.get(LOG, query).content.decode()
        assert said in page
        assert not told_in(page)
        assert logged.get(f"{LOG}/export", query).status_code == 302


def test_what_is_shown_of_the_audit_log_is_taken_along(alice, charlie, logged):
    companies.create_outlet(company=charlie.company, name="Elsewhere")
    query = {"event": "outlet.created"}
    page = logged.get(LOG, query).content.decode()
    assert "export?format=csv&amp;event=outlet.created" in page
    answer = logged.get(f"{LOG}/export", query | {"format": "jsonl"})
    lines = [json.loads(line) for line in b"".join(answer).splitlines()]
    assert [line["event"] for line in lines] == ["outlet.created"] * 4
    assert {line["data"]["name"] for line in lines} == {
        "By Craft",
        "By Alice",
        "By key",
        "Also by key",
    }
    answer = logged.get(f"{LOG}/export", {"format": "csv"})
    assert answer["Content-Disposition"] == 'attachment; filename="audit-log.csv"'
    assert "Elsewhere" not in b"".join(answer).decode()


def test_the_audit_log_is_verified_in_parts(alice, logged, monkeypatch):
    audit.seal_entries()
    lines = AuditEntry.objects.for_company(alice.company).count()
    monkeypatch.setattr(audit, "PART", 3)
    address, form, rounds = f"{LOG}/verify", {}, 0
    while "Go on" in (page := logged.post(address, form).content.decode()):
        form = {"place": re.search(r'name="place" value="([^"]+)"', page)[1]}
        rounds += 1
    assert rounds == lines // 3
    assert f"All {lines} lines are as they were written" in page
    changed = AuditEntry.objects.for_company(alice.company).earliest("sequence")
    QuerySet(AuditEntry).filter(pk=changed.pk).update(user_id="somebody")
    page = logged.post(address, {"place": "made up"}).content.decode()
    assert f"{changed.pk} was changed after it was written" in page


def test_a_profile_is_changed(alice, browse):
    client = browse(alice)
    form = {"full_name": "Alice Anew", "time_zone": "Europe/Berlin", "phone": "no"}
    answer = client.post("/settings/profile", form)
    assert "Not a telephone number" in answer.content.decode()
    client.post("/settings/profile", form | {"phone": "+49 30 123456"})
    alice.user.refresh_from_db()
    assert (alice.user.full_name, alice.user.phone) == ("Alice Anew", "+49 30 123456")


def token_to(address: str, template: str) -> str:
    return Mail.objects.filter(to=address, template=template).latest("id").token.text


def test_a_link_in_a_mail_changes_nothing_until_its_button_is_pressed(alice, browse):
    client = browse(alice)
    people.send_verification(alice.user)
    token = token_to(alice.user.email, "verify_email")
    page = client.get(f"/verify-email?token={token}")
    assert page["Referrer-Policy"] == "strict-origin"
    alice.user.refresh_from_db()
    assert not alice.user.is_verified
    assert client.post("/verify-email", {"token": token})["Location"] == "/"
    alice.user.refresh_from_db()
    assert alice.user.is_verified
    again = client.post("/verify-email", {"token": token})
    assert 'role="alert"' in again.content.decode()


def test_an_address_is_changed_by_the_link_that_went_to_it(alice, browse):
    client = browse(alice)
    form = {"new_email": "anew@example.com", "password": "wrong"}
    assert "Wrong" in client.post("/settings/email", form).content.decode()
    client.post("/settings/email", form | {"password": PASSWORD})
    token = token_to("anew@example.com", "change_email")
    client.post("/change-email", {"token": token})
    alice.user.refresh_from_db()
    assert alice.user.email == "anew@example.com"


def test_a_forgotten_password_is_chosen_anew(alice):
    known = Client().post("/forgot-password", {"email": alice.user.email})
    unknown = Client().post("/forgot-password", {"email": "nobody@example.com"})
    for answer in (known, unknown):
        assert "Look into your mailbox" in answer.content.decode()
    token = make_token(
        purpose=Purpose.RESET_PASSWORD, email=alice.user.email, user=alice.user
    ).text
    form = {"token": token, "password": "short"}
    assert "too short" in Client().post("/reset-password", form).content.decode()
    form["password"] = "another long pass phrase"
    assert Client().post("/reset-password", form)["Location"] == "/login"
    signing_in = {"email": alice.user.email, "password": form["password"]}
    assert Client().post("/login", signing_in)["Location"] == "/"


def test_a_changed_password_signs_out_all_other_devices(alice, browse):
    here, there = browse(alice), Client()
    there.post("/login", {"email": alice.user.email, "password": PASSWORD})
    form = {"current_password": PASSWORD, "new_password": "another long pass phrase"}
    assert here.post("/settings/password", form).status_code == 302
    assert here.get("/settings/sessions").status_code == 200
    assert there.get("/settings/sessions").status_code == 302


def test_devices_are_listed_by_name_and_signed_out(alice, browse):
    here, there = browse(alice), Client()
    agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
    form = {"email": alice.user.email, "password": PASSWORD}
    there.post("/login", form, headers={"user-agent": agent})
    page = here.get("/settings/sessions").content.decode()
    assert "Firefox on Windows" in page
    assert "This one" in page
    other = re.search(r"/settings/sessions/(sess_\w+)/end", page)[1]
    here.post(f"/settings/sessions/{other}/end")
    assert there.get("/settings/sessions").status_code == 302
    assert here.get("/settings/sessions").status_code == 200


def test_who_leaves_is_gone(alice, browse):
    client = browse(alice)
    wrong = client.post("/settings/delete-account", {"password": "wrong"})
    assert "Wrong" in wrong.content.decode()
    client.post("/settings/delete-account", {"password": PASSWORD})
    assert client.get("/settings/profile").status_code == 302
    assert not type(alice.user).objects.filter(pk=alice.user.pk).exists()
