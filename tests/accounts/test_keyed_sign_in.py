"""Calls that hash a password, with an `Idempotency-Key`: the hash is slow by design, and holds nobody up."""

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.db import connection

from accounts.models import Company, Purpose, Session, User
from accounts.services import mail
from accounts.services.invitations import invite
from accounts.services.sessions import open_session
from craft.api import idempotency
from craft.models import KeptAnswer
from tests.factories import PASSWORD, make_person

NEW = "a quite different sentence"
depths: list[int] = []


class WatchedHasher(MD5PasswordHasher):
    """Notes how many transactions stand open when it is asked to work."""

    algorithm = "watched"

    def encode(self, password, salt):
        depths.append(len(connection.atomic_blocks))
        return super().encode(password, salt)


@pytest.fixture
def ada(settings, db):
    settings.PASSWORD_HASHERS = [f"{__name__}.WatchedHasher"]
    person = make_person(email="ada@example.com")
    person.user.set_password(PASSWORD)
    person.user.save()
    depths.clear()
    return person


def token_for(user, purpose, **more):
    return mail.make_token(purpose=purpose, email=user.email, user=user, **more).text


def register(ada):
    body = {"email": "new@example.com", "full_name": "New", "company_name": "New"}
    return "auth/register", {**body, "password": PASSWORD}


def log_in(ada):
    return "auth/login", {"email": "ada@example.com", "password": PASSWORD}


def reset(ada):
    token = token_for(ada.user, Purpose.RESET_PASSWORD)
    return "auth/password/reset", {"token": token, "password": NEW}


def change_password(ada):
    body = {"current_password": PASSWORD, "new_password": NEW}
    return "account/password", body


def change_email(ada):
    return "account/email", {"new_email": "a@example.com", "password": PASSWORD}


def set_two_factor_up(ada):
    return "account/two-factor", {"password": PASSWORD}


def leave(ada):
    return "account/delete", {"password": PASSWORD}


def accept(ada):
    other = make_person()
    sent = invite(
        company=other.company, user=other.user, email="b@example.com", role="viewer"
    )
    token = mail.make_token(
        purpose=Purpose.INVITATION, email=sent.email, subject=sent.pk
    )
    body = {"token": token.text, "full_name": "Bea", "password": PASSWORD}
    return "invitations/accept", body


SIGNED_IN = (change_password, change_email, set_two_factor_up, leave)
CALLS = [register, log_in, reset, accept, *SIGNED_IN]


def client_for(api, ada, call):
    client = api()
    if call in SIGNED_IN:
        token = open_session(ada.membership).token
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
def test_no_hash_is_made_inside_a_transaction(api, ada, call):
    path, body = call(ada)
    client, outside = client_for(api, ada, call), len(connection.atomic_blocks)
    depths.clear()
    answer = client.post(f"/api/v1/{path}", body, HTTP_IDEMPOTENCY_KEY="k-1")
    assert answer.status_code < 300, answer.content
    assert depths, "nothing was hashed"
    assert set(depths) == {outside}


@pytest.mark.parametrize("call", [register, log_in, change_email, accept])
def test_a_repeat_gets_the_first_answer(api, ada, call):
    path, body = call(ada)
    client = client_for(api, ada, call)
    answers = [
        client.post(f"/api/v1/{path}", body, HTTP_IDEMPOTENCY_KEY="k-1")
        for _ in range(2)
    ]
    assert answers[0].content == answers[1].content
    assert answers[1]["Idempotent-Replayed"] == "true"


def test_what_a_killed_call_did_is_not_done_again(api, ada, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    path, body = register(ada)
    with monkeypatch.context() as dying:
        dying.setattr(idempotency, "_keep_first", die)
        with pytest.raises(Killed):
            api().post(f"/api/v1/{path}", body, HTTP_IDEMPOTENCY_KEY="k-1")
    assert KeptAnswer.objects.get().effect == "company.created"
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0)
    again = api().post(f"/api/v1/{path}", body, HTTP_IDEMPOTENCY_KEY="k-1")
    assert again.status_code == 409
    assert "was carried out" in again.json()["message"]
    assert Company.objects.count() == User.objects.count() == 2


def test_a_wrong_password_may_be_mended_under_the_same_key(api, ada):
    path, body = log_in(ada)
    for password, status in (("wrong", 401), (PASSWORD, 200)):
        answer = api().post(
            f"/api/v1/{path}",
            {**body, "password": password},
            HTTP_IDEMPOTENCY_KEY="k-1",
        )
        assert answer.status_code == status
    assert Session.objects.count() == 1
