"""Workflows over the wire, as documents 000, 003 and 004 show them."""

from itertools import pairwise

import pytest

from tests.factories import make_workflow
from workflows.models import Execution, Workflow
from workflows.nodes import NODES
from workflows.services import executions

DOCUMENT_000 = {
    "name": "data-pipeline-v1",
    "trigger": "webhook",
    "steps": [
        {"type": "transform", "model": "craftai-1", "config": {"format": "json"}},
        {
            "type": "route",
            "conditions": [{"field": "priority", "op": "gte", "value": 8}],
        },
    ],
    "output": "s3://my-bucket/processed/",
}
PIPELINE = {"name": "p", "steps": DOCUMENT_000["steps"]}
GRAPH = {
    "name": "Doubler",
    "nodes": [
        {"id": "start", "type": "input", "config": {}},
        {
            "id": "double",
            "type": "transform",
            "config": {"set": {"twice": "{{ input.n * 2 }}"}},
        },
    ],
    "edges": [{"source": "start", "target": "double"}],
}


@pytest.fixture
def caller(api, alice):
    return api(alice)


def create(caller, body, base="/v1"):
    response = caller.post(f"{base}/workflows", body)
    assert response.status_code in {200, 201}, response.content
    return response.json()


def published(caller, body=GRAPH):
    workflow_id = create(caller, body)["data"]["id"]
    caller.patch(f"/v1/workflows/{workflow_id}", {"status": "published"})
    return workflow_id


def drain():
    while executions.run_due():
        pass


# --- Document 000 ---


def test_document_000_creates_a_pipeline_with_a_flat_answer(caller):
    response = caller.post("/v1/workflows", DOCUMENT_000)
    assert response.status_code == 200
    body = response.json()
    assert body["id"].startswith("wf_")
    assert body["status"] == "active"
    assert body["created_at"].endswith("Z")
    assert body["endpoint"].endswith(f"/v1/workflows/{body['id']}/trigger")
    assert body["metrics"] == {"executions": 0, "avg_latency_ms": None}


def test_document_000_python_example(caller):
    body = create(
        caller,
        {
            "name": "my-pipeline",
            "trigger": "cron",
            "steps": [{"type": "transform", "model": "craftai-1"}],
        },
    )
    schedule = Workflow.unscoped.get(pk=body["id"]).schedule
    assert (schedule.cron, schedule.timezone) == ("0 0 * * *", "UTC")


def test_a_pipeline_at_the_other_base_path_is_dressed_as_usual(caller):
    response = caller.post("/api/v1/workflows", DOCUMENT_000)
    assert response.status_code == 201
    assert response.json()["workflow"]["status"] == "active"
    assert response["Location"].endswith(
        f"/api/v1/workflows/{response.json()['workflow']['id']}"
    )


def test_a_triggered_pipeline_runs_and_counts(caller):
    workflow_id = create(caller, PIPELINE)["id"]
    response = caller.post(
        f"/v1/workflows/{workflow_id}/trigger", {"priority": 9, "text": "x"}
    )
    assert response.status_code == 202
    accepted = response.json()["data"]
    assert accepted["status"] == "pending"
    assert accepted["started_at"]
    drain()
    execution = caller.get(f"/v1/executions/{accepted['execution_id']}").json()["data"]
    assert (execution["status"], execution["output"]) == (
        "completed",
        {"priority": 9, "text": "x"},
    )
    metrics = caller.get(f"/v1/workflows/{workflow_id}").json()["data"]["metrics"]
    assert metrics["executions"] == 1
    assert metrics["avg_latency_ms"] > 0


def test_a_route_that_does_not_match_ends_the_pipeline(caller):
    workflow_id = create(caller, PIPELINE)["id"]
    caller.post(f"/v1/workflows/{workflow_id}/trigger", {"priority": 1})
    drain()
    execution = Execution.unscoped.get()
    assert (execution.status, execution.output) == ("completed", {"matched": False})


def test_a_trigger_takes_any_json(caller):
    workflow_id = create(caller, {"name": "p", "steps": [{"type": "transform"}]})["id"]
    for body in ([1, 2], "text", 5, {"a": 1}):
        assert (
            caller.post(
                f"/v1/workflows/{workflow_id}/trigger", body, format="json"
            ).status_code
            == 202
        )
    drain()
    assert [row.output for row in Execution.unscoped.order_by("id")] == [
        [1, 2],
        "text",
        5,
        {"a": 1},
    ]


# --- Document 003 ---


def test_document_003_empty_workflow_is_created_published_and_executed(caller):
    response = caller.post(
        "/v1/workflows",
        {
            "name": "New Workflow",
            "description": "Workflow description",
            "nodes": [],
            "edges": [],
        },
    )
    assert response.status_code == 201
    workflow = response.json()["data"]
    assert workflow["status"] == "draft"
    response = caller.patch(
        f"/v1/workflows/{workflow['id']}",
        {"name": "Updated Name", "status": "published"},
    )
    assert response.status_code == 200
    assert (response.json()["data"]["name"], response.json()["data"]["status"]) == (
        "Updated Name",
        "published",
    )
    response = caller.post(
        f"/v1/workflows/{workflow['id']}/execute",
        {"input": {"email": "user@example.com", "name": "John Doe"}},
    )
    assert response.status_code == 202
    execution_id = response.json()["data"]["execution_id"]
    drain()
    execution = caller.get(f"/v1/executions/{execution_id}").json()["data"]
    assert execution["output"] == {"email": "user@example.com", "name": "John Doe"}
    assert execution["logs"] == []
    listed = caller.get(
        f"/v1/workflows/{workflow['id']}/executions",
        {"status": "completed", "from": "2024-01-01T00:00:00Z"},
    ).json()
    assert [row["id"] for row in listed["data"]] == [execution_id]
    assert caller.delete(f"/v1/workflows/{workflow['id']}").json() == {
        "success": True,
        "data": {"id": workflow["id"], "deleted": True},
    }
    assert caller.get(f"/v1/workflows/{workflow['id']}").status_code == 404


@pytest.mark.parametrize(
    ("time", "status"),
    [
        ("2024-01-01T00:00:00+17:06", 200),
        ("0001-01-01T00:00:00+01:00", 400),
        ("9999-12-31T23:59:59-01:00", 400),
        ("yesterday", 400),
    ],
)
def test_a_time_that_no_database_knows_is_asked_for(caller, time, status):
    response = caller.get("/v1/executions", {"from": time})
    assert response.status_code == status
    if status == 400:
        assert set(response.json()["error"]["details"]) == {"from"}


def test_the_alias_serves_the_same(caller):
    workflow_id = published(caller)
    assert caller.get("/api/workflows").json() == caller.get("/v1/workflows").json()
    assert caller.get(f"/api/workflows/{workflow_id}").json()["success"] is True


def test_lists_leave_out_the_graph(caller):
    published(caller)
    (row,) = caller.get("/v1/workflows").json()["data"]
    assert not {"nodes", "edges", "variables"} & set(row)
    assert row["version"] == 1


def test_lists_are_filtered(caller):
    published(caller)
    create(caller, {**GRAPH, "name": "Other", "category": "marketing"})

    def names(**query):
        page = caller.get("/v1/workflows", query).json()
        return [row["name"] for row in page["data"]]

    assert names(status="published") == ["Doubler"]
    assert names(search="DOUB") == ["Doubler"]
    assert names(category="marketing") == ["Other"]
    assert caller.get("/v1/workflows", {"status": "nonsense"}).status_code == 400


# --- Document 004 ---


def test_document_004_list(caller, api, charlie):
    make_workflow(charlie, name="Shared", public=True, category="marketing")
    published(caller)
    body = caller.get("/api/v1/workflows", {"limit": 20, "offset": 0}).json()
    assert [row["name"] for row in body["workflows"]] == ["Doubler"]
    assert (body["total"], body["has_more"]) == (1, False)
    body = caller.get(
        "/api/v1/workflows", {"public": "true", "category": "marketing"}
    ).json()
    assert [row["name"] for row in body["workflows"]] == ["Shared"]


def test_another_companys_public_workflow_is_read_only(caller, charlie):
    shared = make_workflow(charlie, public=True)
    path = f"/v1/workflows/{shared.pk}"
    assert caller.get(path).status_code == 404
    assert caller.get(path, {"public": "true"}).status_code == 200
    assert caller.patch(f"{path}?public=true", {"name": "mine"}).status_code == 404
    assert caller.delete(f"{path}?public=true").status_code == 404


def test_sync_is_the_default_at_api_v1(caller):
    workflow_id = published(caller)
    response = caller.post(
        f"/api/v1/workflows/{workflow_id}/execute", {"inputs": {"n": 21}}
    )
    assert response.status_code == 200
    body = response.json()
    assert (body["status"], body["output"]) == ("completed", {"n": 21, "twice": 42})
    assert [step["node_id"] for step in body["steps"]] == ["start", "double"]
    assert body["id"] == body["execution_id"]


def test_a_draft_runs_and_says_so(caller):
    workflow_id = create(caller, GRAPH)["data"]["id"]
    body = caller.post(
        f"/api/v1/workflows/{workflow_id}/execute", {"input": {"n": 1}}
    ).json()
    assert body["trigger"] == {"type": "api", "draft": True}


def test_a_draft_is_not_triggered(caller):
    workflow_id = create(caller, GRAPH)["data"]["id"]
    response = caller.post(f"/v1/workflows/{workflow_id}/trigger", {"n": 1})
    assert response.status_code == 409
    assert "Publish it" in response.json()["error"]["message"]


def test_async_can_be_asked_for(caller):
    workflow_id = published(caller)
    response = caller.post(
        f"/api/v1/workflows/{workflow_id}/execute", {"input": {"n": 1}, "mode": "async"}
    )
    assert response.status_code == 202
    assert response.json()["status"] == "pending"


# --- Changing ---


def test_each_change_of_the_graph_is_a_version(caller):
    workflow_id = create(caller, GRAPH)["data"]["id"]
    caller.patch(
        f"/v1/workflows/{workflow_id}", {"description": "no change of the graph"}
    )
    changed = caller.put(
        f"/v1/workflows/{workflow_id}", {"variables": {"a": 1}}
    ).json()["data"]
    assert (changed["version"], changed["variables"], len(changed["nodes"])) == (
        2,
        {"a": 1},
        2,
    )
    versions = caller.get(f"/v1/workflows/{workflow_id}/versions").json()["data"]
    assert [version["version"] for version in versions] == [2, 1]
    assert versions[1]["variables"] == {}


def test_a_faulty_graph_comes_back_with_all_its_faults(caller):
    body = {
        "name": "Faulty",
        "nodes": [
            {"id": "a", "type": "nonsense"},
            {"id": "b", "type": "http", "config": {"method": "GET"}},
            {"id": "b", "type": "transform", "config": {"set": {"x": "{{ input. }}"}}},
        ],
        "edges": [{"source": "a", "target": "ghost"}],
    }
    response = caller.post("/v1/workflows", body)
    assert response.status_code == 400
    details = response.json()["error"]["details"]
    assert {"nodes.0.type", "nodes.2.id", "edges.0.target"} <= set(details)
    assert any(path.startswith("nodes.1.config") for path in details)
    assert not Workflow.unscoped.exists()


def test_a_faulty_change_changes_nothing(caller):
    workflow_id = create(caller, GRAPH)["data"]["id"]
    response = caller.patch(
        f"/v1/workflows/{workflow_id}",
        {"name": "New", "edges": [{"source": "x", "target": "y"}]},
    )
    assert response.status_code == 400
    assert (
        caller.get(f"/v1/workflows/{workflow_id}").json()["data"]["name"] == "Doubler"
    )


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "steps": [], "nodes": []}, "steps"),
        ({"name": "x", "nodez": []}, "nodez"),
        ({"name": ""}, "name"),
        ({"name": "x", "trigger": "sunrise"}, "trigger"),
        (
            {
                "name": "x",
                "steps": [{"type": "transform"}],
                "trigger": {"type": "cron", "schedule": "nope"},
            },
            "trigger.schedule",
        ),
        (
            {
                "name": "x",
                "steps": [{"type": "transform"}],
                "trigger": {"type": "cron", "timezone": "Mars/Base"},
            },
            "trigger.timezone",
        ),
        ({"name": "x", "status": "active"}, "status"),
        ({"name": "x", "steps": [{"type": "nonsense"}]}, "steps.0.type"),
        ({"name": "x", "nodes": "none"}, "nodes"),
        ({"name": "x", "nodes": [5]}, "nodes.0"),
    ],
)
def test_bad_bodies_name_the_field(caller, body, field):
    response = caller.post("/v1/workflows", body)
    assert response.status_code == 400
    assert field in response.json()["error"]["details"]


def test_read_only_fields_sent_back_are_ignored(caller):
    workflow_id = create(caller, GRAPH)["data"]["id"]
    whole = caller.get(f"/v1/workflows/{workflow_id}").json()["data"]
    response = caller.put(
        f"/v1/workflows/{workflow_id}", {**whole, "name": "Renamed", "usage_count": 99}
    )
    assert response.status_code == 200, response.content
    assert (
        response.json()["data"]["name"],
        response.json()["data"]["usage_count"],
    ) == ("Renamed", 0)


def test_a_pipeline_is_changed_by_its_steps(caller):
    workflow_id = create(caller, PIPELINE)["id"]
    changed = caller.patch(
        f"/v1/workflows/{workflow_id}", {"steps": [{"type": "transform"}]}
    ).json()["data"]
    assert (len(changed["steps"]), changed["version"]) == (1, 2)
    assert (
        caller.patch(f"/v1/workflows/{workflow_id}", {"nodes": []}).status_code == 400
    )


# --- Executions ---


def test_executions_are_walked_by_cursor(caller):
    workflow_id = published(caller)
    for number in range(5):
        caller.post(f"/v1/workflows/{workflow_id}/trigger", {"n": number})
    seen, cursor = [], None
    while True:
        page = caller.get(
            "/v1/executions", {"limit": 2, **({"cursor": cursor} if cursor else {})}
        ).json()
        seen += [row["id"] for row in page["data"]]
        cursor = page["meta"]["next_cursor"]
        assert page["meta"]["total"] == 5
        if not cursor:
            break
    assert len(set(seen)) == 5
    assert seen == sorted(seen, reverse=True)


def test_lists_of_executions_cost_the_same_however_many(
    caller, django_assert_max_num_queries
):
    workflow_id = published(caller)
    for number in range(10):
        caller.post(f"/v1/workflows/{workflow_id}/trigger", {"n": number})
    drain()
    with django_assert_max_num_queries(5):
        caller.get("/v1/executions")
    with django_assert_max_num_queries(6):
        caller.get(f"/v1/workflows/{workflow_id}/executions")


def test_a_failed_execution_says_where_and_why(caller):
    workflow_id = published(caller)
    body = caller.post(
        f"/api/v1/workflows/{workflow_id}/execute", {"input": {"m": 1}}
    ).json()
    assert body["status"] == "failed"
    assert (body["error"]["code"], body["error"]["node_id"]) == (
        "expression_failed",
        "double",
    )
    assert [line["level"] for line in body["logs"]] == ["error"]


def test_cancel(caller):
    workflow_id = published(
        caller,
        {
            "name": "Later",
            "nodes": [{"id": "w", "type": "delay", "config": {"seconds": 900}}],
            "edges": [],
        },
    )
    execution_id = caller.post(f"/v1/workflows/{workflow_id}/execute", {}).json()[
        "data"
    ]["execution_id"]
    response = caller.post(f"/v1/executions/{execution_id}/cancel")
    assert response.status_code == 200
    assert response.json()["data"]["status"] == "cancelled"
    assert caller.post(f"/v1/executions/{execution_id}/cancel").status_code == 409


def test_metrics(caller):
    workflow_id = published(caller)
    for number in range(3):
        caller.post(f"/v1/workflows/{workflow_id}/trigger", {"n": number})
    caller.post(f"/v1/workflows/{workflow_id}/trigger", {"m": 0})
    drain()
    figures = caller.get(f"/v1/workflows/{workflow_id}/metrics").json()["data"]
    assert (figures["started"], figures["executions"]) == (4, 4)
    assert figures["by_status"] == {"completed": 3, "failed": 1}
    assert 0 < figures["p50_latency_ms"] <= figures["p95_latency_ms"]


def test_the_catalogue_of_nodes(caller):
    nodes = {
        node["type"]: node
        for node in caller.get("/v1/workflows/node-types").json()["data"]
    }
    assert nodes.keys() == NODES.keys()
    for kind, node in nodes.items():
        assert node["summary"] == NODES[kind].summary
        assert node["family"] == NODES[kind].family
        assert node["example"] == NODES[kind].example
        assert node["config_schema"]["additionalProperties"] is False
    assert nodes["http"]["effect"] == "effect"
    assert nodes["condition"]["handles"] == ["true", "false"]


def test_another_companys_executions_are_not_there(api, alice, charlie):
    execution = executions.start_execution(
        workflow=make_workflow(charlie, **{k: GRAPH[k] for k in ("nodes", "edges")}),
        company=charlie.company,
        user=None,
        input={},
        trigger={"type": "api"},
    )
    caller = api(alice)
    assert caller.get(f"/v1/executions/{execution.pk}").status_code == 404
    assert caller.post(f"/v1/executions/{execution.pk}/cancel").status_code == 404
    assert caller.get("/v1/executions").json()["data"] == []


PROCESSING = {
    "name": "Orders",
    "nodes": [
        {"id": "in", "type": "input"},
        {"id": "rows", "type": "parse", "config": {"format": "csv"}},
        {
            "id": "priced",
            "type": "code",
            "config": {
                "code": "def main(input, variables):\n    return [{'sku': row['sku'], 'total': float(row['net']) * variables['rate']} for row in input]\n"
            },
        },
        {
            "id": "dear",
            "type": "filter",
            "config": {"conditions": [{"field": "total", "op": "gte", "value": 20}]},
        },
        {
            "id": "sum",
            "type": "aggregate",
            "config": {"values": {"total": {"op": "sum", "field": "total"}}},
        },
        {
            "id": "page",
            "type": "template",
            "config": {"template": "# {{ input.total }}", "format": "markdown"},
        },
        {
            "id": "answer",
            "type": "respond",
            "config": {"status": 201, "body": {"page": "{{ input }}"}},
        },
    ],
    "edges": [
        {"source": source, "target": target}
        for source, target in pairwise(
            ["in", "rows", "priced", "dear", "sum", "page", "answer"]
        )
    ],
    "variables": {"rate": 2},
}


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_data_is_read_reckoned_with_and_answered(caller, mode):
    workflow_id = create(caller, PROCESSING)["data"]["id"]
    given = {"input": "sku,net\na,5\nb,10\nc,20.5\n", "mode": mode}
    answer = caller.post(f"/v1/workflows/{workflow_id}/execute", given).json()["data"]
    if mode == "async":
        drain()
        answer = caller.get(f"/v1/executions/{answer['execution_id']}").json()["data"]
    assert answer["status"] == "completed", answer["error"]
    assert answer["output"] == {
        "status": 201,
        "headers": {},
        "body": {"page": "<h1>61.0</h1>\n"},
    }
    assert [step["status"] for step in answer["steps"]] == ["completed"] * 7


def test_a_program_that_fails_is_the_steps_error(caller):
    code = {"code": "def main(input, variables):\n    return input['x']\n"}
    graph = {"name": "Code", "nodes": [{"id": "c", "type": "code", "config": code}]}
    workflow_id = create(caller, graph)["data"]["id"]
    answer = caller.post(
        f"/v1/workflows/{workflow_id}/execute", {"input": {}, "mode": "sync"}
    ).json()["data"]
    assert (answer["status"], answer["error"]["code"]) == ("failed", "code_failed")
    assert "KeyError" in answer["error"]["message"]
    assert "line 2" in answer["error"]["message"]
