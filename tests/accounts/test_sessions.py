"""Signing in, staying signed in, and signing out."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import RefreshToken, User
from tests.factories import PASSWORD, make_person

LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"


@pytest.fixture
def dora(db):
    """Somebody with a password."""
    person = make_person(email="dora@example.com")
    person.user.set_password(PASSWORD)
    person.user.save()
    return person


@pytest.fixture
def session(dora, api):
    answer = api().post(LOGIN, {"email": "dora@example.com", "password": PASSWORD})
    assert answer.status_code == 200
    return answer.json()


def refresh(token):
    return APIClient().post(REFRESH, {"refresh_token": token})


def me(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client.get("/api/v1/auth/me")


def test_a_login_says_who_came_in(session, dora):
    assert session["user"]["id"] == dora.user.pk
    assert session["user"]["company_id"] == dora.company.pk


def test_an_address_is_known_in_any_case(dora, api):
    answer = api().post(LOGIN, {"email": "DORA@Example.com", "password": PASSWORD})
    assert answer.status_code == 200


def test_a_wrong_password_and_an_unknown_person_get_the_same_words(dora, api):
    wrong = api().post(LOGIN, {"email": "dora@example.com", "password": "wrong"})
    unknown = api().post(LOGIN, {"email": "nobody@example.com", "password": "wrong"})
    assert wrong.status_code == unknown.status_code == 401
    assert wrong["WWW-Authenticate"] == "Bearer"
    assert wrong.json()["message"] == unknown.json()["message"]


def test_who_is_deactivated_does_not_come_in(session, dora, api):
    User.objects.filter(pk=dora.user.pk).update(is_active=False)
    answer = api().post(LOGIN, {"email": "dora@example.com", "password": PASSWORD})
    assert answer.status_code == 401
    assert me(session["token"]).status_code == 401
    assert refresh(session["refresh_token"]).status_code == 401


def test_an_access_token_lives_ten_minutes(session):
    assert me(session["token"]).status_code == 200
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        assert me(session["token"]).status_code == 401


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "a.b.c",
        "ü",
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1c2VyXzEifQ.",
        "x" * 10_000,
    ],
)
def test_a_token_that_is_none_is_a_401(db, token):
    answer = me(token)
    assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHORIZED")
    assert answer["WWW-Authenticate"] == "Bearer"


def test_a_refresh_token_is_no_access_token(session):
    assert me(session["refresh_token"]).status_code == 401


def test_an_access_token_does_not_outlive_its_membership(session, dora):
    dora.membership.delete()
    assert me(session["token"]).status_code == 401


def test_a_refresh_gives_a_new_pair(session):
    fresh = refresh(session["refresh_token"]).json()
    assert set(fresh) == {"token", "refresh_token"}
    assert fresh["refresh_token"] != session["refresh_token"]
    assert me(fresh["token"]).status_code == 200
    assert refresh(fresh["refresh_token"]).status_code == 200


def test_a_spent_token_is_refused(session):
    refresh(session["refresh_token"])
    again = refresh(session["refresh_token"])
    assert again.status_code == 401
    assert again["WWW-Authenticate"] == "Bearer"


def test_two_tabs_that_wake_up_together_do_not_end_the_session(session):
    fresh = refresh(session["refresh_token"]).json()
    assert refresh(session["refresh_token"]).status_code == 401
    assert refresh(fresh["refresh_token"]).status_code == 200


def test_a_later_second_use_ends_the_whole_line(session):
    fresh = refresh(session["refresh_token"]).json()
    with time_machine.travel(timezone.now() + timedelta(seconds=11)):
        assert refresh(session["refresh_token"]).status_code == 401
        assert refresh(fresh["refresh_token"]).status_code == 401


def test_an_unknown_token_is_refused(db):
    assert refresh("made-up").status_code == 401


def test_a_refresh_token_lives_thirty_days(session):
    with time_machine.travel(timezone.now() + timedelta(days=29)):
        fresh = refresh(session["refresh_token"])
        assert fresh.status_code == 200
    with time_machine.travel(timezone.now() + timedelta(days=60)):
        assert refresh(fresh.json()["refresh_token"]).status_code == 401


def test_a_refresh_token_is_kept_as_a_hash_only(session):
    kept = RefreshToken.objects.get()
    assert session["refresh_token"] not in str(vars(kept))


def test_a_logout_ends_the_whole_line(session, api):
    fresh = refresh(session["refresh_token"]).json()
    answer = api().post(
        "/api/v1/auth/logout", {"refresh_token": session["refresh_token"]}
    )
    assert answer.json() == {"success": True, "message": "Logged out successfully"}
    assert refresh(fresh["refresh_token"]).status_code == 401


def test_a_logout_leaves_other_sessions_alone(session, api):
    other = api().post(LOGIN, {"email": "dora@example.com", "password": PASSWORD})
    api().post("/api/v1/auth/logout", {"refresh_token": session["refresh_token"]})
    assert refresh(other.json()["refresh_token"]).status_code == 200


def test_a_logout_of_nobody_is_no_error(db, api):
    answer = api().post("/api/v1/auth/logout", {"refresh_token": "made-up"})
    assert answer.status_code == 200


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_many_refreshes_at_once_one_goes_through(dora, session):
    def attempt(_):
        try:
            return refresh(session["refresh_token"]).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(attempt, range(6)))
    assert statuses == [200] + [401] * 5
    assert RefreshToken.objects.filter(used_at=None, ended_at=None).count() == 1


def test_a_stale_token_is_no_reason_to_refuse_a_public_call(db, api):
    client = api()
    client.credentials(HTTP_AUTHORIZATION="Bearer stale")
    assert client.get("/api/v1/health").status_code == 200


def test_a_django_session_needs_its_csrf_token(alice):
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(alice.user)
    assert browser.get("/api/v1/auth/me").status_code == 200
    refused = browser.post("/api/v1/account/api-keys", {"name": "n"})
    assert refused.status_code == 403
    assert refused.json()["code"] == "FORBIDDEN"


@pytest.mark.parametrize("header", ["Basic dTpw", "Token abc", "Bearer", "Bearer  "])
def test_no_other_scheme_is_known(db, api, header):
    client = api()
    client.credentials(HTTP_AUTHORIZATION=header)
    answer = client.get("/api/v1/auth/me")
    assert answer.status_code == 401
    assert "Authorization: Bearer" in answer.json()["message"]
