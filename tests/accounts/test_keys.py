"""Keys for programs."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from accounts.models import ApiKey, Membership, User
from accounts.services.keys import find_api_key, make_key
from tests.factories import make_key as give_key

NAMED = "/api/v1/account/api-keys"
DATA = "/v1/account/api-keys"
FORM = {"name": "Production Integration", "permissions": ["read", "write"]}


def with_key(client, secret):
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
    return client


def test_a_key_is_shown_once_and_kept_as_a_hash(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    assert re.fullmatch(r"cv_live_[0-9A-Za-z]{36}", made["key"])
    again = client.get(f"{NAMED}/{made['id']}").json()["api_key"]
    assert "key" not in again
    assert all("key" not in row for row in client.get(NAMED).json()["api_keys"])
    kept = ApiKey.unscoped.get(pk=made["id"])
    assert made["key"] not in str(vars(kept))
    assert made["key"].endswith(again["last_four"])


def test_a_key_says_where_it_is(api, alice):
    client = api(alice)
    answer = client.post(DATA, FORM)
    assert answer.status_code == 201
    found = client.get(answer["Location"]).json()["data"]
    assert found["id"] == answer.json()["data"]["id"]


def test_a_key_has_the_look_of_the_base_path_that_made_it(api, alice):
    client = api(alice)
    assert client.post(NAMED, FORM).json()["api_key"]["key"].startswith("cv_live_")
    assert client.post(DATA, FORM).json()["data"]["key"].startswith("ak_live_")


@pytest.mark.parametrize("look", ["cv", "ak"])
@pytest.mark.parametrize(
    "path", ["/api/v1/auth/me", "/v1/auth/me", "/v1/account/profile"]
)
def test_any_key_works_at_both_base_paths(api, alice, look, path):
    client = with_key(api(), give_key(alice, look=look))
    assert client.get(path).status_code == 200


def test_a_key_acts_for_who_made_it(api, bob):
    client = with_key(api(), give_key(bob, "read"))
    assert client.get("/api/v1/auth/me").json()["user"]["id"] == bob.user.pk


def test_a_mistyped_key_is_refused_before_the_database_is_asked(
    db, django_assert_num_queries
):
    secret = make_key("cv_live_")
    swapped = secret[:10] + secret[11] + secret[10] + secret[12:]
    mistyped = [
        secret[:-1] + ("a" if secret[-1] != "a" else "b"),
        secret[:-1],
        secret + "0",
        secret.replace("cv", "ak"),
        "cv_live_",
        "cv_live_ü",
    ] + ([swapped] if swapped != secret else [])
    with django_assert_num_queries(0):
        assert [find_api_key(text) for text in mistyped] == [None] * len(mistyped)
    with django_assert_num_queries(1):
        assert find_api_key(secret) is None


def test_a_mistyped_key_is_a_401(api, alice):
    client = with_key(api(), give_key(alice)[:-1] + "!")
    answer = client.get("/v1/auth/me")
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "UNAUTHORIZED"


@pytest.mark.parametrize(
    ("permissions", "read", "admin"),
    [
        (["read"], 200, 403),
        (["write"], 403, 403),
        (["admin"], 403, 201),
        (["read", "write", "admin"], 200, 201),
    ],
)
def test_a_key_may_what_it_was_given_and_no_more(api, alice, permissions, read, admin):
    client = with_key(api(), give_key(alice, *permissions))
    assert client.get("/v1/auth/me").status_code == read
    made = client.post(DATA, {"name": "n", "permissions": permissions})
    assert made.status_code == admin
    if admin == 403:
        assert "lacks the permission 'admin'" in made.json()["error"]["message"]


def test_a_key_never_mints_a_wider_one(api, alice):
    client = with_key(api(), give_key(alice, "admin"))
    answer = client.post(NAMED, {"name": "n", "permissions": ["read", "admin"]})
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert "permissions" in answer.json()["details"]


def test_a_key_may_no_more_than_its_owners_role(api, alice):
    client = with_key(api(), give_key(alice))
    Membership.objects.filter(pk=alice.membership.pk).update(role="viewer")
    assert client.get("/v1/auth/me").status_code == 200
    assert client.get(DATA).status_code == 403


def test_a_deleted_key_ends_at_once(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    other = with_key(api(), made["key"])
    assert other.get("/api/v1/auth/me").status_code == 200
    gone = client.delete(f"{NAMED}/{made['id']}")
    assert gone.json() == {"success": True, "message": "API key deleted"}
    assert other.get("/api/v1/auth/me").status_code == 401
    assert client.delete(f"{NAMED}/{made['id']}").status_code == 404


def test_a_delete_at_v1_says_what_is_gone(api, alice):
    client = api(alice)
    made = client.post(DATA, FORM).json()["data"]
    gone = client.delete(f"{DATA}/{made['id']}")
    assert gone.json() == {
        "success": True,
        "data": {"id": made["id"], "deleted": True},
    }


def test_a_key_ends_with_its_owner(api, alice, bob):
    client = with_key(api(), give_key(bob, "read"))
    User.objects.filter(pk=bob.user.pk).update(is_active=False)
    assert client.get("/v1/auth/me").status_code == 401


def test_last_used_is_written_at_most_once_a_minute(api, alice):
    secret = give_key(alice)
    client = with_key(api(), secret)
    start = timezone.now()
    seen = []
    for seconds in (0, 30, 59, 61, 90):
        with time_machine.travel(start + timedelta(seconds=seconds), tick=False):
            client.get("/v1/auth/me")
        seen.append(find_api_key(secret).last_used_at)
    assert seen[0] == seen[1] == seen[2] == start
    assert seen[3] == seen[4] == start + timedelta(seconds=61)


def test_a_new_key_was_never_used(api, alice):
    made = api(alice).post(NAMED, FORM).json()["api_key"]
    assert made["last_used"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 101}, "name"),
        ({}, "name"),
        ({"name": "n", "permissions": []}, "permissions"),
        ({"name": "n", "permissions": ["root"]}, "permissions.0"),
        ({"name": "n", "permissions": "read"}, "permissions"),
        ({"name": "n", "permissions": [{"a": 1}]}, "permissions.0"),
        ({"name": "n", "colour": "red"}, "colour"),
    ],
)
def test_a_key_that_can_not_be_made_says_why(api, alice, body, field):
    answer = api(alice).post(NAMED, body)
    assert answer.status_code == 400
    assert list(answer.json()["details"]) == [field]


def test_read_only_fields_sent_back_are_ignored(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    made.pop("key")
    again = client.post(NAMED, made)
    assert again.status_code == 201
    assert again.json()["api_key"]["id"] != made["id"]


def test_only_an_admin_sees_keys(api, bob, vera):
    for person in (bob, vera):
        client = with_key(api(), give_key(person))
        assert client.get(NAMED).status_code == 403
