"""Keys for programs."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ApiKey, Membership, User
from accounts.services.keys import KEY_PREFIXES, make_key, write_uses
from accounts.services.recognition import Uses, recognise_key
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
        assert [recognise_key(text) for text in mistyped] == [None] * len(mistyped)
    with django_assert_num_queries(1):
        assert recognise_key(secret) is None


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


class Telling(Uses):
    """Tells what it would send."""

    def __init__(self):
        super().__init__()
        self.told = []
        self._bell = self

    def ring(self):
        self.told += self._unsent.values()
        self._unsent = {}


def test_a_use_is_noted_at_most_once_a_minute(alice):
    api_key = recognise_key(give_key(alice))
    start = timezone.now()
    noting = Telling()
    for seconds in (0, 20, 49, 51, 90, 101.5):
        with time_machine.travel(start + timedelta(seconds=seconds), tick=False):
            noting.note(api_key)
    assert [round((at - start).total_seconds(), 1) for at in noting.told] == [
        0,
        51,
        101.5,
    ]


def test_a_noted_use_is_shown(api, alice):
    client = api(alice)
    key = client.get(NAMED).json()["api_keys"][0]
    assert key["last_used"] is None
    write_uses(
        {
            key["id"]: "2026-01-02T03:04:05+00:00",
            "key_gone": "2026-01-01T00:00:00+00:00",
        }
    )
    write_uses({key["id"]: "2026-01-01T00:00:00+00:00"})
    shown = client.get(f"{NAMED}/{key['id']}").json()["api_key"]
    assert shown["last_used"] == "2026-01-02T03:04:05Z"


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


# --- Change, rotate, revoke ---


def test_a_key_is_changed_at_once(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    other = with_key(api(), made["key"])
    assert other.post("/v1/agents", {"name": "a", "type": "t"}).status_code == 201
    changed = client.patch(
        f"{NAMED}/{made['id']}", {"name": "Reader", "permissions": ["read"]}
    ).json()["api_key"]
    assert (changed["name"], changed["permissions"]) == ("Reader", ["read"])
    assert "key" not in changed
    assert other.post("/v1/agents", {"name": "a", "type": "t"}).status_code == 403
    assert other.get("/v1/auth/me").status_code == 200


def test_a_put_changes_what_it_names(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    changed = client.put(f"{NAMED}/{made['id']}", {"name": "Other"}).json()["api_key"]
    assert changed["permissions"] == FORM["permissions"]


def test_a_keys_mode_stays(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    path = f"{NAMED}/{made['id']}"
    assert client.patch(path, {"mode": "live", "name": "Same"}).status_code == 200
    answer = client.patch(path, {"mode": "test"})
    assert answer.status_code == 400
    assert "mode" in answer.json()["details"]


def test_a_rotated_key_keeps_its_old_secret_for_the_overlap(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    path = f"{NAMED}/{made['id']}"
    new = client.post(f"{path}/rotate", {"overlap_seconds": 60}).json()["api_key"]
    assert new["id"] == made["id"]
    assert new["key"] != made["key"]
    assert new["key"].endswith(new["last_four"])
    old, fresh = with_key(api(), made["key"]), with_key(api(), new["key"])
    assert old.get("/v1/auth/me").status_code == 200
    assert fresh.get("/v1/auth/me").status_code == 200
    assert client.get(path).json()["api_key"]["previous_expires_at"] is not None
    with time_machine.travel(timezone.now() + timedelta(seconds=61)):
        assert old.get("/v1/auth/me").status_code == 401
        assert fresh.get("/v1/auth/me").status_code == 200
        assert client.get(path).json()["api_key"]["previous_expires_at"] is None


def test_a_rotation_without_overlap_ends_the_old_secret_at_once(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    old = with_key(api(), made["key"])
    assert old.get("/v1/auth/me").status_code == 200
    client.post(f"{NAMED}/{made['id']}/rotate", {"overlap_seconds": 0})
    assert old.get("/v1/auth/me").status_code == 401


def test_a_second_rotation_ends_the_first_secret(api, alice):
    client = api(alice)
    first = client.post(NAMED, FORM).json()["api_key"]
    path = f"{NAMED}/{first['id']}/rotate"
    second = client.post(path, {}).json()["api_key"]
    third = client.post(path, {}).json()["api_key"]
    seen = [
        with_key(api(), one["key"]).get("/v1/auth/me").status_code
        for one in (first, second, third)
    ]
    assert seen == [401, 200, 200]


def test_a_day_of_overlap_is_the_default(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    client.post(f"{NAMED}/{made['id']}/rotate")
    kept = ApiKey.unscoped.get(pk=made["id"])
    assert kept.previous_expires_at - kept.rotated_at == timedelta(days=1)


@pytest.mark.parametrize("overlap", [-1, 30 * 86400 + 1, "soon"])
def test_an_overlap_has_bounds(api, alice, overlap):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    answer = client.post(f"{NAMED}/{made['id']}/rotate", {"overlap_seconds": overlap})
    assert answer.status_code == 400
    assert "overlap_seconds" in answer.json()["details"]


def test_deleting_a_key_ends_its_previous_secret_too(api, alice):
    client = api(alice)
    made = client.post(NAMED, FORM).json()["api_key"]
    path = f"{NAMED}/{made['id']}"
    new = client.post(f"{path}/rotate").json()["api_key"]
    client.delete(path)
    for secret in (made["key"], new["key"]):
        assert with_key(api(), secret).get("/v1/auth/me").status_code == 401


# --- Expiry and addresses ---


def test_an_expired_key_says_so(api, alice):
    client = api(alice)
    soon = timezone.now() + timedelta(hours=1)
    made = client.post(NAMED, {**FORM, "expires_at": soon.isoformat()}).json()
    other = with_key(api(), made["api_key"]["key"])
    assert other.get("/v1/auth/me").status_code == 200
    with time_machine.travel(soon + timedelta(seconds=1)):
        answer = other.get("/v1/auth/me")
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]["message"]


def test_a_key_can_not_expire_in_the_past(api, alice):
    client = api(alice)
    past = (timezone.now() - timedelta(hours=1)).isoformat()
    assert client.post(NAMED, {**FORM, "expires_at": past}).status_code == 400
    made = client.post(NAMED, FORM).json()["api_key"]
    answer = client.patch(f"{NAMED}/{made['id']}", {"expires_at": past})
    assert list(answer.json()["details"]) == ["expires_at"]


@pytest.mark.parametrize(
    ("allowed", "address", "status"),
    [
        ([], "203.0.113.7", 200),
        (["203.0.113.7"], "203.0.113.7", 200),
        (["203.0.113.7"], "203.0.113.8", 403),
        (["198.51.100.0/24", "203.0.113.0/24"], "203.0.113.8", 200),
        (["203.0.113.0/24"], "::ffff:203.0.113.8", 200),
        (["2001:db8::/32"], "2001:db8::1", 200),
        (["2001:db8::/32"], "203.0.113.8", 403),
        (["203.0.113.0/24"], "unknown", 403),
    ],
)
def test_a_key_works_from_its_addresses_only(api, alice, allowed, address, status):
    client = with_key(api(), give_key(alice, allowed_addresses=allowed))
    answer = client.get("/v1/auth/me", REMOTE_ADDR=address)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["error"]["code"] == "FORBIDDEN"


def test_behind_a_proxy_the_address_is_the_one_that_it_saw(api, alice, settings):
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client = with_key(api(), give_key(alice, allowed_addresses=["203.0.113.7"]))
    told = {"REMOTE_ADDR": "10.0.0.1"}
    forged = {**told, "HTTP_X_FORWARDED_FOR": "203.0.113.7, 198.51.100.1"}
    seen = {**told, "HTTP_X_FORWARDED_FOR": "198.51.100.1, 203.0.113.7"}
    assert client.get("/v1/auth/me", **forged).status_code == 403
    assert client.get("/v1/auth/me", **seen).status_code == 200


@pytest.mark.parametrize(
    "allowed",
    [["nowhere"], ["203.0.113.7/24"], ["203.0.113.7/33"], [""], "203.0.113.7"],
)
def test_an_address_that_is_none_is_refused(api, alice, allowed):
    answer = api(alice).post(NAMED, {**FORM, "allowed_addresses": allowed})
    assert answer.status_code == 400
    assert next(iter(answer.json()["details"])).startswith("allowed_addresses")


# --- A key never mints a wider key ---


def wider(alice, field):
    """A key of hers that is bounded in this, and what would go beyond it."""
    soon = timezone.now() + timedelta(hours=1)
    later = {"expires_at": (soon + timedelta(days=1)).isoformat()}
    return {
        "permissions": ({"permissions": ["admin", "read"]}, {"permissions": ["write"]}),
        "expires_at": ({"expires_at": soon}, later),
        "never": ({"expires_at": soon}, {"expires_at": None}),
        "allowed_addresses": (
            {"allowed_addresses": ["203.0.113.0/24"]},
            {"allowed_addresses": ["203.0.0.0/16"]},
        ),
        "anywhere": (
            {"allowed_addresses": ["203.0.113.0/24"]},
            {"allowed_addresses": []},
        ),
    }[field]


WIDER = ["permissions", "expires_at", "never", "allowed_addresses", "anywhere"]


@pytest.mark.parametrize("field", WIDER)
def test_a_key_makes_no_key_that_reaches_further(api, alice, field):
    own, asked = wider(alice, field)
    own = dict(own)
    client = with_key(api(), give_key(alice, *own.pop("permissions", []), **own))
    client.defaults["REMOTE_ADDR"] = "203.0.113.7"
    assert client.post(NAMED, {"name": "n", **asked}).status_code == 403


@pytest.mark.parametrize("field", WIDER)
def test_a_key_widens_no_key_not_even_itself(api, alice, field):
    own, asked = wider(alice, field)
    own = dict(own)
    client = with_key(api(), give_key(alice, *own.pop("permissions", []), **own))
    client.defaults["REMOTE_ADDR"] = "203.0.113.7"
    (key,) = client.get(NAMED).json()["api_keys"]
    assert client.patch(f"{NAMED}/{key['id']}", asked).status_code == 403
    assert client.patch(f"{NAMED}/{key['id']}", {"name": "Same"}).status_code == 200


def test_a_key_gets_no_wider_secret_by_rotating(api, alice):
    wide = api(alice).post(NAMED, FORM).json()["api_key"]
    client = with_key(api(), give_key(alice, "admin", "read"))
    path = f"{NAMED}/{wide['id']}"
    assert client.post(f"{path}/rotate").status_code == 403
    assert client.patch(path, {"name": "Mine"}).status_code == 403
    assert client.delete(path).status_code == 200


def test_a_role_bounds_a_key_too(api, alice, bob):
    narrow = make_person_key(api, bob)
    assert narrow.post(NAMED, {"name": "n"}).status_code == 403


def make_person_key(api, person):
    return with_key(api(), give_key(person))


# --- What authentication costs ---


def test_a_key_costs_one_query_and_none_while_it_is_remembered(
    alice, django_assert_num_queries, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        secret = give_key(alice)
    costs = []
    for _ in range(4):
        with CaptureQueriesContext(connection) as asked:
            assert recognise_key(secret).membership == alice.membership
        costs.append(len(asked))
    assert costs == [1, 0, 0, 0]


def test_who_holds_a_remembered_key_changes_nothing_for_others(
    alice, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        secret = give_key(alice)
    for _ in range(3):
        api_key = recognise_key(secret)
        assert api_key.name != "Changed"
        assert api_key.membership.company.name != "Changed"
        assert api_key.membership.user.full_name == "Alice Admin"
        assert api_key.membership.role == "admin"
        api_key.name = api_key.membership.company.name = "Changed"
        api_key.membership.user.full_name, api_key.membership.role = "Eve", "none"


def remembered(secret):
    """Known to this process without a query."""
    for _ in range(3):
        assert recognise_key(secret) is not None
    with CaptureQueriesContext(connection) as asked:
        assert recognise_key(secret) is not None
    assert not asked.captured_queries
    return secret


CHANGES = {
    "deleted": lambda bob: ApiKey.unscoped.get().delete(),
    "deleted with others": lambda bob: ApiKey.unscoped.all().delete(),
    "role saved": lambda bob: save(bob.membership, role="viewer"),
    "role updated": lambda bob: Membership.objects.filter(user=bob.user).update(
        role="viewer"
    ),
    "removed": lambda bob: bob.membership.delete(),
    "removed with others": lambda bob: bob.company.memberships.filter(
        user=bob.user
    ).delete(),
    "deactivated": lambda bob: save(bob.user, is_active=False),
    "deactivated with others": lambda bob: User.objects.filter(pk=bob.user.pk).update(
        is_active=False
    ),
    "gone": lambda bob: bob.user.delete(),
    "company gone": lambda bob: bob.company.delete(),
    "narrowed": lambda bob: save(ApiKey.unscoped.get(), permissions=["read"]),
    "narrowed in bulk": lambda bob: ApiKey.unscoped.bulk_update(
        [narrowed(ApiKey.unscoped.get())], ["permissions"]
    ),
}


def save(row, **fields):
    for name, value in fields.items():
        setattr(row, name, value)
    row.save()


def narrowed(api_key):
    api_key.permissions = ["read"]
    return api_key


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_remembered_key_is_forgotten_with_every_change(
    api, alice, bob, change, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        secret = give_key(bob)
    client = with_key(api(), remembered(secret))
    change(bob)
    answer = client.post("/v1/agents", {"name": "a", "type": "t"})
    assert answer.status_code in {401, 403}


def test_signing_in_and_being_used_change_nothing_that_is_remembered(
    alice, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        secret = remembered(give_key(alice))
    User.objects.filter(pk=alice.user.pk).update(last_login=timezone.now())
    alice.user.save(update_fields=["last_login"])
    write_uses({ApiKey.unscoped.get().pk: timezone.now().isoformat()})
    with CaptureQueriesContext(connection) as asked:
        assert recognise_key(secret)
    assert not asked.captured_queries


# --- The page for secret scanners ---


def test_the_pattern_and_the_checksum_of_the_page_are_those_of_keys():
    page = (settings.BASE_DIR / "docs/keys.md").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"^```\n(.*?)\n```$", page, re.MULTILINE)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(code, names)  # noqa: S102  # of our own page
    (example,) = re.findall(r"^`(cv_test_\w+)` passes", page, re.MULTILINE)
    for key in (example, *(make_key(prefix) for prefix in KEY_PREFIXES)):
        assert re.fullmatch(pattern, key)
        assert names["is_key"](key)
        assert not names["is_key"](key[:-1] + ("a" if key[-1] != "a" else "b"))
