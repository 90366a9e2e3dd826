"""`Idempotency-Key`: a repeat gets the first answer, and does nothing."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from accounts.models import ApiKey, Company, RefreshToken, Session
from agents.models import Agent, AgentExecution
from craft.api import idempotency
from craft.api.idempotency import forget_old_answers
from craft.models import KeptAnswer
from datasources.models import DataSource
from tests.factories import make_workflow
from workflows.models import Execution

AGENTS = "/api/v1/agents"
NEW = {"name": "Helper", "type": "support"}
GRAPH = {"nodes": [{"id": "begin", "type": "input"}], "edges": []}


def keyed(client, path, body=None, key="k-1", **extra):
    return client.post(
        path, NEW if body is None else body, HTTP_IDEMPOTENCY_KEY=key, **extra
    )


def same(first, second):
    assert second.content == first.content
    assert second.status_code == first.status_code
    assert second.get("Location") == first.get("Location")
    assert second["Content-Type"] == first["Content-Type"]
    assert "Idempotent-Replayed" not in first
    assert second["Idempotent-Replayed"] == "true"
    assert second["X-Request-ID"] != first["X-Request-ID"]


def test_a_repeat_gets_the_first_answer_and_does_nothing(api, alice):
    client = api(alice)
    first, second = keyed(client, AGENTS), keyed(client, AGENTS)
    assert first.status_code == 201
    same(first, second)
    assert Agent.unscoped.count() == 1


def test_without_a_key_each_call_acts(api, alice):
    client = api(alice)
    client.post(AGENTS, NEW)
    client.post(AGENTS, NEW)
    assert Agent.unscoped.count() == 2
    assert not KeptAnswer.objects.exists()


def test_the_same_json_written_otherwise_is_a_repeat(api, alice):
    client = api(alice)
    first = keyed(client, AGENTS)
    second = keyed(
        client,
        AGENTS,
        '{"type":  "support",\n "name": "Helper"}',
        content_type="application/json",
    )
    same(first, second)


@pytest.mark.parametrize("path", [AGENTS, "/v1/agents"])
def test_another_body_under_the_same_key_is_a_conflict(api, alice, path):
    client = api(alice)
    keyed(client, path)
    other = keyed(client, path, {**NEW, "name": "Other"})
    assert other.status_code == 409
    assert "another request" in other.content.decode()
    assert Agent.unscoped.count() == 1


def test_another_person_under_the_same_key_is_a_conflict(api, alice, bob):
    keyed(api(alice), AGENTS)
    assert keyed(api(bob, "read", "write"), AGENTS).status_code == 409


def test_keys_of_companies_and_calls_are_apart(api, alice, charlie):
    client = api(alice)
    answers = [
        keyed(client, AGENTS),
        keyed(api(charlie), AGENTS),
        keyed(client, "/v1/agents"),
        keyed(client, AGENTS, key="k-2"),
    ]
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.content for answer in answers}) == 4


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "schlüssel", "a\tb"])
def test_a_key_must_be_visible_and_not_too_long(api, alice, key):
    answer = keyed(api(alice), AGENTS, key=key)
    assert answer.status_code == 400
    assert "Idempotency-Key" in answer.json()["details"]
    assert keyed(api(alice), AGENTS, key="!" * 255).status_code == 201


def test_who_may_not_learns_nothing_from_a_key(api, alice, vera):
    keyed(api(alice), AGENTS)
    assert keyed(api(alice, "read"), AGENTS).status_code == 403
    assert keyed(api(vera), AGENTS).status_code == 403
    assert keyed(api(), AGENTS).status_code == 401


def test_what_was_refused_may_be_sent_again_mended(api, alice):
    client = api(alice)
    assert keyed(client, AGENTS, {"name": ""}).status_code == 400
    assert keyed(client, AGENTS).status_code == 201
    assert keyed(client, AGENTS, {"name": ""}).status_code == 409


def test_an_accident_undoes_all_and_is_not_kept(api, alice, monkeypatch):
    client = api(alice)

    def fail(*args, **kwargs):
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr("agents.views.AgentViewSet.get_success_headers", fail)
        assert keyed(client, AGENTS).status_code == 500
    assert Agent.unscoped.count() == 0
    assert keyed(client, AGENTS).status_code == 201
    assert Agent.unscoped.count() == 1


def test_an_answer_is_kept_for_a_day(api, alice):
    client = api(alice)
    keyed(client, AGENTS)
    keyed(client, AGENTS, key="young")
    old = timezone.now() - timedelta(hours=24, seconds=1)
    KeptAnswer.objects.filter(key="k-1").update(created_at=old)
    again = keyed(client, AGENTS, {**NEW, "name": "Other"})
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again
    KeptAnswer.objects.filter(key="k-1").update(created_at=old)
    assert forget_old_answers() == 1
    assert KeptAnswer.objects.get().key == "young"


def test_a_secret_that_is_shown_once_is_shown_again_and_kept_sealed(api, alice):
    client = api(alice)
    first = keyed(client, "/v1/account/api-keys", {"name": "New"})
    same(first, keyed(client, "/v1/account/api-keys", {"name": "New"}))
    secret = first.json()["data"]["key"]
    kept = str(list(KeptAnswer.objects.values()))
    assert secret not in kept
    assert secret[8:-8] not in kept
    assert ApiKey.unscoped.filter(name="New").count() == 1


def test_an_answer_whose_key_is_gone_is_not_made_again(api, alice):
    client = api(alice)
    keyed(client, AGENTS)
    KeptAnswer.objects.update(answer="v1.lost.AAAA")
    assert keyed(client, AGENTS).status_code == 409
    assert Agent.unscoped.count() == 1


# --- Without credentials ---

PERSON = {
    "email": "new@example.com",
    "password": "correct horse battery staple",
    "full_name": "New",
    "company_name": "New",
}
REGISTER = "/api/v1/auth/register"


def test_a_registration_happens_once(api, db):
    first, second = keyed(api(), REGISTER, PERSON), keyed(api(), REGISTER, PERSON)
    assert first.status_code == 201
    same(first, second)
    assert Company.objects.count() == 1
    assert "correct horse" not in str(list(KeptAnswer.objects.values()))


def test_nobody_gets_what_another_was_answered(api, db):
    keyed(api(), REGISTER, PERSON)
    elsewhere = keyed(api(), REGISTER, PERSON, REMOTE_ADDR="192.0.2.9")
    assert elsewhere.status_code == 409
    assert "token" not in elsewhere.content.decode()
    other = keyed(api(), REGISTER, {**PERSON, "password": "another horse battery"})
    assert "token" not in other.content.decode()


def test_a_refusal_keeps_what_it_means_to_keep(api, db):
    """A spent refresh token ends its session also where the call has a key."""
    spent = api().post(REGISTER, PERSON).json()["refresh_token"]
    refresh = "/api/v1/auth/refresh"
    assert api().post(refresh, {"refresh_token": spent}).status_code == 200
    long_ago = timezone.now() - timedelta(minutes=5)
    RefreshToken.objects.exclude(used_at=None).update(used_at=long_ago)
    answer = keyed(api(), refresh, {"refresh_token": spent})
    assert answer.status_code == 401
    assert not Session.objects.live().exists()


# --- Work that holds no transaction ---


def kill_before_the_answer(monkeypatch, client, *args, **extra):
    """All that a killed process leaves: no answer, and nothing cleaned up."""

    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(idempotency, "_keep_first", die)
        with pytest.raises(Killed):
            keyed(client, *args, **extra)
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0)
    (kept,) = KeptAnswer.objects.all()
    assert kept.status is None
    return kept


def test_an_agent_is_asked_once(api, alice):
    client = api(alice)
    pk = client.post(AGENTS, NEW).json()["agent"]["id"]
    path = f"{AGENTS}/{pk}/execute"
    first = keyed(client, path, {"input": "Hello"})
    same(first, keyed(client, path, {"input": "Hello"}))
    assert AgentExecution.unscoped.count() == 1


def test_an_agents_answer_is_found_after_a_kill(api, alice, monkeypatch):
    client = api(alice)
    pk = client.post(AGENTS, NEW).json()["agent"]["id"]
    path = f"{AGENTS}/{pk}/execute"
    kill_before_the_answer(monkeypatch, client, path, {"input": "Hello"})
    executions = AgentExecution.unscoped.all()
    executions.update(status="running")
    early = keyed(client, path, {"input": "Hello"})
    assert (early.status_code, early["Retry-After"]) == (409, "2")
    executions.update(status="completed", response="Here I am")
    found = keyed(client, path, {"input": "Hello"})
    assert found.json()["response"] == "Here I am"
    same(found, keyed(client, path, {"input": "Hello"}))
    assert executions.count() == 1


def test_after_a_bad_end_the_same_key_may_try_again(api, alice, monkeypatch):
    client = api(alice)
    pk = client.post(AGENTS, NEW).json()["agent"]["id"]
    path = f"{AGENTS}/{pk}/execute"
    kill_before_the_answer(monkeypatch, client, path, {"input": "Hello"})
    AgentExecution.unscoped.update(status="failed", error={"message": "Lost."})
    assert keyed(client, path, {"input": "Hello"}).status_code == 502
    assert keyed(client, path, {"input": "Hello"}).status_code == 200
    assert AgentExecution.unscoped.count() == 2


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
def test_a_workflow_is_run_once(api, alice, base):
    client, workflow = api(alice), make_workflow(alice, **GRAPH)
    for verb in ("execute", "trigger"):
        path = f"{base}/workflows/{workflow.pk}/{verb}"
        first = keyed(client, path, {"input": {"a": 1}})
        assert first.status_code < 300
        same(first, keyed(client, path, {"input": {"a": 1}}))
    assert Execution.unscoped.count() == 2


def test_an_upload_makes_one_source(api, alice, monkeypatch):
    client = api(alice)

    def upload(key, text=b"id,total\n1,2\n"):
        file = SimpleUploadedFile("orders.csv", text)
        extra = {"format": "multipart", "key": key}
        return keyed(client, "/v1/data-sources/upload", {"file": file}, **extra)

    first = upload("k-1")
    assert first.status_code == 201
    same(first, upload("k-1"))
    assert upload("k-1", b"id,total\n1,3\n").status_code == 409
    assert DataSource.unscoped.count() == 1


def test_an_upload_is_found_after_a_kill(api, alice, monkeypatch):
    client = api(alice)

    def call(send):
        file = SimpleUploadedFile("orders.csv", b"id,total\n1,2\n")
        return send("/v1/data-sources/upload", {"file": file}, format="multipart")

    kept = call(lambda *a, **k: kill_before_the_answer(monkeypatch, client, *a, **k))
    (source,) = DataSource.unscoped.all()
    assert (kept.effect, kept.effect_id) == ("data_source.created", source.pk)
    found = call(lambda *a, **k: keyed(client, *a, **k))
    assert found.status_code == 201
    assert found["Location"].endswith(source.pk)
    assert found.json()["data"]["id"] == source.pk
    same(found, call(lambda *a, **k: keyed(client, *a, **k)))
    DataSource.unscoped.all().delete()
    KeptAnswer.objects.update(status=None, answer="")
    lost = call(lambda *a, **k: keyed(client, *a, **k))
    assert lost.status_code == 409
    assert source.pk in lost.json()["error"]["message"]


def test_of_two_uploads_under_one_key_the_second_undoes_itself(api, alice, monkeypatch):
    client = api(alice)

    def upload():
        file = SimpleUploadedFile("orders.csv", b"id,total\n1,2\n")
        extra = {"format": "multipart"}
        return keyed(client, "/v1/data-sources/upload", {"file": file}, **extra)

    upload()
    (kept,) = KeptAnswer.objects.all()
    answer, effect = kept.answer, kept.effect
    # As it was while the first was still reading: no effect, no answer.
    KeptAnswer.objects.update(status=None, answer="", effect="")
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0)
    kept_before = idempotency._wait_for_answer

    def first_ends_meanwhile(row):
        found = kept_before(row)
        rows = KeptAnswer.objects.filter(pk=row.pk, status=None)
        rows.update(effect=effect, status=201, answer=answer)
        return found

    monkeypatch.setattr(idempotency, "_wait_for_answer", first_ends_meanwhile)
    second = upload()
    assert second["Idempotent-Replayed"] == "true"
    assert DataSource.unscoped.count() == 1
