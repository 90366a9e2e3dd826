"""Document 001's companies, their outlets, and one's own profile."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts import events
from accounts.models import Outlet
from accounts.services.companies import create_outlet
from craft.events import subscribe
from tests.factories import make_person, make_token


@pytest.fixture
def told():
    """What was published, in order."""
    kinds = [value for name, value in vars(events).items() if name.isupper()]
    heard = []
    for kind in kinds:
        subscribe(kind, heard.append)
    yield heard
    heard.clear()


@pytest.fixture
def signed_in():
    def client(person) -> APIClient:
        made = APIClient(raise_request_exception=False)
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(person)}")
        return made

    return client


def path_of(person, rest="", base="/api/v1") -> str:
    return f"{base}/companies/{person.company.pk}{rest}"


# --- The company ---


def test_get_company_as_document_001_shows_it(alice, api):
    company = api(alice).get(path_of(alice)).json()["company"]
    assert company["id"] == alice.company.pk
    assert company["name"] == alice.company.name
    assert company["created_at"].endswith("Z")


def test_at_v1_it_stands_in_data(alice, api):
    body = api(alice).get(path_of(alice, base="/v1")).json()
    assert body["success"] is True
    assert body["data"]["id"] == alice.company.pk


def test_getting_it_asks_nothing_that_authentication_did_not(alice, api):
    client = api(alice)
    client.get("/api/v1/auth/me")
    with CaptureQueriesContext(connection) as me:
        client.get("/api/v1/auth/me")
    with CaptureQueriesContext(connection) as company:
        client.get(path_of(alice))
    assert len(company) == len(me)


FIELDS = {
    "name": "Flights & Sons",
    "industry": "Travel",
    "website": "https://flights.example.com",
    "phone": "+49 30 123456",
    "address": "1 Main St",
    "country": "DE",
    "time_zone": "Europe/Berlin",
}


@pytest.mark.parametrize("method", ["patch", "put"])
def test_update_changes_what_it_names_and_tells_what_changed(alice, api, told, method):
    client = api(alice)
    told.clear()
    answer = getattr(client, method)(path_of(alice), FIELDS)
    assert answer.status_code == 200
    company = answer.json()["company"]
    assert {name: company[name] for name in FIELDS} == FIELDS
    (event,) = told
    assert event.type == "company.updated"
    assert event.data["changes"]["country"] == ["", "DE"]

    told.clear()
    answer = getattr(client, method)(path_of(alice), {"name": "Flights"})
    assert answer.json()["company"]["country"] == "DE"
    assert told[0].data["changes"] == {"name": ["Flights & Sons", "Flights"]}


def test_what_was_read_can_be_sent_back(alice, api, told):
    client = api(alice)
    company = client.get(path_of(alice)).json()["company"]
    told.clear()
    answer = client.put(path_of(alice), company)
    assert answer.status_code == 200
    assert answer.json()["company"] == company
    assert told == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", None),
        ("industry", "Alchemy"),
        ("website", "javascript:alert(1)"),
        ("website", "ftp://example.com"),
        ("phone", "call me"),
        ("phone", "1" * 60),
        ("country", "ZZ"),
        ("country", "DEU"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("colour", "green"),
    ],
)
def test_what_can_not_be_is_refused_by_name(alice, api, field, value):
    answer = api(alice).patch(path_of(alice), {field: value})
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {field}


def test_a_country_may_be_written_small(alice, api):
    answer = api(alice).patch(path_of(alice), {"country": "de"})
    assert answer.json()["company"]["country"] == "DE"


def test_a_members_company_is_changed_by_admins_only(alice, bob, vera, signed_in):
    for person in (bob, vera):
        assert signed_in(person).get(path_of(alice)).status_code == 200
        answer = signed_in(person).patch(path_of(alice), {"name": "Mine"})
        assert answer.status_code == 403


def test_an_id_must_be_written_as_it_is(alice, api):
    number = alice.company.pk
    for odd in (f"0{number}", f"+{number}", f"{number}.0", f"{number}_"):
        assert api(alice).get(f"/api/v1/companies/{odd}").status_code == 404


# --- Industries ---


def test_industries_are_public(api, db):
    named = api().get("/api/v1/utils/industries").json()
    assert {"Technology", "Healthcare", "Finance"} < set(named["industries"])
    data = api().get("/v1/utils/industries").json()
    assert data == {"success": True, "data": named}


# --- Outlets ---


def test_outlets_as_document_001_shows_them(alice, api):
    client = api(alice)
    body = {"name": "Main Store", "address": "123 Main St"}
    made = client.post(path_of(alice, "/outlets"), body)
    assert made.status_code == 201
    outlet = made.json()["outlet"]
    assert outlet["outlet_id"] == outlet["id"]
    assert outlet["id"].startswith("outlet_")
    assert made["Location"].endswith(path_of(alice, f"/outlets/{outlet['id']}"))
    assert client.get(made["Location"]).json()["outlet"] == outlet
    (listed,) = client.get(path_of(alice, "/outlets")).json()["outlets"]
    assert listed == outlet
    assert {name: listed[name] for name in body} == body


def test_an_outlet_is_where_its_company_is_unless_it_says(alice, api):
    api(alice).patch(path_of(alice), {"time_zone": "Asia/Tokyo"})
    client, outlets = api(alice), path_of(alice, "/outlets")
    made = client.post(outlets, {"name": "One"}).json()["outlet"]
    assert made["time_zone"] == "Asia/Tokyo"
    made = client.post(outlets, {"name": "Two", "time_zone": "UTC"}).json()["outlet"]
    assert made["time_zone"] == "UTC"


def test_an_outlet_keeps_its_hours_and_variables(alice, api, told):
    client = api(alice)
    outlet = create_outlet(company=alice.company, name="Main Store")
    told.clear()
    changes = {
        "opening_hours": {
            "tuesday": [{"opens": "09:00", "closes": "24:00"}],
            "monday": [
                {"opens": "14:00", "closes": "18:30"},
                {"opens": "09:00", "closes": "12:00"},
            ],
            "sunday": [],
        },
        "variables": {"manager": "Ada", "seats": 40, "tags": ["new"]},
    }
    answer = client.patch(path_of(alice, f"/outlets/{outlet.pk}"), changes)
    assert answer.status_code == 200
    found = answer.json()["outlet"]
    assert found["variables"] == changes["variables"]
    assert list(found["opening_hours"]) == ["monday", "tuesday", "sunday"]
    assert found["opening_hours"]["monday"][0]["opens"] == "09:00"
    (event,) = told
    assert event.type == "outlet.updated"
    assert set(event.data["changes"]) == {"opening_hours", "variables"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("opening_hours", []),
        ("opening_hours", {"someday": []}),
        ("opening_hours", {"monday": "09:00-18:00"}),
        ("opening_hours", {"monday": [{"opens": "9:00", "closes": "18:00"}]}),
        ("opening_hours", {"monday": [{"opens": "24:30", "closes": "25:00"}]}),
        ("opening_hours", {"monday": [{"opens": "18:00", "closes": "09:00"}]}),
        ("opening_hours", {"monday": [{"opens": "18:00"}]}),
        (
            "opening_hours",
            {
                "monday": [
                    {"opens": "09:00", "closes": "12:00"},
                    {"opens": "11:00", "closes": "13:00"},
                ]
            },
        ),
        (
            "opening_hours",
            {"monday": [{"opens": "09:00", "closes": "10:00", "note": "x"}]},
        ),
        ("opening_hours", {"monday": [{"opens": "09:00", "closes": "10:00"}] * 9}),
        ("time_zone", "Nowhere/Else"),
        ("variables", ["a"]),
        ("variables", {str(number): 1 for number in range(101)}),
        ("phone", "none"),
    ],
)
def test_an_outlet_that_can_not_be_is_refused_by_name(alice, api, field, value):
    body = {"name": "Main Store", field: value}
    answer = api(alice).post(path_of(alice, "/outlets"), body)
    assert answer.status_code == 400
    assert {name.partition(".")[0] for name in answer.json()["details"]} == {field}
    assert not Outlet.objects.for_company(alice.company).exists()


def test_an_outlet_is_deleted(alice, api, told):
    outlet = create_outlet(company=alice.company, name="Main Store")
    answer = api(alice).delete(path_of(alice, f"/outlets/{outlet.pk}"))
    assert answer.json() == {"success": True, "message": "Outlet deleted"}
    assert told[-1].type == "outlet.deleted"
    assert told[-1].data["outlet_id"] == outlet.pk


# --- The profile ---


def test_a_viewer_changes_their_own_profile(vera, signed_in, told):
    client = signed_in(vera)
    before = client.get("/api/v1/account/profile").json()["user"]
    changes = {"full_name": "Vera V.", "phone": "+1 555 0100", "time_zone": "UTC"}
    told.clear()
    for method in (client.patch, client.put):
        answer = method("/api/v1/account/profile", {**before, **changes})
        assert answer.status_code == 200
        assert answer.json()["user"] == {**before, **changes}
    (event,) = told
    assert event.type == "user.updated"
    assert event.data == {"user_id": vera.user.pk, "fields": ["full_name", "phone"]}


def test_the_address_and_the_role_are_not_changed_with_the_profile(vera, signed_in):
    client = signed_in(vera)
    changes = {"email": "boss@example.com", "role": "admin", "is_owner": True}
    answer = client.patch("/api/v1/account/profile", changes)
    assert answer.status_code == 200
    vera.user.refresh_from_db()
    vera.membership.refresh_from_db()
    assert vera.user.email != "boss@example.com"
    assert vera.membership.role == "viewer"
    assert vera.membership.is_owner is False


def test_a_profile_is_a_persons_and_no_keys(alice, api):
    answer = api(alice).patch("/api/v1/account/profile", {"full_name": "Key"})
    assert answer.status_code == 403
    assert "person" in answer.json()["message"]


def test_a_profile_with_a_fault_is_refused(alice, signed_in):
    client = signed_in(alice)
    for field, value in (("full_name", ""), ("time_zone", "X"), ("nickname", "Al")):
        answer = client.patch("/api/v1/account/profile", {field: value})
        assert answer.status_code == 400
        assert set(answer.json()["details"]) == {field}


# --- The people ---


def test_users_are_listed_and_searched(alice, bob, charlie, api):
    make_person(company=alice.company, full_name="Zoe", email="zoe@shop.example")
    client, users = api(alice), path_of(alice, "/users")

    def found(query="") -> list[str]:
        return [one["full_name"] for one in client.get(users + query).json()["users"]]

    assert found() == ["Zoe", "Bob Member", "Alice Admin"]
    assert found("?q=ZOE") == ["Zoe"]
    assert found("?q=@shop.") == ["Zoe"]
    assert found("?q=member") == ["Bob Member"]
    assert found("?q=elsewhere") == []
    assert found("?role=member") == ["Bob Member"]
    assert found("?limit=1&offset=1") == ["Bob Member"]


def test_a_search_for_a_wildcard_finds_that_sign(alice, bob, api):
    make_person(company=alice.company, full_name="100 % Zoe")
    answer = api(alice).get(path_of(alice, "/users") + "?q=%25").json()
    assert [one["full_name"] for one in answer["users"]] == ["100 % Zoe"]
