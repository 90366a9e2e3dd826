"""Passwords, addresses, and leaving."""

import time

import pytest
from django.apps import apps
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core import mail as django_mail

from accounts.models import ApiKey, Company, Mail, Membership, Purpose, User
from accounts.services import mail
from accounts.services.mail import send_due
from accounts.services.people import change_email
from accounts.services.sessions import open_session
from craft.events import subscribe
from tests import alike
from tests.factories import PASSWORD, make_key, make_person, make_token

AUTH = "/api/v1/auth"
NEW = "a quite different sentence"


@pytest.fixture
def ada(db):
    person = make_person(email="ada@example.com", full_name="Ada")
    person.user.set_password(PASSWORD)
    person.user.save()
    return person


@pytest.fixture
def signed_in(api, ada):
    """A client with an access token of Ada's."""

    def client():
        made = api()
        session = open_session(ada.membership)
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {session.token}")
        return made

    return client


def log_in(api, email="ada@example.com", password=PASSWORD):
    return api().post(f"{AUTH}/login", {"email": email, "password": password})


def mailed(to="ada@example.com"):
    """Send what is due; the last mail to this address, and its token."""
    send_due()
    last = Mail.objects.filter(to=to, status="completed").order_by("id").last()
    return last and last.token and last.token.text


def subjects():
    send_due()
    return [(message.to[0], message.subject) for message in django_mail.outbox]


# --- Document 001's calls ---


def test_a_new_account_verifies_its_address(api, db):
    form = {
        "email": "user@example.com",
        "password": "SecurePassword123!",
        "full_name": "John Doe",
        "company_name": "Example Corp",
    }
    assert api().post(f"{AUTH}/register", form).status_code == 201
    token = mailed("user@example.com")
    answer = api().post(f"{AUTH}/verify-email", {"token": token})
    assert (answer.status_code, answer.json()) == (
        200,
        {"success": True, "message": "Email verified successfully"},
    )
    assert User.objects.get().is_verified
    again = api().post(f"{AUTH}/verify-email", {"token": token})
    assert (again.status_code, again.json()["code"]) == (400, "INVALID_REQUEST")
    assert "token" in again.json()["details"]


def test_a_password_is_forgotten_and_reset(api, ada):
    answer = api().post(f"{AUTH}/password/forgot", {"email": "Ada@example.com"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"success": True, "message": "Password reset email sent"},
    )
    session = open_session(ada.membership)
    body = {"token": mailed(), "password": NEW}
    answer = api().post(f"{AUTH}/password/reset", body)
    assert (answer.status_code, answer.json()) == (
        200,
        {"success": True, "message": "Password reset successfully"},
    )
    assert log_in(api).status_code == 401
    assert log_in(api, password=NEW).status_code == 200
    assert api().post(f"{AUTH}/password/reset", body).status_code == 400
    refreshed = api().post(f"{AUTH}/refresh", {"refresh_token": session.refresh_token})
    assert refreshed.status_code == 401
    assert ("ada@example.com", "Your password was changed") in subjects()


def test_a_verification_is_sent_again(api, ada):
    answer = api().post(f"{AUTH}/verify-email/resend", {"email": "ada@example.com"})
    assert (answer.status_code, answer.json()) == (
        200,
        {"success": True, "message": "Verification email sent"},
    )
    answer = api().post(f"{AUTH}/verify-email", {"token": mailed()})
    assert answer.status_code == 200


# --- What a reset does, and does not ---


def test_a_weak_new_password_does_not_spend_the_token(api, ada):
    api().post(f"{AUTH}/password/forgot", {"email": "ada@example.com"})
    token = mailed()
    weak = api().post(f"{AUTH}/password/reset", {"token": token, "password": "1234"})
    assert weak.status_code == 400
    assert "too short" in weak.json()["details"]["password"]
    good = api().post(f"{AUTH}/password/reset", {"token": token, "password": NEW})
    assert good.status_code == 200


def test_a_reset_ends_the_other_links_too(api, ada):
    tokens = [
        mail.make_token(
            purpose=Purpose.RESET_PASSWORD, email=ada.user.email, user=ada.user
        )
        for _ in range(2)
    ]
    statuses = [
        api()
        .post(f"{AUTH}/password/reset", {"token": token.text, "password": NEW})
        .status_code
        for token in tokens
    ]
    assert statuses == [200, 400]


def test_who_is_deactivated_resets_nothing(api, ada):
    api().post(f"{AUTH}/password/forgot", {"email": "ada@example.com"})
    token = mailed()
    User.objects.update(is_active=False)
    answer = api().post(f"{AUTH}/password/reset", {"token": token, "password": NEW})
    assert answer.status_code == 400


# --- No one learns who exists ---


@pytest.mark.parametrize("path", ["password/forgot", "verify-email/resend"])
def test_known_and_unknown_get_the_same_answer_and_write_the_same(
    api, ada, path, django_assert_num_queries
):
    answers = []
    for email in ("ada@example.com", "nobody@example.com"):
        client = api()
        client.post("/api/v1/auth/logout", {"refresh_token": "x"})
        with django_assert_num_queries(1):
            answers.append(client.post(f"{AUTH}/{path}", {"email": email}))
    known, unknown = answers
    assert known.status_code == unknown.status_code == 200
    assert known.content == unknown.content
    assert subjects()
    assert all(to == "ada@example.com" for to, _ in subjects())


class QuickArgon2(Argon2PasswordHasher):
    """The real one at a small cost, that is still most of what a login costs."""

    time_cost, memory_cost, parallelism = 1, 4_096, 1


@pytest.mark.parametrize("name", alike.CALLS)
def test_a_call_takes_as_long_for_nobody_as_for_somebody(api, settings, db, name):
    """`python -m tests.alike` measures it with the hasher of production."""
    settings.PASSWORD_HASHERS = [f"{__name__}.QuickArgon2"]
    settings.GUESSES_PER_HOUR = alike.NO_LIMIT
    person = make_person(email=alike.KNOWN)
    person.user.set_password(PASSWORD)
    person.user.save()
    # Of this process's own time: what else the machine does says nothing about the call.
    found = alike.compare(api(), name, clock=time.process_time)
    assert found.is_alike, found


def test_a_login_that_hashed_for_somebody_only_would_be_found_out(
    api, settings, db, monkeypatch
):
    settings.PASSWORD_HASHERS = [f"{__name__}.QuickArgon2"]
    settings.GUESSES_PER_HOUR = alike.NO_LIMIT
    person = make_person(email=alike.KNOWN)
    person.user.set_password(PASSWORD)
    person.user.save()
    monkeypatch.setattr(User, "set_password", lambda *_: None)
    found = alike.compare(api(), "login", most=alike.MIN_PAIRS, clock=time.process_time)
    assert not found.is_alike, found


# --- Changing the password ---


def test_a_password_change_keeps_this_session_and_ends_the_others(api, ada, signed_in):
    here, there = signed_in(), signed_in()
    body = {"current_password": PASSWORD, "new_password": NEW}
    answer = here.post("/api/v1/account/password", body)
    assert answer.status_code == 200
    assert here.get(f"{AUTH}/me").status_code == 200
    assert there.get(f"{AUTH}/me").status_code == 401
    assert log_in(api, password=NEW).status_code == 200
    assert ("ada@example.com", "Your password was changed") in subjects()


@pytest.mark.parametrize(
    ("field", "value"), [("current_password", "wrong"), ("new_password", "12345678")]
)
def test_a_password_change_names_what_is_wrong(api, ada, signed_in, field, value):
    body = {"current_password": PASSWORD, "new_password": NEW, field: value}
    answer = signed_in().post("/api/v1/account/password", body)
    assert answer.status_code == 400
    assert set(answer.json()["details"]) == {field}
    assert log_in(api).status_code == 200


def test_djangos_own_sessions_end_with_all_others(client, ada, signed_in):
    client.force_login(ada.user)
    assert client.get(f"{AUTH}/me").status_code == 200
    signed_in().post("/api/v1/account/sessions/end-all")
    assert client.get(f"{AUTH}/me").status_code == 401


# --- Changing the address ---


def ask_for(client, new_email="new@example.com", password=PASSWORD):
    body = {"new_email": new_email, "password": password}
    return client.post("/api/v1/account/email", body)


def test_an_address_changes_when_the_new_one_is_confirmed(api, ada, signed_in):
    assert ask_for(signed_in()).status_code == 200
    assert [to for to, _ in subjects()] == ["new@example.com", "ada@example.com"]
    assert log_in(api).status_code == 200
    token = mailed("new@example.com")
    answer = api().post(f"{AUTH}/change-email", {"token": token})
    assert answer.status_code == 200
    ada.user.refresh_from_db()
    assert (ada.user.email, ada.user.is_verified) == ("new@example.com", True)
    assert log_in(api).status_code == 401
    assert log_in(api, "new@example.com").status_code == 200
    assert subjects()[-1] == ("ada@example.com", "Your e-mail address was changed")
    assert api().post(f"{AUTH}/change-email", {"token": token}).status_code == 400


def test_an_address_change_wants_the_password(ada, signed_in):
    answer = ask_for(signed_in(), password="wrong")
    assert (answer.status_code, set(answer.json()["details"])) == (400, {"password"})
    assert subjects() == []


def test_a_taken_address_is_a_conflict_also_later(api, ada, signed_in):
    make_person(email="taken@example.com")
    assert ask_for(signed_in(), "Taken@example.com").status_code == 409
    ask_for(signed_in())
    token = mailed("new@example.com")
    make_person(email="new@example.com")
    answer = api().post(f"{AUTH}/change-email", {"token": token})
    assert answer.status_code == 409
    ada.user.refresh_from_db()
    assert ada.user.email == "ada@example.com"


def test_a_password_reset_stops_an_address_change(api, ada, signed_in):
    ask_for(signed_in())
    token = mailed("new@example.com")
    api().post(f"{AUTH}/password/forgot", {"email": "ada@example.com"})
    api().post(f"{AUTH}/password/reset", {"token": mailed(), "password": NEW})
    answer = api().post(f"{AUTH}/change-email", {"token": token})
    assert answer.status_code == 400


# --- Leaving ---


def leave(client, password=PASSWORD):
    return client.post("/api/v1/account/delete", {"password": password})


def test_who_leaves_alone_takes_the_company_along(api, ada, signed_in):
    make_key(ada)
    client = signed_in()
    assert leave(client).status_code == 200
    assert not User.objects.exists()
    assert not Company.objects.exists()
    assert not ApiKey.unscoped.exists()
    for model in apps.get_app_config("accounts").get_models():
        if model != Mail and model.__name__ not in {"AuditEntry", "AuditHead"}:
            assert not model._default_manager.exists(), model.__name__
    assert subjects() == [("ada@example.com", "Your account was deleted")]
    assert client.get(f"{AUTH}/me").status_code == 401


def test_an_owner_of_a_company_with_others_hands_over_first(ada, signed_in):
    make_person(company=ada.company, role="member")
    answer = leave(signed_in())
    assert answer.status_code == 409
    assert ada.company.name in answer.json()["message"]
    assert User.objects.count() == 2


def test_a_member_leaves_and_the_company_stays(api, ada):
    bob = make_person(company=ada.company, role="member")
    bob.user.set_password(PASSWORD)
    bob.user.save()
    client = api()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(bob)}")
    assert leave(client).status_code == 200
    assert list(Membership.objects.all()) == [ada.membership]
    assert client.get(f"{AUTH}/me").status_code == 401


def test_nobody_leaves_without_the_password(ada, signed_in):
    assert leave(signed_in(), "wrong").status_code == 400
    assert User.objects.exists()


# --- The record ---


def test_every_change_is_told_and_no_secret_with_it(api, ada, signed_in):
    told = []
    for name in ("password_changed", "email_changed", "verified"):
        subscribe(f"user.{name}", told.append)
    ask_for(signed_in())
    change_email(token=mailed("new@example.com"))
    body = {"current_password": PASSWORD, "new_password": NEW}
    signed_in().post("/api/v1/account/password", body)
    assert [event.type for event in told] == [
        "user.email_changed",
        "user.password_changed",
    ]
    assert told[0].data["changes"] == {"email": ["ada@example.com", "new@example.com"]}
    assert PASSWORD not in str(told)
    assert NEW not in str(told)
