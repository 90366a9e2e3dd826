"""Signing in, staying signed in, and signing out."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import hypothesis
import pytest
import time_machine
from django.conf import settings
from django.db import connection
from django.utils import timezone
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.test import APIClient

from accounts.authentication import by_token
from accounts.models import RefreshToken, Session, User
from accounts.services.sessions import (
    REUSE_GRACE,
    WrongCredentialsError,
    end_all_sessions,
    forget_old_sessions,
    log_out,
    make_access_token,
    open_session,
    refresh_session,
)
from tests.at_once import at_once
from tests.factories import PASSWORD, make_person

LOGIN = "/api/v1/auth/login"
REFRESH = "/api/v1/auth/refresh"
SESSIONS = "/api/v1/account/sessions"


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
    together = Barrier(32, timeout=60)

    def attempt(_):
        try:
            connection.ensure_connection()
            together.wait()
            return refresh(session["refresh_token"]).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(32) as pool:
        statuses = sorted(pool.map(attempt, range(32)))
    assert statuses == [200] + [401] * 31
    assert RefreshToken.objects.filter(used_at=None).count() == 1
    assert Session.objects.live().count() == 1


@pytest.mark.skipif(settings.DATABASE_IS_SQLITE, reason="processes race on PostgreSQL")
@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_of_many_processes_that_refresh_one_token_one_gets_the_next(
    dora, session, tmp_path
):
    def race() -> None:
        for turn in range(8):
            try:
                refresh_session(refresh_token=session["refresh_token"])
                outcome = "won"
            except WrongCredentialsError:
                outcome = "lost"
            (tmp_path / f"{os.getpid()}-{turn}").write_text(outcome)

    assert at_once(race, race, race, race) == ["done"] * 4
    outcomes = [told.read_text() for told in tmp_path.iterdir()]
    assert sorted(outcomes) == ["lost"] * 31 + ["won"]
    assert RefreshToken.objects.filter(used_at=None).count() == 1


# --- Devices ---


def with_token(token):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


def test_devices_are_listed_with_what_is_known_of_them(dora, session):
    client = APIClient(headers={"user-agent": "Firefox on a telephone"})
    client.defaults["REMOTE_ADDR"] = "192.0.2.7"
    client.post(LOGIN, {"email": "dora@example.com", "password": PASSWORD})
    rows = with_token(session["token"]).get(SESSIONS).json()["sessions"]
    assert [row["user_agent"] for row in rows] == ["Firefox on a telephone", ""]
    assert [row["address"] for row in rows] == ["192.0.2.7", "127.0.0.1"]
    assert [row["is_current"] for row in rows] == [False, True]
    assert all(row["id"].startswith("sess_") for row in rows)


def test_a_refresh_notes_that_the_device_was_seen(session):
    before = Session.objects.get()
    with time_machine.travel(timezone.now() + timedelta(days=20)):
        refresh(session["refresh_token"])
    after = Session.objects.get()
    assert after.last_seen_at - before.last_seen_at > timedelta(days=19)
    assert after.expires_at - before.expires_at > timedelta(days=19)


def test_a_device_is_signed_out_at_once_and_alone(dora, session, api):
    other = api().post(LOGIN, {"email": "dora@example.com", "password": PASSWORD})
    other = other.json()
    first = Session.objects.earliest("id")
    answer = with_token(other["token"]).delete(f"{SESSIONS}/{first.pk}")
    assert answer.json() == {"success": True, "message": "Session deleted"}
    assert me(session["token"]).status_code == 401
    assert refresh(session["refresh_token"]).status_code == 401
    assert me(other["token"]).status_code == 200


def test_a_logout_ends_the_access_token_too(session, api):
    api().post("/api/v1/auth/logout", {"refresh_token": session["refresh_token"]})
    assert me(session["token"]).status_code == 401


def test_signing_out_everywhere_ends_every_token_at_once(dora, session, api):
    other = api().post(LOGIN, {"email": "dora@example.com", "password": PASSWORD})
    other = other.json()
    answer = with_token(other["token"]).post(f"{SESSIONS}/end-all")
    assert answer.json() == {"success": True, "message": "Sessions ended: 2"}
    for one in (session, other):
        assert me(one["token"]).status_code == 401
        assert refresh(one["refresh_token"]).status_code == 401


def test_a_viewer_signs_out_but_a_key_signs_nobody_out(vera, api):
    token = open_session(vera.membership).token
    answer = api(vera).post(f"{SESSIONS}/end-all")
    assert (answer.status_code, answer.json()["code"]) == (403, "FORBIDDEN")
    assert with_token(token).post(f"{SESSIONS}/end-all").status_code == 200


def test_whose_session_it_is_costs_one_query(dora, session, django_assert_num_queries):
    with django_assert_num_queries(1):
        by_token(session["token"])


def test_old_sessions_are_forgotten(session):
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        forget_old_sessions()
    assert (Session.objects.count(), RefreshToken.objects.count()) == (1, 0)
    with time_machine.travel(timezone.now() + timedelta(days=121)):
        forget_old_sessions()
    assert Session.objects.count() == 0


# --- Any sequence ---


class Lines(RuleBasedStateMachine):
    """However logins, refreshes, replays and logouts follow each other: a session has one token that works, until something ends it, and then none."""

    current = Bundle("current")

    def __init__(self):
        super().__init__()
        self.clock = time_machine.travel(timezone.now(), tick=False)
        self.time = self.clock.start()
        self.live = {}
        self.spent = {}
        self.owner = make_person()

    def teardown(self):
        self.clock.stop()

    @rule(target=current)
    def log_in(self):
        signed_in = open_session(self.owner.membership)
        self.live[signed_in.session.pk] = signed_in
        return signed_in.session.pk

    @rule(which=current)
    def use_the_current_one(self, which):
        signed_in = self.live.get(which)
        if signed_in is None:
            return
        successor = refresh_session(refresh_token=signed_in.refresh_token)
        self.live[which] = successor
        self.spent.setdefault(which, []).append(
            (signed_in.refresh_token, timezone.now())
        )

    @rule(which=current, at=st.integers(0, 5))
    def replay_a_spent_one(self, which, at):
        spent = self.spent.get(which)
        if not spent:
            return
        text, moment = spent[at % len(spent)]
        with pytest.raises(WrongCredentialsError):
            refresh_session(refresh_token=text)
        if timezone.now() - moment > REUSE_GRACE:
            self.live.pop(which, None)

    @rule(which=current)
    def log_out(self, which):
        signed_in = self.live.pop(which, None)
        if signed_in:
            log_out(refresh_token=signed_in.refresh_token)

    @rule(seconds=st.sampled_from([1, 9, 11, 3600]))
    def wait(self, seconds):
        self.time.shift(timedelta(seconds=seconds))

    @rule()
    def sign_out_everywhere(self):
        end_all_sessions(self.owner.user)
        self.live.clear()

    @invariant()
    def what_lives_is_what_should(self):
        live = Session.objects.live().filter(user=self.owner.user)
        assert set(live.values_list("pk", flat=True)) == set(self.live)
        unspent = RefreshToken.objects.filter(session__in=live, used_at=None)
        assert sorted(unspent.values_list("session", flat=True)) == sorted(self.live)

    @invariant()
    def access_tokens_live_with_their_session(self):
        for session in Session.objects.filter(user=self.owner.user):
            token = make_access_token(self.owner.membership, session.pk)
            if session.pk in self.live:
                assert by_token(token).session_id == session.pk
            else:
                with pytest.raises(AuthenticationFailed):
                    by_token(token)


def test_any_sequence_of_logins_refreshes_replays_and_logouts(db):
    run_state_machine_as_test(
        Lines,
        settings=hypothesis.settings(
            max_examples=25, stateful_step_count=20, deadline=None, derandomize=True
        ),
    )


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
