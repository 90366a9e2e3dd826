"""Public workflows: others see, run, copy and rate them, and their owner learns no more than numbers."""

from functools import partial

import pytest

from tests.at_once import at_once
from tests.factories import make_key, make_person, make_workflow
from workflows.models import Execution, Rating, Workflow
from workflows.services import executions, library
from workflows.services.workflows import update_workflow

GRAPH = {
    "nodes": [{"id": "double", "type": "transform", "config": {"set": {"v": "{{ input.n * 2 }}"}}}],
    "edges": [],
}  # fmt: skip
EDITED = {
    "nodes": [{**GRAPH["nodes"][0], "config": {"set": {"v": "{{ input.n * 3 }}"}}}]
}


@pytest.fixture
def owner(charlie):
    return charlie


@pytest.fixture
def shared(owner):
    return make_workflow(
        owner, name="Shared", public=True, category="maths", tags=["n"], **GRAPH
    )


@pytest.fixture
def caller(api, alice):
    return api(alice)


def drain():
    while executions.run_due():
        pass


def run(caller, workflow, **body):
    path = f"/v1/workflows/{workflow.pk}/execute"
    return caller.post(path, {"input": {"n": 4}, "mode": "sync", **body})


# --- Running ---


def test_who_runs_a_public_workflow_has_the_execution_and_its_owner_sees_nothing(
    caller, api, alice, owner, shared
):
    ran = run(caller, shared).json()["data"]
    assert (ran["status"], ran["output"]["v"]) == ("completed", 8)
    path = f"/v1/workflows/{shared.pk}"
    waiting = caller.post(f"{path}/execute", {"input": {"n": 1}}).json()["data"]
    drain()
    mine = caller.get("/v1/executions").json()
    assert {row["id"] for row in mine["data"]} == {ran["id"], waiting["id"]}
    assert mine["meta"]["total"] == 2
    theirs = api(owner)
    assert theirs.get("/v1/executions").json()["data"] == []
    assert theirs.get("/v1/executions").json()["meta"]["total"] == 0
    assert theirs.get(f"{path}/executions").json()["data"] == []
    assert theirs.get(f"/v1/executions/{ran['id']}").status_code == 404
    assert theirs.get(path).json()["data"]["usage_count"] == 2
    assert set(Execution.unscoped.values_list("company_id", flat=True)) == {alice.company.pk}  # fmt: skip


def test_counts_of_executions_stay_right_where_companies_run_each_others(
    caller, api, alice, owner, shared
):
    own = make_workflow(alice, public=True, **GRAPH)
    for client, workflow in ((caller, shared), (caller, own), (caller, shared), (api(owner), own), (api(owner), shared)):  # fmt: skip
        assert run(client, workflow).status_code == 200
    for client, count in ((caller, 3), (api(owner), 2)):
        page = client.get("/v1/executions").json()
        assert (len(page["data"]), page["meta"]["total"]) == (count, count)


def test_others_see_and_run_what_is_live(caller, owner, shared):
    update_workflow(shared, user=owner.user, **EDITED)
    path = f"/v1/workflows/{shared.pk}?public=true"
    shown = caller.get(path).json()["data"]
    assert (shown["version"], shown["nodes"]) == (1, GRAPH["nodes"])
    assert run(caller, shared).json()["data"]["output"]["v"] == 8
    assert run(caller, shared, version="published").status_code == 200
    for version in ("draft", 2, 1):
        answer = run(caller, shared, version=version)
        assert set(answer.json()["error"]["details"]) == {"version"}
    (row,) = caller.get("/v1/workflows?public=true").json()["data"]
    assert row["version"] == 1


def test_others_change_trigger_and_inspect_nothing(caller, api, owner, shared):
    secret = make_workflow(owner, **GRAPH)
    update_workflow(shared, user=owner.user, error_workflow=secret)
    path = f"/v1/workflows/{shared.pk}"
    for method, below in (
        ("post", "/trigger"),
        ("post", "/publish"),
        ("post", "/unpublish"),
        ("post", "/versions/1/restore"),
        ("get", "/versions"),
        ("get", "/versions/1"),
        ("get", "/executions"),
        ("get", "/metrics"),
        ("get", "/tests"),
        ("post", "/tests/run"),
    ):
        answer = getattr(caller, method)(f"{path}{below}?public=true", {})
        assert answer.status_code == 404, below
    shown = caller.get(f"{path}?public=true").json()["data"]
    assert shown["error_workflow"] is None
    assert run(caller, secret).status_code == 404
    for verb, body in (("copy", {}), ("rating", {"rating": 5})):
        assert caller.post(f"/v1/workflows/{secret.pk}/{verb}", body).status_code == 404


def test_a_failure_at_anothers_starts_nothing_of_the_owners(caller, owner):
    notices = make_workflow(owner, **GRAPH)
    stop = {"id": "stop", "type": "stop", "config": {"status": "failed", "message": "x"}}  # fmt: skip
    public = make_workflow(
        owner, public=True, error_workflow=notices, nodes=[stop], edges=[]
    )
    assert run(caller, public).json()["data"]["status"] == "failed"
    drain()
    assert not Execution.unscoped.filter(workflow=notices).exists()


def test_a_sandbox_has_no_part_in_it(api, alice, shared):
    client = api()
    key = make_key(alice, mode="test")
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert run(client, shared).status_code == 404
    assert client.get("/v1/workflows?public=true").json()["data"] == []


# --- Copying ---


def test_a_copy_is_ones_own_and_a_private_draft(caller, alice, owner, shared):
    update_workflow(shared, user=owner.user, **EDITED)
    answer = caller.post(f"/v1/workflows/{shared.pk}/copy", {})
    assert answer.status_code == 201
    made = answer.json()["data"]
    assert answer["Location"].endswith(f"/v1/workflows/{made['id']}")
    assert (made["name"], made["category"], made["tags"]) == ("Shared", "maths", ["n"])
    assert (made["status"], made["public"], made["version"]) == ("draft", False, 1)
    assert made["nodes"] == GRAPH["nodes"], "what is live, not what is edited"
    assert made["created_by"] == alice.user.pk
    caller.patch(f"/v1/workflows/{made['id']}", {"nodes": [], "name": "Mine"})
    shared.refresh_from_db()
    assert shared.name == "Shared"


def test_a_copied_pipeline_does_not_fire_by_itself(caller, owner):
    steps = [{"type": "transform"}]
    pipeline = make_workflow(owner, public=True, steps=steps, trigger="cron")
    made = caller.post(f"/v1/workflows/{pipeline.pk}/copy", {"name": "Mine"}).json()["data"]  # fmt: skip
    assert (made["status"], made["trigger"], made["name"]) == ("active", "api", "Mine")
    assert made["steps"] == steps


# --- Rating ---


def test_each_company_rates_once_and_may_change_it(caller, api, alice, owner, shared):
    path = f"/v1/workflows/{shared.pk}/rating"
    caller.post(path, {"rating": 2})
    told = caller.post(path, {"rating": 5}).json()["data"]
    assert told == {
        "workflow_id": shared.pk,
        "your_rating": 5,
        "rating": 5.0,
        "rating_count": 1,
    }
    colleague = make_person(company=alice.company)
    assert api(colleague).post(path, {"rating": 4}).json()["data"]["rating_count"] == 1
    third = make_person()
    told = api(third).post(path, {"rating": 5}).json()["data"]
    assert (told["rating"], told["rating_count"]) == (4.5, 2)
    shown = api(owner).get(f"/v1/workflows/{shared.pk}").json()["data"]
    assert (shown["rating"], shown["rating_count"]) == (4.5, 2)
    for odd in (0, 6, "x", None, 2.5):
        answer = caller.post(path, {"rating": odd})
        assert set(answer.json()["error"]["details"]) == {"rating"}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_mean_is_exact_however_many_rate_at_once(shared):
    raters = [(make_person(), number % 5 + 1) for number in range(6)]
    for person, stars in raters:
        if stars > 3:  # for the second time, then
            rate(person, shared, 1)
    deeds = [partial(rate, person, shared, stars) for person, stars in raters]
    assert at_once(*deeds) == ["done"] * 6
    shared.refresh_from_db()
    total = sum(stars for _, stars in raters)
    assert (shared.rating_count, shared.rating_total) == (6, total)
    assert Rating.unscoped.count() == 6


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_company_that_rates_twice_at_once_counts_once(alice, shared):
    at_once(*(partial(rate, alice, shared, given) for given in (1, 5, 3)))
    row = Workflow.unscoped.get(pk=shared.pk)
    assert row.rating_count == 1
    assert row.rating_total == Rating.unscoped.get().stars


def rate(person, workflow, stars):
    library.rate_workflow(
        workflow, company=person.company, user=person.user, stars=stars
    )
