"""From draft to live and back."""

import pytest

from accounts.models import AuditEntry
from tests.factories import make_workflow
from workflows.engine.differences import changes_of, compare
from workflows.models import Schedule, Workflow
from workflows.services import executions, schedules


def graph(value, **node):
    return {
        "nodes": [
            {"id": "start", "type": "input"},
            {"id": "end", "type": "transform", "config": {"set": {"v": value}}, **node},
        ],
        "edges": [{"source": "start", "target": "end"}],
    }


@pytest.fixture
def caller(api, alice):
    return api(alice)


@pytest.fixture
def workflow(alice):
    """Version 1 is live, version 2 is not."""
    return make_workflow(alice, **graph(1))


@pytest.fixture
def path(workflow):
    return f"/v1/workflows/{workflow.pk}"


def edit(caller, path, value, **more):
    answer = caller.patch(path, {"nodes": graph(value)["nodes"], **more})
    assert answer.status_code == 200, answer.content
    return answer.json()["data"]


def run(caller, path, **body):
    answer = caller.post(f"{path}/execute", {"mode": "sync", "input": {}, **body})
    assert answer.status_code == 200, answer.content
    return answer.json()["data"]


def ran(caller, path, **body):
    execution = run(caller, path, **body)
    return execution["version"], execution["output"]["v"], execution["trigger"]


def post(caller, path, **body):
    answer = caller.post(path, body)
    return answer.status_code, answer.json().get("data") or answer.json()["error"]


# --- Draft and live ---


def test_an_edit_of_a_published_graph_is_not_live_before_it_is_published(caller, path):
    shown = edit(caller, path, 2)
    assert (shown["version"], shown["published_version"]) == (2, 1)
    assert shown["has_unpublished_changes"] is True
    assert shown["nodes"][1]["config"] == {"set": {"v": 2}}
    assert ran(caller, path) == (1, 1, {"type": "api"})
    status, shown = post(caller, f"{path}/publish", note="Twice as much")
    assert (status, shown["published_version"]) == (200, 2)
    assert shown["has_unpublished_changes"] is False
    assert ran(caller, path) == (2, 2, {"type": "api"})


def test_a_change_that_comes_with_the_status_published_is_live_at_once(caller, path):
    shown = edit(caller, path, 2, status="published")
    assert (shown["version"], shown["published_version"]) == (2, 2)
    assert ran(caller, path)[:2] == (2, 2)


def test_triggers_and_schedules_start_the_live_version(caller, path, workflow, alice):
    caller.patch(path, {"trigger": {"type": "cron", "schedule": "* * * * *"}})
    edit(caller, path, 2)
    accepted = caller.post(f"{path}/trigger", {}).json()["data"]
    schedule = Schedule.objects.select_related(
        "workflow__version", "workflow__published_version", "workflow__company"
    ).get(workflow=workflow)
    schedules.fire(schedule, schedule.next_at, schedule.next_at)
    while executions.run_due():
        pass
    rows = caller.get(f"{path}/executions").json()["data"]
    assert [row["version"] for row in rows] == [1, 1]
    assert accepted["execution_id"] in {row["id"] for row in rows}


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_a_workflow_within_another_is_the_live_version(caller, path, workflow, alice):
    edit(caller, path, 2)
    node = {"id": "call", "type": "subworkflow", "config": {"workflow": workflow.pk}}
    outer = make_workflow(alice, nodes=[node], edges=[])
    started = caller.post(f"/v1/workflows/{outer.pk}/trigger", {}).json()["data"]
    while executions.run_due():
        pass
    execution = caller.get(f"/v1/executions/{started['id']}").json()["data"]
    assert (execution["status"], execution["output"]) == ("completed", {"v": 1})


def test_any_version_can_be_run(caller, path):
    edit(caller, path, 2)
    edit(caller, path, 3)
    draft = {"type": "api", "draft": True}
    assert ran(caller, path, version="draft") == (3, 3, draft)
    assert ran(caller, path, version=2) == (2, 2, draft)
    assert ran(caller, path, version="published") == (1, 1, {"type": "api"})
    assert post(caller, f"{path}/execute", version=9)[0] == 404
    for odd in (0, -1, True, "latest", 2**40, 1.5, None):
        status, error = post(caller, f"{path}/execute", version=odd)
        assert (status, set(error["details"])) == (400, {"version"})
    caller.post(f"{path}/unpublish")
    assert post(caller, f"{path}/execute", version="published")[0] == 409


def test_an_older_version_can_be_published(caller, path):
    edit(caller, path, 2)
    edit(caller, path, 3, status="published")
    status, shown = post(caller, f"{path}/publish", version=2)
    assert (status, shown["version"], shown["published_version"]) == (200, 3, 2)
    assert ran(caller, path)[:2] == (2, 2)
    assert post(caller, f"{path}/publish", version=9)[0] == 404


def test_what_is_unpublished_is_a_draft_again(caller, path, workflow):
    caller.patch(path, {"trigger": "cron"})
    assert Schedule.objects.filter(workflow=workflow).exists()
    status, shown = post(caller, f"{path}/unpublish")
    assert (status, shown["status"], shown["published_version"]) == (200, "draft", None)
    assert shown["has_unpublished_changes"] is False
    assert not Schedule.objects.filter(workflow=workflow).exists()
    assert caller.post(f"{path}/trigger", {}).status_code == 409
    assert ran(caller, path) == (1, 1, {"type": "api", "draft": True})
    assert caller.patch(path, {"status": "published"}).status_code == 200
    assert caller.patch(path, {"status": "draft"}).json()["data"]["status"] == "draft"
    assert AuditEntry.unscoped.filter(type="workflow.unpublished").count() == 2


def test_a_pipelines_change_is_live_at_once(caller, alice):
    steps = [{"type": "transform", "config": {"set": {"v": 1}}}]
    path = f"/v1/workflows/{make_workflow(alice, steps=steps).pk}"
    steps = [{"type": "transform", "config": {"set": {"v": 2}}}]
    shown = caller.patch(path, {"steps": steps}).json()["data"]
    assert (shown["version"], shown["published_version"]) == (2, 2)
    assert ran(caller, path)[:2] == (2, 2)
    for call in ("publish", "unpublish"):
        assert post(caller, f"{path}/{call}")[0] == 409
    shown = caller.post(f"{path}/versions/1/restore").json()["data"]
    assert (shown["version"], shown["published_version"]) == (3, 3)
    assert ran(caller, path)[:2] == (3, 1)


def test_what_is_saved_as_it_was_is_no_new_version(caller, path):
    whole = caller.get(path).json()["data"]
    assert caller.put(path, whole).json()["data"]["version"] == 1


def test_a_workflow_from_before_there_was_a_live_version_keeps_what_runs(
    caller, path, workflow
):
    Workflow.unscoped.filter(pk=workflow.pk).update(published_version=None)
    assert caller.get(path).json()["data"]["has_unpublished_changes"] is False
    assert ran(caller, path) == (1, 1, {"type": "api"})
    assert edit(caller, path, 2)["published_version"] == 1
    assert ran(caller, path)[:2] == (1, 1)


# --- Versions ---


def test_a_version_says_who_made_it_and_when_it_went_live(caller, path, alice):
    edit(caller, path, 2)
    post(caller, f"{path}/publish", name="Double", note="Asked for by sales.")
    shown = caller.get(f"{path}/versions/2").json()["data"]
    assert (shown["id"], shown["version"]) == (2, 2)
    assert (shown["name"], shown["note"]) == ("Double", "Asked for by sales.")
    assert shown["created_by"] == shown["published_by"] == alice.user.pk
    assert shown["published_at"] >= shown["created_at"]
    rows = caller.get(f"{path}/versions").json()["data"]
    assert [row["is_live"] for row in rows] == [True, False]
    edit(caller, path, 3)
    newest = caller.get(f"{path}/versions/3").json()["data"]
    assert (newest["is_live"], newest["published_at"]) == (False, None)


def test_a_versions_name_and_note_can_be_changed_and_nothing_else(caller, path):
    answer = caller.patch(f"{path}/versions/1", {"name": "First"})
    assert answer.json()["data"]["name"] == "First"
    answer = caller.patch(f"{path}/versions/1", {"nodes": []})
    assert set(answer.json()["error"]["details"]) == {"nodes"}
    entry = AuditEntry.unscoped.get(type="workflow_version.described")
    assert entry.changes == {"name": ["", "First"]}
    for number in ("9", "0", "99999999999", "x"):
        for below in ("", "/diff"):
            answer = caller.get(f"{path}/versions/{number}{below}")
            assert answer.status_code == 404


def test_a_restored_version_is_the_newest(caller, path):
    edit(caller, path, 2, status="published")
    status, shown = post(caller, f"{path}/versions/1/restore")
    assert (status, shown["version"], shown["published_version"]) == (200, 3, 2)
    assert shown["nodes"] == graph(1)["nodes"]
    shown = caller.get(f"{path}/versions/3").json()["data"]
    assert shown["note"] == "Restored from version 1."
    assert ran(caller, path)[:2] == (2, 2)


# --- Differences ---


def test_a_version_says_what_it_changed(caller, path):
    nodes = [
        {"id": "start", "type": "input", "position": {"x": 1}},
        {"id": "other", "type": "output"},
    ]
    edges = [{"from": "start", "to": "other"}]
    caller.patch(path, {"nodes": nodes, "edges": edges, "variables": {"a": 1}})
    found = caller.get(f"{path}/versions/2/diff").json()["data"]
    assert (found["from"], found["to"]) == (1, 2)
    assert found["nodes"] == {
        "added": [nodes[1]],
        "removed": [graph(1)["nodes"][1]],
        "changed": [],
        "moved": ["start"],
    }
    main = {"source_handle": "main"}
    assert found["edges"] == {
        "added": [{"source": "start", "target": "other", **main}],
        "removed": [{"source": "start", "target": "end", **main}],
    }
    assert found["variables"] == [{"path": "a", "after": 1}]


def test_versions_are_compared_with_the_one_that_is_asked_for(caller, path):
    edit(caller, path, 2)
    edit(caller, path, [3])

    def config(query=""):
        found = caller.get(f"{path}/versions/3/diff{query}").json()["data"]
        return found["from"], [node["changes"] for node in found["nodes"]["changed"]]

    assert config() == (2, [[{"path": "config.set.v", "before": 2, "after": [3]}]])
    assert config("?with=1")[1][0][0]["before"] == 1
    assert config("?with=3") == (3, [])
    assert config("?with=0") == (0, [])
    for odd in ("x", "-1", "", "²"):
        answer = caller.get(f"{path}/versions/3/diff?with={odd}")
        assert set(answer.json()["error"]["details"]) == {"with"}
    assert caller.get(f"{path}/versions/3/diff?with=9").status_code == 404


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        (1, 1.0, []),
        (1, True, [{"path": "", "before": 1, "after": True}]),
        ({"a": None}, {}, [{"path": "a", "before": None}]),
        ([1, 2], [1], [{"path": "1", "before": 2}]),
        ({"a": {"b": 1}}, {"a": {"b": 2, "c": 3}}, [{"path": "a.b", "before": 1, "after": 2}, {"path": "a.c", "after": 3}]),
        ({"a": []}, {"a": {}}, [{"path": "a", "before": [], "after": {}}]),
    ],
)  # fmt: skip
def test_values_are_compared_as_json_has_them(before, after, found):
    assert changes_of(before, after) == found


def test_differences_have_an_end():
    assert len(changes_of([0] * 5_000, [1] * 5_000)) == 1_000


def test_a_graph_is_the_same_as_itself_however_its_edges_are_written():
    nodes = graph(1)["nodes"]
    one = {"nodes": nodes, "edges": [{"source": "start", "target": "end"}], "variables": {}}  # fmt: skip
    other = {**one, "edges": [{"from": "start", "to": "end", "sourceHandle": "main"}]}
    assert compare(one, other)["edges"] == {"added": [], "removed": []}
