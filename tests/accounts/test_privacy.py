"""What is kept of people and companies, and that nothing of it is left when they go."""

from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.checks import run_checks
from django.db import connection, models
from rest_framework.test import APIClient

from accounts.models import (
    AuditEntry,
    Company,
    Invitation,
    Mail,
    Membership,
    RefreshToken,
    User,
)
from accounts.services import companies, invitations, privacy
from accounts.services.audit import seal_entries, verify_audit_log
from accounts.services.sessions import open_session
from agents import services as agents
from agents.models import Agent, AgentExecution
from craft import checks
from craft import privacy as policies
from craft.exceptions import NotFoundError
from craft.privacy import Erased, Impersonal, Unlinked
from craft.tasks import clean_up
from datasources.models import DataSource, DataTable
from tests.factories import PASSWORD, make_key, make_person, make_token, make_workflow
from workflows.models import Execution, Workflow
from workflows.services.executions import start_execution

GRAPH = {"nodes": [{"id": "begin", "type": "input"}], "edges": []}


def as_person(person) -> APIClient:
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_token(person)}")
    return client


def fill(person) -> None:
    """Something of every kind, made by this person through the services and the API."""
    open_session(person.membership)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(person)}")
    base = f"/api/v1/companies/{person.company.pk}"
    assert client.post(f"{base}/outlets", {"name": "One"}).status_code == 201
    body = {"email": "guest@example.com"}
    assert client.post(f"{base}/invitations", body).status_code == 201
    as_person(person).patch("/api/v1/account/profile", {"phone": "+1 555 0100"})

    workflow = make_workflow(person, **GRAPH)
    start_execution(
        workflow=workflow,
        company=person.company,
        user=person.user,
        input={},
        trigger={"type": "api"},
    )
    agent = agents.create_agent(
        company=person.company, user=person.user, name="Helper", type="support"
    )
    AgentExecution.objects.create(
        company=person.company,
        agent=agent,
        version=1,
        input="Hello",
        model="craftai-1",
        status="completed",
        created_by=person.user,
    )
    source = DataSource.objects.create(
        company=person.company, source_name="Orders", created_by=person.user
    )
    DataTable.objects.create(company=person.company, source=source, name="orders")
    agent.data_sources.add(source)
    source.folder.mkdir(parents=True)
    (source.folder / "orders.parquet").write_bytes(b"rows")


@pytest.fixture
def dora(alice):
    """She works in Alice's company, and has made something of every kind."""
    person = make_person(
        company=alice.company, full_name="Dora Distinct", email="dora@distinct.example"
    )
    fill(person)
    return person


def every_row():
    """Each row of each table, as the database has it."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            for row in cursor.fetchall():
                yield table, " ".join(map(str, row))


def tables_with(text) -> set[str]:
    return {table for table, row in every_row() if text in row}


def keys_to(target):
    """Every foreign key in the project that leads to this model."""
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            if field.is_relation and field.related_model is target:
                yield model, field.name


def kinds_left(target, pk) -> set[str]:
    return {
        model._meta.label_lower
        for model, name in keys_to(target)
        if model._base_manager.filter(**{name: pk}).exists()
    }


# --- What is declared ---


def test_every_model_says_what_becomes_of_a_persons_rows():
    assert list(policies.faults()) == []
    assert not [error for error in run_checks() if error.id == "craft.E041"]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (None, "does not say"),
        (Impersonal("no"), "'created_by', which leads to a person"),
        (Erased(by=("created_by",)), "is SET_NULL"),
        (Unlinked(told=("id", "colour")), "'colour', which it has not"),
    ],
)
def test_a_model_that_says_nothing_or_the_wrong_thing_fails_the_build(
    monkeypatch, said, fault
):
    known = {key: value for key, value in policies.policies().items() if key != Agent}
    if said:
        known[Agent] = said
    monkeypatch.setattr(policies, "policies", lambda: known)
    (error,) = checks.check_privacy()
    assert error.id == "craft.E041"
    assert fault in error.msg
    assert "agents/privacy.py" in error.hint


def test_no_secret_is_told():
    for model, policy in policies.policies().items():
        told = getattr(policy, "told", ())
        for word in ("digest", "password", "secret", "hash", "context"):
            assert not [name for name in told if word in name], model


# --- What is told ---


def test_a_person_is_given_what_is_kept_of_them(dora, alice):
    answer = as_person(dora).get("/api/v1/account/export")
    assert answer.status_code == 200
    assert answer.json()["user_id"] == dora.user.pk
    records = answer.json()["records"]
    (user,) = records["accounts.user"]["rows"]
    assert user["email"] == "dora@distinct.example"
    assert user["phone"] == "+1 555 0100"
    assert {
        "accounts.membership",
        "accounts.apikey",
        "accounts.refreshtoken",
        "accounts.auditentry",
        "accounts.invitation",
        "agents.agent",
        "agents.agentexecution",
        "datasources.datasource",
        "workflows.workflow",
        "workflows.execution",
    } <= set(records)
    assert records["workflows.workflow"]["total"] == 1
    text = answer.content.decode()
    assert alice.user.email not in text
    assert "Alice" not in text


def test_another_persons_rows_are_not_told(dora, charlie):
    records = as_person(charlie).get("/api/v1/account/export").json()["records"]
    # Signing in is all that Charlie has done.
    assert set(records) == {
        "accounts.user",
        "accounts.membership",
        "accounts.session",
        "accounts.refreshtoken",
        "accounts.auditentry",
    }
    assert len(records["accounts.session"]["rows"]) == 1


def test_what_is_told_has_an_end_and_says_so(dora, monkeypatch):
    for _ in range(3):
        make_key(dora)
    monkeypatch.setattr(policies, "MOST_ROWS", 2)
    keys = privacy.export_person(dora.user)["records"]["accounts.apikey"]
    assert (keys["total"], len(keys["rows"])) == (4, 2)


def test_a_key_is_not_told_what_is_kept_of_its_maker(dora, api):
    assert api(dora).get("/api/v1/account/export").status_code == 403


# --- A person goes ---


def test_nothing_that_leads_to_a_person_is_left(dora, alice, api):
    invitations.invite(
        company=make_person().company,
        user=alice.user,
        email=dora.user.email,
        role="member",
    )
    LogEntry.objects.create(
        user=alice.user,
        content_type=ContentType.objects.get_for_model(User),
        object_id=dora.user.pk,
        object_repr=str(dora.user),
        action_flag=CHANGE,
        change_message=f'[{{"changed": {{"object": "{dora.user.email} in X"}}}}]',
    )
    key, token = api(dora), as_person(dora)
    assert key.get("/api/v1/auth/me").status_code == 200
    seal_entries()
    pk = dora.user.pk

    privacy.erase_person(dora.user)

    assert kinds_left(User, pk) == set()
    assert tables_with("dora@distinct.example") == set()
    assert tables_with("Dora") == set()
    assert tables_with("+1 555 0100") == set()
    assert tables_with(pk) == {"accounts_auditentry", "django_admin_log"}
    assert key.get("/api/v1/auth/me").status_code == 401
    assert token.get("/api/v1/auth/me").status_code == 401


def test_what_a_person_made_stays(dora, alice):
    kinds = (Workflow, Execution, Agent, AgentExecution, DataSource)
    privacy.erase_person(dora.user)
    for kind in kinds:
        (row,) = kind._base_manager.filter(company=alice.company)
        assert row.created_by_id is None
    assert DataSource.objects.for_company(alice.company).get().folder.is_dir()


def test_the_log_of_what_they_did_stays_whole_and_says_not_from_where(dora, alice):
    seal_entries()
    by = AuditEntry.unscoped.filter(user_id=dora.user.pk)
    before = by.count()
    assert by.exclude(origin="{}").exists()
    privacy.erase_person(dora.user)
    assert by.count() == before > 0
    assert not by.exclude(origin="{}").exists()
    seal_entries()
    assert verify_audit_log(alice.company).is_whole


def test_others_are_left_alone(dora, alice, charlie):
    fill(charlie)
    before = {(table, row) for table, row in every_row() if charlie.user.pk in row}
    privacy.erase_person(dora.user)
    after = {(table, row) for table, row in every_row() if charlie.user.pk in row}
    assert after == before
    assert Membership.objects.filter(user=alice.user).exists()


# --- A company goes ---


@pytest.fixture
def owner(alice):
    alice.user.set_password(PASSWORD)
    alice.user.save()
    fill(alice)
    return alice


def delete(person, password=PASSWORD):
    path = f"/api/v1/companies/{person.company.pk}"
    return as_person(person).delete(path, {"password": password})


def test_a_company_goes_with_every_row_and_file(
    owner, bob, charlie, api, django_capture_on_commit_callbacks
):
    fill(charlie)
    pk, folder = (
        owner.company.pk,
        Path(DataSource.objects.for_company(owner.company).get().folder),
    )
    key = api(bob)
    assert key.get("/api/v1/auth/me").status_code == 200
    before = counts()
    with django_capture_on_commit_callbacks(execute=True):
        answer = delete(owner)
    assert answer.json() == {"success": True, "message": "Company deleted"}

    assert not Company.objects.filter(pk=pk).exists()
    assert kinds_left(Company, pk) == set()
    assert orphans() == []
    assert not folder.parent.exists()
    assert key.get("/api/v1/auth/me").status_code == 401
    theirs = DataSource.objects.for_company(charlie.company).get()
    assert (theirs.folder / "orders.parquet").exists()
    assert set(User.objects.all()) >= {owner.user, bob.user, charlie.user}
    assert not RefreshToken.objects.filter(session__membership__company=pk).exists()
    assert Mail.objects.count() == 1  # that of Charlie's invitation
    after = counts()
    assert all(after[kind] < before[kind] for kind in ("Workflow", "Agent", "Outlet"))


def counts():
    return {model.__name__: model._base_manager.count() for model in apps.get_models()}


def orphans():
    """Every foreign key in the project, walked: the rows whose target is gone."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            if not isinstance(field, models.ForeignKey):
                continue
            known = field.related_model._base_manager.values(field.target_field.name)
            lost = model._base_manager.exclude(**{field.name: None}).exclude(
                **{f"{field.name}__in": known}
            )
            if lost.exists():
                found.append(f"{model.__name__}.{field.name}")
    return found


def test_it_goes_at_the_word_of_its_owner_only(owner, bob, vera, api):
    bob.membership.role = "admin"
    bob.membership.save()
    for person in (bob, vera):
        assert delete(person).status_code == 403
    path = f"/api/v1/companies/{owner.company.pk}"
    assert api(owner).delete(path, {"password": PASSWORD}).status_code == 403
    for password in ("wrong", ""):
        answer = delete(owner, password)
        assert answer.status_code == 400
        assert set(answer.json()["details"]) == {"password"}
    assert as_person(owner).delete(path).status_code == 400
    assert Company.objects.filter(pk=owner.company.pk).exists()


def test_files_stay_when_the_rows_could_not_go(owner, monkeypatch):
    folder = DataSource.objects.for_company(owner.company).get().folder

    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(Company, "delete", fail)
    assert delete(owner).status_code == 500
    assert (folder / "orders.parquet").exists()
    assert Invitation.objects.for_company(owner.company).exists()
    assert companies.create_outlet(company=owner.company, name="Still here")


def test_files_of_a_company_go_though_the_process_died_once_its_rows_had_gone(owner):
    folder = DataSource.objects.for_company(owner.company).get().folder
    assert delete(owner).status_code == 200
    # What was to follow the commit never came, as in a process that was killed.
    assert folder.exists()
    clean_up()
    assert not folder.parent.exists()


def test_a_company_that_is_gone_is_not_deleted_again(owner):
    as_another_call_knows_it = Company.objects.get(pk=owner.company.pk)
    privacy.remove_company(owner.company)
    with pytest.raises(NotFoundError):
        privacy.remove_company(as_another_call_knows_it)
