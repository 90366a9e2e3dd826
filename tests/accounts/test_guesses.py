"""Who guesses is slowed, and locks nobody out."""

import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import Purpose, Session
from accounts.services.mail import make_token
from accounts.services.sign_in import log_in
from craft.events import Actor, acting
from tests.factories import PASSWORD, make_person

HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


@pytest.fixture
def ada(db):
    """Somebody with a password, who has signed in from home before."""
    person = make_person(email="ada@example.com")
    person.user.set_password(PASSWORD)
    person.user.save()
    with acting(Actor(address=HOME)):
        log_in(email="ada@example.com", password=PASSWORD)
    return person


@pytest.fixture
def post(api):
    client = api()

    def send(path, address=ELSEWHERE, **body):
        return client.post(f"/api/v1/{path}", body, REMOTE_ADDR=address)

    return send


def log_in_as(post, email, password, address=ELSEWHERE):
    return post("auth/login", address, email=email, password=password)


def test_wrong_passwords_are_slowed_and_the_owner_still_gets_in_from_home(post, ada):
    statuses = [
        log_in_as(post, "ada@example.com", f"wrong {number}").status_code
        for number in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
    refused = log_in_as(post, "ada@example.com", PASSWORD)
    assert refused.status_code == 429
    assert 100 < int(refused["Retry-After"]) <= 180
    assert refused.json()["code"] == "RATE_LIMIT_EXCEEDED"
    assert "Try again in 3 minutes." in refused.json()["message"]
    assert refused["X-RateLimit-Limit"] == "20"
    assert refused["X-RateLimit-Remaining"] == "0"
    wait = int(refused["X-RateLimit-Reset"]) - time.time()
    assert int(refused["Retry-After"]) < wait <= 3600
    assert log_in_as(post, "ada@example.com", PASSWORD, HOME).status_code == 200


def test_an_account_that_nobody_has_is_slowed_alike(post, ada):
    answers = [
        [
            log_in_as(post, email, "wrong", address)
            for number in range(12)
            for address in (f"203.0.113.{number}",)
        ]
        for email in ("ada@example.com", "nobody@example.com")
    ]
    known, unknown = (
        [(answer.status_code, answer.json()["message"]) for answer in series]
        for series in answers
    )
    assert known == unknown
    assert known[-1][0] == 429


def test_who_tries_many_accounts_from_one_address_is_slowed(post, ada):
    for number in range(60):
        answer = log_in_as(post, f"person{number}@example.com", "password")
        assert answer.status_code == 401
    assert log_in_as(post, "ada@example.com", PASSWORD).status_code == 429
    assert log_in_as(post, "ada@example.com", PASSWORD, HOME).status_code == 200


def test_whether_an_address_is_known_is_asked_once(post, ada):
    with CaptureQueriesContext(connection) as asked:
        log_in_as(post, "ada@example.com", "wrong")
    sessions = [query for query in asked if "accounts_session" in query["sql"]]
    assert len(sessions) == 1


def test_right_passwords_do_not_count(post, ada):
    for _ in range(30):
        assert log_in_as(post, "ada@example.com", PASSWORD).status_code == 200


def test_the_address_of_a_session_counts_for_itself(post, ada):
    for number in range(31):
        answer = log_in_as(post, "ada@example.com", f"wrong {number}", HOME)
        assert answer.status_code == (401 if number < 30 else 429)
    assert log_in_as(post, "ada@example.com", PASSWORD).status_code == 200


def test_registering_is_slowed_for_each_address(post, db):
    def register(number, address=ELSEWHERE):
        return post(
            "auth/register",
            address,
            email=f"new{number}@example.com",
            password=PASSWORD,
            full_name="New",
            company_name="New",
        ).status_code

    assert [register(number) for number in range(31)] == [201] * 30 + [429]
    assert register(99, HOME) == 201


def test_guessed_tokens_are_slowed_and_right_ones_do_not_count(post, ada):
    for _ in range(60):
        assert post("auth/verify-email", token="wrong").status_code == 400
    token = make_token(
        purpose=Purpose.VERIFY_EMAIL, email=ada.user.email, user=ada.user
    ).text
    assert post("auth/verify-email", token=token).status_code == 429
    assert post("auth/verify-email", HOME, token=token).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "account/delete"), ("DELETE", "companies/{company}")],
)
def test_ones_own_password_is_not_guessed_by_who_holds_a_token(api, ada, method, path):
    with acting(Actor(address=HOME)):
        token = log_in(email="ada@example.com", password=PASSWORD).token
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    path = f"/api/v1/{path}".format(company=ada.company.pk)
    statuses = [
        client.generic(
            method, path, '{"password": "wrong"}', "application/json"
        ).status_code
        for _ in range(32)
    ]
    assert statuses == [400] * 30 + [429] * 2
    assert Session.objects.live().filter(user=ada.user).exists()


def test_the_consoles_door_is_slowed_too(ada):
    ada.user.is_staff = ada.user.is_superuser = True
    ada.user.save()
    browser = Client()

    def sign_in(password, address=ELSEWHERE):
        form = {"username": "ada@example.com", "password": password}
        return browser.post("/admin/login/", form, REMOTE_ADDR=address).status_code

    for number in range(10):
        assert sign_in(f"wrong {number}") == 200
    assert sign_in(PASSWORD) == 200
    assert "_auth_user_id" not in browser.session
    assert sign_in(PASSWORD, HOME) == 302


def test_without_its_redis_guessing_is_still_slowed(post, ada, settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    statuses = [
        log_in_as(post, "ada@example.com", "wrong").status_code for _ in range(12)
    ]
    assert statuses == [401] * 10 + [429] * 2
