"""The audit log: what it keeps, what it never keeps, and that nobody can quietly change it."""

import base64
import csv
import io
import json
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, models, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts import admin
from accounts.models import AuditEntry, AuditHead, User
from accounts.models.audit import AppendOnlyError
from accounts.services import audit
from accounts.services.audit import (
    erase_person_from_log,
    seal_entries,
    verify_audit_log,
    verify_part,
)
from craft.events import Event, publish
from craft.vault import seal, unseal
from tests.factories import PASSWORD, make_key, make_workflow

GRAPH = {"nodes": [{"id": "begin", "type": "input"}], "edges": []}


def entries(person):
    return AuditEntry.objects.for_company(person.company).order_by("pk")


def rows():
    """As somebody sees them who writes to the database, past every door of ours."""
    return models.QuerySet(AuditEntry)


def happen(person, count=1, type="thing.changed", **data):
    for number in range(count):
        publish(Event(type, person.company.pk, {"thing_id": f"t{number}", **data}))


@pytest.fixture
def chain(alice):
    """Five sealed entries of Alice's company."""
    happen(alice, 5)
    seal_entries()
    assert verify_audit_log(alice.company).is_whole
    return list(entries(alice))


# --- What is kept ---


def test_an_entry_tells_who_what_where_before_and_after(api, alice):
    workflow = make_workflow(alice, **GRAPH, name="Before")
    answer = api(alice).patch(
        f"/v1/workflows/{workflow.pk}",
        {"name": "After", "tags": ["a"]},
        REMOTE_ADDR="192.0.2.7",
        HTTP_USER_AGENT="curl/8",
    )
    entry = entries(alice).last()
    assert (entry.type, entry.resource_id) == ("workflow.updated", workflow.pk)
    assert entry.user_id == alice.user.pk
    assert entry.api_key_id.startswith("key_")
    assert (entry.address, entry.user_agent) == ("192.0.2.7", "curl/8")
    assert entry.request_id == answer["X-Request-ID"]
    assert entry.changes == {"name": ["Before", "After"], "tags": [[], ["a"]]}


def test_a_change_of_the_graph_is_told_by_its_version(api, alice):
    workflow = make_workflow(alice, **GRAPH)
    api(alice).patch(f"/v1/workflows/{workflow.pk}", {"variables": {"a": 1}})
    assert entries(alice).last().changes == {"version": [1, 2]}


def test_an_agents_settings_are_told_one_by_one(api, alice):
    client = api(alice)
    made = client.post("/v1/agents", {"name": "A", "type": "x", "temperature": 0.5})
    pk = made.json()["data"]["id"]
    client.patch(f"/v1/agents/{pk}", {"temperature": 0.7})
    changes = entries(alice).last().changes
    assert changes == {"configuration.temperature": [0.5, 0.7], "version": [1, 2]}


def test_what_a_run_reports_is_no_change(api, alice):
    client, workflow = api(alice), make_workflow(alice, **GRAPH)
    before = entries(alice).count()
    answer = client.post(f"/api/v1/workflows/{workflow.pk}/execute", {"input": {}})
    assert answer.json()["status"] == "completed"
    assert entries(alice).count() == before


def test_a_change_that_is_undone_leaves_no_entry(alice):
    with transaction.atomic():
        happen(alice)
        transaction.set_rollback(True)
    assert not entries(alice).filter(type="thing.changed").exists()


def test_a_new_company_says_who_made_it(api, db):
    body = {
        "email": "new@example.com",
        "password": "correct horse battery staple",
        "full_name": "New",
        "company_name": "New",
    }
    user = api().post("/api/v1/auth/register", body).json()["user"]
    kept = AuditEntry.objects.for_company(user["company_id"])
    assert {entry.user_id for entry in kept} == {user["id"]}


# --- What is never kept ---


def test_no_secret_is_kept_wherever_it_stands(alice):
    secret = make_key(alice)
    happen(
        alice,
        text=f"the key is {secret}",
        password="hunter2-hunter2",
        config={"db": {"PASSWORD": "hunter2-hunter2", "port": 5432}},
        url="postgres://me:hunter2-hunter2@host/db",
        max_tokens=5,
        credential_id="cred_1",
        changes={
            "config.client_secret": ["hunter2-hunter2", None],
            "webhook": ["whsec_abcdefgh", {"api_key": "hunter2-hunter2"}],
        },
    )
    entry = entries(alice).last()
    assert secret not in entry.details
    assert "hunter2" not in entry.details
    assert "whsec_a" not in entry.details
    assert entry.data["config"] == {"db": {"PASSWORD": "***", "port": 5432}}
    assert entry.data["max_tokens"] == 5
    assert entry.data["credential_id"] == "cred_1"
    assert entry.changes["config.client_secret"] == ["***", None]


def test_calls_that_carry_secrets_leave_none(api, alice):
    client = api(alice)
    made = client.post("/api/v1/account/api-keys", {"name": "New"}).json()["api_key"]
    client.post(
        "/api/v1/auth/register",
        {
            "email": "new@example.com",
            "password": "correct horse battery staple",
            "full_name": "New",
            "company_name": "New",
        },
    )
    kept = json.dumps(list(AuditEntry.unscoped.values()), default=str)
    assert made["id"] in kept
    assert made["key"] not in kept
    assert made["key"][8:-8] not in kept
    assert "correct horse" not in kept


def test_what_is_very_long_is_told_by_its_size(alice):
    happen(alice, changes={"text": ["short", "x" * 100_000]})
    entry = entries(alice).last()
    assert entry.changes["text"] == ["short", {"left_out": True, "characters": 100_002}]


# --- Nobody changes it quietly ---


def test_the_model_refuses_to_change_or_delete(chain, alice):
    entry = chain[0]
    entry.type = "other.thing"
    for deed in (
        entry.save,
        entry.delete,
        entries(alice).delete,
        lambda: entries(alice).update(type="other"),
        lambda: AuditEntry.unscoped.filter(pk=entry.pk).update(type="other"),
        lambda: AuditEntry.unscoped.filter(pk=entry.pk).delete(),
        lambda: entries(alice).bulk_update([entry], ["type"]),
    ):
        with pytest.raises(AppendOnlyError):
            deed()


FORGERIES = {
    "another event": {"type": "thing.created"},
    "another person": {"user_id": "user_other"},
    "another time": {"created_at": timezone.now() - timedelta(days=1)},
    "other details": {"details": '{"data": {}, "changes": {}}'},
    "another address": {"origin": '{"address": "10.0.0.1"}'},
    "nothing left": {"details": "{}"},
    "erased, but with other words": {"details": '{"data": 1}', "is_erased": True},
    "another digest": {"digest": "0" * 64},
    "another link": {"link": "0" * 64},
    "another place": {"sequence": 99},
    "no place": {"sequence": None},
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_changed_entry_is_found(chain, alice, place, forgery):
    rows().filter(pk=chain[place].pk).update(**forgery)
    assert not verify_audit_log(alice.company).is_whole


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_deleted_entry_is_found(chain, alice, place):
    rows().filter(pk=chain[place].pk).delete()
    assert verify_audit_log(alice.company).faults


def test_a_deleted_log_is_found(chain, alice):
    rows().all().delete()
    assert verify_audit_log(alice.company).faults


def test_an_inserted_entry_is_found(chain, alice):
    copy = {**AuditEntry.unscoped.values().get(pk=chain[2].pk), "id": "audit_forged"}
    rows().bulk_create([AuditEntry(**{**copy, "sequence": None})])
    assert not verify_audit_log(alice.company).is_whole
    seal_entries()
    assert not verify_audit_log(alice.company).is_whole


def test_two_entries_that_change_places_are_found(chain, alice):
    first, second = chain[1], chain[2]
    rows().filter(pk=first.pk).update(sequence=100)
    rows().filter(pk=second.pk).update(sequence=first.sequence, link=first.link)
    rows().filter(pk=first.pk).update(sequence=second.sequence, link=second.link)
    assert not verify_audit_log(alice.company).is_whole


def test_a_cut_chain_is_found_also_with_its_head_moved_back(chain, alice):
    rows().filter(pk=chain[-1].pk).delete()
    before = chain[-2]
    heads = AuditHead.objects.for_company(alice.company)
    heads.update(sequence=before.sequence, link=before.link)
    assert not verify_audit_log(alice.company).is_whole


def test_an_older_state_put_back_is_found_by_what_was_noted_elsewhere(chain, alice):
    old_head = AuditHead.objects.for_company(alice.company).values().get()
    happen(alice)
    seal_entries()
    result = verify_audit_log(alice.company)
    noted = (result.sequence, result.link)
    assert verify_audit_log(alice.company, anchor=noted).is_whole
    rows().filter(sequence=noted[0]).delete()
    AuditHead.objects.for_company(alice.company).update(**old_head)
    assert verify_audit_log(alice.company).is_whole
    assert not verify_audit_log(alice.company, anchor=noted).is_whole


def test_another_installations_secret_can_not_make_entries(chain, alice, settings):
    settings.SECRET_KEY = "another"
    happen(alice)
    found = verify_audit_log(alice.company)
    assert not found.is_whole
    assert found.untellable == found.checked - 1
    assert "CRAFT_ENCRYPTION_KEYS" in "".join(found.faults)


# --- Other keys ---


def a_key(byte):
    return base64.b64encode(bytes([byte]) * 32).decode()


def test_a_log_is_verified_whatever_keys_it_was_written_under(chain, alice, settings):
    ring = ""
    for byte in (1, 2):
        ring = f"k{byte}:{a_key(byte)},{ring}"
        settings.ENCRYPTION_KEYS = ring.strip(",")
        happen(alice, 2)
        assert verify_audit_log(alice.company).is_whole
        seal_entries()
        assert verify_audit_log(alice.company).is_whole
    rows().filter(pk=chain[1].pk).update(user_id="user_other")
    assert not verify_audit_log(alice.company).is_whole


def test_a_new_key_in_the_ring_still_seals_what_was_written_before(
    alice, settings, chain
):
    happen(alice)
    settings.ENCRYPTION_KEYS = f"k1:{a_key(1)}"
    seal_entries()
    assert verify_audit_log(alice.company).is_whole


def test_the_secret_key_may_change_once_the_ring_is_written_down(
    chain, alice, settings, capsys
):
    sealed = seal("JBSWY3DPEHPK3PXP", context="totp")
    call_command("encryption_keys")
    ring = capsys.readouterr().out.strip()
    settings.SECRET_KEY = "another one of this installation, just as long"
    assert not verify_audit_log(alice.company).is_whole
    settings.ENCRYPTION_KEYS = ring
    assert verify_audit_log(alice.company).is_whole
    assert unseal(sealed, context="totp") == "JBSWY3DPEHPK3PXP"
    happen(alice)
    seal_entries()
    assert verify_audit_log(alice.company).is_whole


def test_a_key_that_left_the_ring_is_said_and_its_entries_are_not_called_forged(
    chain, alice, settings
):
    settings.ENCRYPTION_KEYS = f"k1:{a_key(1)}"
    settings.SECRET_KEY = "another one of this installation, just as long"
    (missing, *_) = reversed(verify_audit_log(alice.company).faults)
    assert "put it back" in missing
    assert not any(
        "was changed" in fault for fault in verify_audit_log(alice.company).faults
    )


# --- Sealing ---


def test_sealing_goes_on_where_it_ended_for_each_company(alice, charlie):
    for _ in range(3):
        happen(alice, 2)
        happen(charlie)
        seal_entries()
    for person in (alice, charlie):
        places = list(entries(person).values_list("sequence", flat=True))
        assert places == list(range(1, len(places) + 1))
        assert verify_audit_log(person.company).is_whole
    assert seal_entries() == 0


def test_sealing_costs_no_query_per_entry(alice, django_assert_max_num_queries):
    happen(alice, 90)
    with django_assert_max_num_queries(12):
        assert seal_entries() >= 90


def test_an_entry_that_waits_too_long_for_its_place_is_told(alice, monkeypatch):
    happen(alice)
    assert verify_audit_log(alice.company).is_whole
    monkeypatch.setattr(audit, "SEAL_WITHIN", timedelta(seconds=-5))
    result = verify_audit_log(alice.company)
    assert result.unsealed
    assert not result.is_whole


# --- Erasing ---


def test_a_person_can_be_erased_and_the_chain_stays_whole(api, alice, bob):
    client = api(bob, "read", "write")
    client.post("/v1/agents", {"name": "A", "type": "x"}, HTTP_USER_AGENT="Bob's own")
    happen(alice, type="user.updated", user_id=bob.user.pk, email="bob@example.com")
    seal_entries()
    assert erase_person_from_log(user_id=bob.user.pk) >= 2
    kept = json.dumps(list(AuditEntry.unscoped.values()), default=str)
    assert "Bob's own" not in kept
    assert "bob@example.com" not in kept
    assert '"name": "A"' in json.loads(json.dumps(kept)).replace('\\"', '"')
    result = verify_audit_log(alice.company)
    assert result.is_whole
    assert result.erased >= 2


def test_a_company_that_goes_takes_its_log_along(chain, alice, charlie):
    happen(charlie)
    alice.company.delete()
    assert {entry.company_id for entry in AuditEntry.unscoped.all()} == {
        charlie.company.pk
    }


@pytest.mark.skipif(connection.vendor == "sqlite", reason="needs PostgreSQL")
def test_no_change_waits_for_the_sealer(alice, transactional_db):
    """The sealer's lock is on the head alone."""
    happen(alice)
    seal_entries()
    with transaction.atomic():
        AuditHead.unscoped.select_for_update().get(company=alice.company)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '100ms'")
        happen(alice)
    assert seal_entries() >= 1


# --- Reading it ---

LOG = "/api/v1/account/audit-log"


def ids(answer):
    assert answer.status_code == 200, answer.content
    return [entry["id"] for entry in answer.json()["entries"]]


def test_the_log_is_listed_newest_first_and_filtered(api, alice, bob):
    client, theirs = api(alice), api(bob, "read", "write")
    made = client.post("/v1/agents", {"name": "A", "type": "x"}).json()["data"]["id"]
    theirs.patch(f"/v1/agents/{made}", {"name": "B"})
    whole = client.get(LOG).json()
    entry = whole["entries"][0]
    assert entry["event"] == "agent.updated"
    assert entry["changes"] == {"name": ["A", "B"]}
    assert entry["actor"]["user_id"] == bob.user.pk
    assert entry["actor"]["email"] == bob.user.email
    assert ids(client.get(LOG, {"actor": bob.user.pk})) == [entry["id"]]
    key = entry["actor"]["api_key_id"]
    assert ids(client.get(LOG, {"actor": key})) == [entry["id"]]
    assert len(ids(client.get(LOG, {"resource_id": made}))) == 2
    assert len(ids(client.get(LOG, {"event": "agent.created"}))) == 1
    assert client.get(LOG, {"events": "x"}).status_code == 400
    assert client.get(f"{LOG}/{entry['id']}").json()["entry"] == entry


def test_the_log_is_filtered_by_time(api, alice):
    client, now = api(alice), timezone.now()
    before, after = now - timedelta(hours=1), now + timedelta(hours=1)
    everything = len(ids(client.get(LOG)))
    assert everything
    assert len(ids(client.get(LOG, {"from": before.isoformat()}))) == everything
    assert len(ids(client.get(LOG, {"to": after.isoformat()}))) == everything
    assert ids(client.get(LOG, {"to": before.isoformat()})) == []
    assert ids(client.get(LOG, {"from": after.isoformat()})) == []
    assert len(ids(client.get(LOG, {"from": "1900-01-01T00:00:00Z"}))) == everything
    assert client.get(LOG, {"from": "yesterday"}).status_code == 400


def test_a_walk_by_cursor_reads_each_entry_once(api, alice):
    client = api(alice)
    happen(alice, 25)
    seen, cursor = [], None
    while True:
        query = {"limit": 10, **({"cursor": cursor} if cursor else {})}
        body = client.get("/v1/account/audit-log", query).json()
        seen += [entry["id"] for entry in body["data"]]
        cursor = body["meta"]["next_cursor"]
        happen(alice)
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == body["meta"]["total"] - 2


def test_only_admins_read_the_log(api, alice, bob, charlie):
    happen(charlie)
    assert api(bob).get(LOG).status_code == 403
    assert api(alice, "read", "write").get(LOG).status_code == 403
    assert api(bob).get(f"{LOG}/export").status_code == 403
    ours = {entry.pk for entry in entries(alice)}
    assert set(ids(api(alice).get(LOG))) >= ours
    for kind in ("csv", "jsonl"):
        text = b"".join(api(alice).get(f"{LOG}/export", {"format": kind})).decode()
        assert not any(entry.pk in text for entry in entries(charlie))


def test_the_export_streams_all_of_it(api, alice, django_assert_max_num_queries):
    client = api(alice)
    happen(alice, 1_200)
    client.get(LOG)
    with django_assert_max_num_queries(6):
        answer = client.get(f"{LOG}/export", {"format": "jsonl"})
        lines = b"".join(answer).decode().splitlines()
    assert answer.streaming
    assert answer["Content-Disposition"] == 'attachment; filename="audit-log.jsonl"'
    found = [json.loads(line) for line in lines]
    assert [entry["id"] for entry in found] == [entry.pk for entry in entries(alice)]
    assert found[-1]["event"] == "thing.changed"


def test_the_export_as_a_table_is_safe_to_open(api, alice):
    client = api(alice)
    client.post("/v1/agents", {"name": "A", "type": "x"}, HTTP_USER_AGENT="=1+1")
    query = {"format": "csv", "event": "agent.created"}
    text = b"".join(client.get(f"{LOG}/export", query)).decode()
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["user_agent"] == "'=1+1"
    assert row["email"] == alice.user.email
    assert json.loads(row["changes"])["name"] == [None, "A"]
    assert client.get(f"{LOG}/export", {"format": "xml"}).status_code == 400


# --- For operators ---


def test_the_command_says_whether_the_log_is_whole(chain, alice, charlie, capsys):
    call_command("verify_audit_log")
    said = capsys.readouterr().out
    assert f"company {alice.company.pk}: whole; {len(chain)} entries" in said
    anchor = said.splitlines()[0].rpartition(" ")[2]
    call_command("verify_audit_log", str(alice.company.pk), anchor=anchor)
    rows().filter(pk=chain[1].pk).update(user_id="somebody")
    with pytest.raises(CommandError, match="not as it was written"):
        call_command("verify_audit_log", str(alice.company.pk))
    assert chain[1].pk in capsys.readouterr().err
    call_command("verify_audit_log", str(charlie.company.pk))


@pytest.mark.parametrize(
    "given", [["999999"], ["--anchor", "5:x"], ["1", "--anchor=x"]]
)
def test_the_command_says_what_it_can_not_use(db, given):
    with pytest.raises(CommandError):
        call_command("verify_audit_log", *given)


@pytest.fixture
def console(db):
    client = Client()
    client.force_login(User.objects.create_superuser("olive@example.com", PASSWORD))
    return client


def test_the_console_shows_the_log_and_verifies_it(console, chain, alice):
    listed = reverse("admin:accounts_auditentry_changelist")
    assert "thing.changed" in console.get(listed).content.decode()
    entry = reverse("admin:accounts_auditentry_change", args=[chain[0].pk])
    assert console.get(entry).status_code == 200
    assert console.post(entry, {"type": "x"}).status_code == 403
    assert console.get(f"{entry[: -len('change/')]}delete/").status_code == 403
    verify = reverse("admin:accounts_auditentry_verify")
    said = console.get(verify, follow=True).content.decode()
    assert "none is missing" in said
    rows().filter(pk=chain[0].pk).update(user_id="somebody")
    assert "was changed after" in console.get(verify, follow=True).content.decode()


def test_the_console_verifies_a_part_at_a_press(console, chain, alice, monkeypatch):
    monkeypatch.setattr(admin, "READ_AT_ONCE", 3)
    verify = reverse("admin:accounts_auditentry_verify")
    said = console.get(verify).content.decode()
    presses = 0
    while place := re.search(r'name="place" value="([^"]+)"', said):
        said = console.post(verify, {"place": place[1]}, follow=True).content.decode()
        presses += 1
    assert presses >= len(chain) // 3
    assert "none is missing" in said


def test_a_log_read_in_parts_is_as_whole_as_read_at_once(chain, alice):
    part = verify_part(alice.company, at_most=2)
    read = part.checked
    while not part.is_done:
        part = verify_part(alice.company, after=part.place, at_most=2)
        read += part.checked
    assert read == verify_audit_log(alice.company).checked
    assert part.is_whole
    rows().filter(pk=chain[-1].pk).delete()
    assert not verify_part(alice.company, after=(2, chain[1].link)).is_whole


def test_the_console_needs_an_operator(client, chain):
    for name in ("changelist", "verify"):
        path = reverse(f"admin:accounts_auditentry_{name}")
        assert client.get(path).status_code == 302
