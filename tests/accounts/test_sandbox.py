"""A test key works on a twin of the company, which shares nothing with it and lets nothing out."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from accounts.models import Company
from accounts.services import mail
from accounts.services.sandbox import reset_sandbox, sandbox_of
from agents.models import Agent, AgentVersion
from agents.services import create_agent
from billing.services import get_windows, set_plan
from craft import checks, copies, egress
from craft.copies import Copied, LeftOut
from craft.models import KeptAnswer
from datasources.models import DataSource, DataTable
from tests.factories import make_key, make_workflow
from workflows.models import Execution, Workflow, WorkflowVersion
from workflows.services.executions import run_due

KEYS = "/api/v1/account/api-keys"
RESET = "/v1/account/sandbox/reset"


@pytest.fixture
def in_test(api):
    """`in_test(alice)` calls with a test key of hers."""

    def client(person, *permissions):
        made = api()
        secret = make_key(person, *permissions, mode="test")
        made.credentials(HTTP_AUTHORIZATION=f"Bearer {secret}")
        return made

    return client


def make_source(person, name="Orders"):
    source = DataSource.objects.create(company=person.company, source_name=name)
    table = DataTable(company=person.company, source=source, name="orders")
    table.file_name = f"{table.pk}.parquet"
    table.save(force_insert=True)
    source.folder.mkdir(parents=True)
    (source.folder / table.file_name).write_bytes(b"live")
    return source


def make_records(person):
    """One of each, with all the ways in which records name each other."""
    source = make_source(person)
    agent = create_agent(
        company=person.company,
        user=person.user,
        name="Helper",
        type="support",
        data_sources=[source],
        configuration={"instructions": f"Ask {source.pk} first."},
    )
    workflow = make_workflow(
        person,
        nodes=[
            {"id": "start", "type": "input", "config": {}},
            {
                "id": "set",
                "type": "transform",
                "config": {"set": {"agent": agent.pk, "source": source.pk}},
            },
        ],
        edges=[{"source": "start", "target": "set"}],
        variables={"agent": agent.pk},
    )
    return source, agent, workflow


def test_a_sandbox_has_copies_of_its_own(alice):
    source, _, _ = make_records(alice)
    twin = sandbox_of(alice.company)
    assert twin.sandbox_of == alice.company
    (made_source,) = DataSource.objects.for_company(twin)
    (made_agent,) = Agent.objects.for_company(twin)
    (made_workflow,) = Workflow.objects.for_company(twin)
    (table,) = DataTable.objects.for_company(twin)
    assert made_source.pk != source.pk
    assert table.source == made_source
    assert made_agent.created_by == alice.user
    assert list(made_agent.data_sources.all()) == [made_source]
    assert made_agent.configuration == {"instructions": f"Ask {made_source.pk} first."}
    (version,) = AgentVersion.objects.for_company(twin)
    assert version.agent == made_agent
    assert version.data_sources == [made_source.pk]
    assert made_workflow.version.workflow == made_workflow
    assert made_workflow.version.variables == {"agent": made_agent.pk}
    assert made_workflow.version.nodes[1]["config"]["set"] == {
        "agent": made_agent.pk,
        "source": made_source.pk,
    }
    assert (made_source.folder / table.file_name).read_bytes() == b"live"
    assert table.file_name == f"{table.pk}.parquet"


def test_what_happens_in_a_sandbox_leaves_the_live_records_alone(alice):
    source, agent, workflow = make_records(alice)
    twin = sandbox_of(alice.company)
    for model in (Agent, DataTable, DataSource, Workflow):
        model.objects.for_company(twin).delete()
    made = DataSource(pk=source.pk, company_id=twin.pk)
    made.remove_files()
    assert source.folder.is_dir()
    assert source.tables.count() == 1
    assert list(agent.data_sources.all()) == [source]
    assert WorkflowVersion.objects.filter(workflow=workflow).count() == 1


def test_copies_come_in_the_order_of_what_they_were_made_of(alice):
    made = [make_workflow(alice, nodes=[], edges=[]).name for _ in range(30)]
    copied = Workflow.objects.for_company(sandbox_of(alice.company)).order_by("pk")
    assert [workflow.name for workflow in copied] == made


def test_records_of_what_was_run_are_not_copied(api, alice, in_test):
    client = api(alice)
    workflow = make_workflow(alice, nodes=[], edges=[])
    client.post(f"/v1/workflows/{workflow.pk}/execute", {"input": 1})
    assert Execution.objects.for_company(alice.company).exists()
    tested = in_test(alice)
    assert tested.get("/v1/executions").json()["data"] == []
    (copied,) = tested.get("/v1/workflows").json()["data"]
    assert copied["usage_count"] == 0


# --- Through the API ---


def test_a_test_key_works_on_the_sandbox_and_says_so(api, alice, in_test):
    live, test = api(alice), in_test(alice)
    agent = live.post("/v1/agents", {"name": "Live", "type": "t"}).json()["data"]
    (copied,) = test.get("/v1/agents").json()["data"]
    assert copied["id"] != agent["id"]
    renamed = test.patch(f"/v1/agents/{copied['id']}", {"name": "Changed"})
    assert renamed.status_code == 200
    assert renamed["X-Craft-Mode"] == "test"
    test.post("/v1/agents", {"name": "Made here", "type": "t"})
    assert test.get(f"/v1/agents/{agent['id']}").status_code == 404
    answer = live.get("/v1/agents")
    assert [row["name"] for row in answer.json()["data"]] == ["Live"]
    assert "X-Craft-Mode" not in answer
    assert live.get(f"/v1/agents/{copied['id']}").status_code == 404


def test_an_error_in_test_mode_says_so_too(alice, in_test):
    test = in_test(alice)
    assert test.get("/v1/agents/agent_none")["X-Craft-Mode"] == "test"
    assert test.post("/v1/agents", {"nome": "a"})["X-Craft-Mode"] == "test"


def test_all_test_keys_share_the_one_sandbox(alice, in_test):
    in_test(alice).post("/v1/agents", {"name": "Made", "type": "t"})
    assert len(in_test(alice).get("/v1/agents").json()["data"]) == 1
    assert Company.objects.exclude(sandbox_of=None).count() == 1


def test_a_test_key_looks_like_one_at_both_base_paths(api, alice):
    client = api(alice)
    form = {"name": "Test", "mode": "test"}
    named = client.post(KEYS, form).json()["api_key"]
    data = client.post("/v1/account/api-keys", form).json()["data"]
    assert named["key"].startswith("cv_test_")
    assert data["key"].startswith("ak_test_")
    assert (named["mode"], data["mode"]) == ("test", "test")


def test_a_test_key_makes_and_sees_test_keys_only(api, alice, in_test):
    api(alice)
    test = in_test(alice)
    assert test.post(KEYS, {"name": "n"}).status_code == 403
    assert test.post(KEYS, {"name": "n", "mode": "test"}).status_code == 201
    assert {row["mode"] for row in test.get(KEYS).json()["api_keys"]} == {"test"}
    live = [
        row for row in api(alice).get(KEYS).json()["api_keys"] if row["mode"] == "live"
    ]
    for call in (test.get, test.delete):
        assert call(f"{KEYS}/{live[0]['id']}").status_code == 404
    assert test.post(f"{KEYS}/{live[0]['id']}/rotate").status_code == 404


def test_a_test_key_acts_for_who_made_it(alice, in_test):
    user = in_test(alice).get("/api/v1/auth/me").json()["user"]
    assert (user["id"], user["company_id"]) == (alice.user.pk, alice.company.pk)


def test_a_test_key_ends_with_its_owner(alice, bob, in_test):
    test = in_test(bob)
    assert test.get("/v1/agents").status_code == 200
    bob.membership.delete()
    assert test.get("/v1/agents").status_code == 401


# --- Reset ---


def test_a_reset_begins_anew(api, alice, in_test):
    source, *_ = make_records(alice)
    test = in_test(alice)
    made = test.post("/v1/agents", {"name": "Made here", "type": "t"}).json()["data"]
    (old,) = DataSource.objects.for_company(sandbox_of(fresh(alice)))
    twin = sandbox_of(fresh(alice))
    answer = api(alice).post(RESET)
    assert answer.status_code == 200
    assert answer.json()["data"]["exists"] is True
    assert test.get(f"/v1/agents/{made['id']}").status_code == 404
    (agent,) = test.get("/v1/agents").json()["data"]
    assert agent["name"] == "Helper"
    assert sandbox_of(fresh(alice)) == twin
    (new,) = DataSource.objects.for_company(twin)
    assert new.folder.is_dir()
    assert source.folder.is_dir()
    assert old.pk != new.pk


def fresh(person):
    return Company.objects.get(pk=person.company.pk)


def test_files_of_the_sandbox_go_with_a_reset(
    alice, django_capture_on_commit_callbacks
):
    make_source(alice)
    twin = sandbox_of(alice.company)
    (old,) = DataSource.objects.for_company(twin)
    with django_capture_on_commit_callbacks(execute=True):
        reset_sandbox(company=fresh(alice))
    (new,) = DataSource.objects.for_company(twin)
    assert not old.folder.exists()
    assert new.folder.is_dir()


def test_a_reset_wants_an_admin(api, alice, bob, in_test):
    assert api(bob).post(RESET).status_code == 403
    assert in_test(alice).post(RESET).status_code == 200
    assert in_test(alice, "read", "write").post(RESET).status_code == 403


def test_the_sandbox_says_since_when_it_is(api, alice, in_test):
    client = api(alice)
    path = "/api/v1/account/sandbox"
    assert client.get(path).json()["sandbox"] == {"exists": False, "copied_at": None}
    in_test(alice).get("/v1/agents")
    assert client.get(path).json()["sandbox"]["exists"] is True


def test_a_copy_that_fails_leaves_no_file(alice, monkeypatch, settings):
    make_source(alice)
    twin = sandbox_of(alice.company)

    def broken(self):
        raise RuntimeError("broken")

    monkeypatch.setattr(copies.Copying, "write", broken)
    before = sorted((settings.MEDIA_ROOT / str(twin.pk)).iterdir())
    with pytest.raises(RuntimeError):
        reset_sandbox(company=fresh(alice))
    assert sorted((settings.MEDIA_ROOT / str(twin.pk)).iterdir()) == before
    assert DataSource.objects.for_company(twin).count() == 1


# --- Nothing is shared, billed or sent ---


def test_a_sandbox_is_on_its_companys_plan_and_counts_apart(api, alice, in_test):
    set_plan(company=alice.company, slug="compliance-starter")
    live, test = api(alice), in_test(alice)
    first = test.get("/v1/agents")
    assert first["X-RateLimit-Limit"] == live.get("/v1/agents")["X-RateLimit-Limit"]
    left = int(test.get("/v1/agents")["X-RateLimit-Remaining"])
    live.get("/v1/agents")
    assert int(test.get("/v1/agents")["X-RateLimit-Remaining"]) >= left - 1
    twin = sandbox_of(fresh(alice))
    assert get_windows(twin) == get_windows(alice.company)


def test_what_is_public_in_a_sandbox_is_not(api, alice, charlie, in_test):
    make_workflow(alice, nodes=[], edges=[], public=True)
    in_test(alice).get("/v1/workflows")
    seen = api(charlie).get("/v1/workflows?public=true").json()["data"]
    assert len(seen) == 1
    assert len(in_test(alice).get("/v1/workflows?public=true").json()["data"]) == 1
    copied = in_test(alice).get("/v1/workflows").json()["data"][0]["id"]
    assert api(charlie).get(f"/v1/workflows/{copied}").status_code == 404
    assert in_test(charlie).get(f"/v1/workflows/{seen[0]['id']}").status_code == 404


FETCHING = {
    "nodes": [
        {"id": "start", "type": "input", "config": {}},
        {"id": "call", "type": "http", "config": {"url": "", "method": "GET"}},
    ],
    "edges": [{"source": "start", "target": "call"}],
}


def fetching(url):
    start, call = FETCHING["nodes"]
    nodes = [start, {**call, "config": {"url": url, "method": "GET"}}]
    return {"name": "Fetch", "nodes": nodes, "edges": FETCHING["edges"]}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_nothing_leaves_a_sandbox(api, alice, in_test, httpserver, settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    httpserver.expect_request("/").respond_with_json({"fine": True})
    outcomes = {}
    for mode, client in (("live", api(alice)), ("test", in_test(alice))):
        made = client.post("/api/v1/workflows", fetching(httpserver.url_for("/")))
        path = f"/api/v1/workflows/{made.json()['workflow']['id']}/execute"
        outcomes[mode] = client.post(path, {"input": {}}).json()
    assert outcomes["live"]["status"] == "completed"
    assert outcomes["test"]["status"] == "failed"
    assert outcomes["test"]["error"]["code"] == "test_mode"
    assert "Nothing leaves a sandbox" in outcomes["test"]["error"]["message"]
    assert len(httpserver.log) == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_worker_keeps_a_sandbox_shut_too(alice, in_test, httpserver, settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    httpserver.expect_request("/").respond_with_json({"fine": True})
    client = in_test(alice)
    made = client.post("/v1/workflows", fetching(httpserver.url_for("/"))).json()
    client.post(f"/v1/workflows/{made['data']['id']}/execute", {"input": {}})
    run_due()
    (execution,) = Execution.objects.for_company(sandbox_of(fresh(alice)))
    assert execution.error["code"] == "test_mode"
    assert httpserver.log == []


@pytest.mark.parametrize(
    ("opened", "is_let_out"),
    [
        ([], False),
        (["127.0.0.1"], True),
        (["127.0.0.1:1"], False),
        (["other.com"], False),
    ],
)
def test_an_operator_opens_hosts_for_test_mode(
    httpserver, settings, opened, is_let_out
):
    settings.OUTBOUND_ALLOW, settings.SANDBOX_ALLOW = ["127.0.0.1"], opened
    httpserver.expect_request("/").respond_with_data("fine")
    with egress.test_mode(True):
        if is_let_out:
            assert egress.fetch_blocking("GET", httpserver.url_for("/")).status == 200
        else:
            with pytest.raises(egress.TestModeError, match="CRAFT_SANDBOX_ALLOW"):
                egress.fetch_blocking("GET", httpserver.url_for("/"))
    assert egress.fetch_blocking("GET", httpserver.url_for("/")).status == 200


def test_no_database_is_dialled_from_a_sandbox(settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with egress.test_mode(True), pytest.raises(egress.TestModeError):
        egress.resolve_blocking("127.0.0.1", 5432)
    assert egress.resolve_blocking("127.0.0.1", 5432) == ["127.0.0.1"]


def test_an_agent_asks_no_outside_model_in_test_mode(alice, in_test, settings):
    settings.OPENAI_API_KEY = "sk-test"
    client = in_test(alice)
    made = client.post("/v1/agents", {"name": "a", "type": "t", "model": "gpt-4o"})
    path = f"/v1/agents/{made.json()['data']['id']}/execute"
    refused = client.post(path, {"input": "Hello"})
    assert refused.status_code == 403
    assert "sandbox" in refused.json()["error"]["message"]
    own = client.post(path, {"input": "Hello", "model": "craftai-1"})
    assert own.status_code == 200


def test_no_mail_is_written_in_test_mode(db):
    with egress.test_mode(True), pytest.raises(egress.TestModeError):
        mail.queue_mail(to="a@example.com", template="verify_email", context={})


def test_a_request_after_one_in_test_mode_is_live(api, alice, in_test):
    in_test(alice).get("/v1/agents")
    assert not egress.is_test_mode()
    assert "X-Craft-Mode" not in api(alice).get("/v1/agents")


def test_with_its_company_a_sandbox_goes_too(alice):
    make_records(alice)
    twin = sandbox_of(alice.company)
    Workflow.objects.for_company(alice.company).delete()
    Agent.objects.for_company(alice.company).delete()
    Company.objects.get(pk=alice.company.pk).delete()
    assert not Company.objects.filter(pk=twin.pk).exists()
    assert not Agent.objects.for_company(twin).exists()


STORING = {
    "nodes": [
        {"id": "start", "type": "input"},
        {"id": "keep", "type": "store", "config": {"target": "file://reports/"}},
    ],
    "edges": [{"source": "start", "target": "keep"}],
}


def test_a_reset_removes_what_was_stored_in_the_sandbox(
    api, alice, in_test, settings, django_capture_on_commit_callbacks
):
    make_workflow(alice, **STORING)

    def run(client):
        (workflow,) = client.get("/v1/workflows").json()["data"]
        path = f"/api/v1/workflows/{workflow['id']}/execute"
        assert client.post(path, {"input": 1}).json()["status"] == "completed"

    run(api(alice))
    run(in_test(alice))
    live, test = (
        settings.MEDIA_ROOT / str(company.pk) / "outputs"
        for company in (alice.company, sandbox_of(fresh(alice)))
    )
    assert live.is_dir()
    assert test.is_dir()
    with django_capture_on_commit_callbacks(execute=True):
        reset_sandbox(company=fresh(alice))
    assert live.is_dir()
    assert not test.exists()


def test_a_reset_holds_no_transaction_for_its_key(api, alice, monkeypatch):
    depths, outside = [], len(connection.atomic_blocks)
    read = copies.Copying.read

    def watched(self):
        depths.append(len(connection.atomic_blocks))
        read(self)

    monkeypatch.setattr(copies.Copying, "read", watched)
    client = api(alice)
    answers = [client.post(RESET, HTTP_IDEMPOTENCY_KEY="k-1") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert depths == [outside]


# --- Every model says what becomes of it ---


def test_the_machinerys_own_models_are_asked_too(monkeypatch):
    said = {
        key: one for key, one in copies.declarations().items() if key is not KeptAnswer
    }
    monkeypatch.setattr(copies, "declarations", lambda: said)
    (error,) = checks.check_copies()
    assert "KeptAnswer" in error.msg


def test_a_model_that_says_nothing_fails_the_build(monkeypatch):
    assert list(checks.check_copies()) == []
    left = {
        key: said for key, said in copies.declarations().items() if key is not Agent
    }
    monkeypatch.setattr(copies, "declarations", lambda: left)
    (error,) = checks.check_copies()
    assert (error.id, "agents/copies.py" in error.hint) == ("craft.E032", True)
    with pytest.raises(SystemCheckError, match=r"agents\.Agent does not say"):
        call_command("check")


def test_a_copy_that_would_lead_nowhere_fails_the_build(monkeypatch):
    said = {**copies.declarations(), Agent: LeftOut("why"), AgentVersion: Copied()}
    monkeypatch.setattr(copies, "declarations", lambda: said)
    (error,) = checks.check_copies()
    assert (error.id, "'agent'" in error.msg) == ("craft.E033", True)


# --- At once ---


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_many_first_uses_at_once_make_one_sandbox(alice):
    make_records(alice)
    together = Barrier(6)

    def use(_):
        together.wait()
        try:
            return sandbox_of(fresh(alice)).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        made = set(pool.map(use, range(6)))
    (twin,) = Company.objects.exclude(sandbox_of=None)
    assert made == {twin.pk}
    for model in (Agent, DataSource, DataTable, Workflow):
        assert model.objects.for_company(twin).count() == 1
    (source,) = DataSource.objects.for_company(twin)
    assert list(source.folder.parent.iterdir()) == [source.folder]


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_resets_at_once_leave_one_set_of_copies(alice):
    make_records(alice)
    sandbox_of(alice.company)
    together = Barrier(4)

    def reset(_):
        together.wait()
        try:
            reset_sandbox(company=fresh(alice))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(reset, range(4)))
    twin = sandbox_of(fresh(alice))
    (source,) = DataSource.objects.for_company(twin)
    assert list(source.folder.parent.iterdir()) == [source.folder]
    assert Agent.objects.for_company(twin).count() == 1
