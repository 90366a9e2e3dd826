from __future__ import annotations

import json

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, AgentExecution, AgentVersion
from craft.events import subscribe

AGENTS = "/api/v1/agents"


@pytest.fixture
def published(request) -> list:
    """The events of this test."""
    events: list = []
    for kind in ("agent.created", "agent.updated", "agent.deleted", "agent.executed"):
        subscribe(kind, lambda event, events=events: events.append(event))
    return events


def versions(agent_id: str) -> list[int]:
    return list(
        AgentVersion.unscoped.filter(agent=agent_id)
        .order_by("number")
        .values_list("number", flat=True)
    )


# --- making, reading, changing ---


def test_document_001s_agent_is_made(alice, api):
    body = {
        "name": "Sales Assistant",
        "type": "sales",
        "description": "Helps with sales inquiries",
        "model": "gpt-4",
        "temperature": 0.7,
        "max_tokens": 1000,
    }
    answer = api(alice).post(AGENTS, body)
    assert answer.status_code == 201
    agent = answer.json()["agent"]
    assert agent["agent_id"] == agent["id"]
    assert agent["agent_id"].startswith("agent_")
    assert answer["Location"].endswith(f"/api/v1/agents/{agent['id']}")
    assert {key: agent[key] for key in ("name", "type", "status", "version")} == {
        "name": "Sales Assistant",
        "type": "sales",
        "status": "active",
        "version": 1,
    }
    assert (
        agent["configuration"]
        == agent["config"]
        == {"model": "gpt-4", "temperature": 0.7, "max_tokens": 1000}
    )
    assert agent["created_at"].endswith("Z")
    assert agent["created_by"] == alice.user.pk
    assert versions(agent["id"]) == [1]


@pytest.mark.parametrize("place", ["", "config", "configuration"])
def test_what_the_model_is_told_may_stand_in_three_places(place, alice, api):
    told = {
        "model": "craftai-1",
        "temperature": 0.2,
        "max_tokens": 50,
        "instructions": "Be brief.",
    }
    body = {"name": "A", **(told if not place else {place: told})}
    agent = api(alice).post(AGENTS, body).json()["agent"]
    assert agent["configuration"] == agent["config"] == told


def test_two_places_that_disagree_are_refused(alice, api):
    answer = api(alice).post(
        AGENTS, {"name": "A", "temperature": 0.1, "config": {"temperature": 0.9}}
    )
    assert answer.status_code == 400
    assert "temperature" in answer.json()["details"]


def test_at_v1_it_is_dressed_in_the_data_envelope(alice, api):
    answer = api(alice).post("/v1/agents", {"name": "A", "type": "sales"})
    assert answer.status_code == 201
    made = answer.json()["data"]
    assert (
        api(alice).get(f"/v1/agents/{made['id']}").json()["data"]["agent_id"]
        == made["id"]
    )
    listed = api(alice).get("/v1/agents").json()
    assert [agent["id"] for agent in listed["data"]] == [made["id"]]
    assert listed["meta"]["total"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "A", "nmae": "B"}, "nmae"),
        ({"name": "A", "status": "sleeping"}, "status"),
        ({"name": "A", "model": "gemini-3"}, "model"),
        ({"name": "A", "config": {"model": "gemini-3"}}, "config.model"),
        ({"name": "A", "config": {"temprature": 1}}, "config.temprature"),
        (
            {"name": "A", "configuration": {"temperature": 3}},
            "configuration.temperature",
        ),
        ({"name": "A", "temperature": "hot"}, "temperature"),
        ({"name": "A", "max_tokens": 0}, "max_tokens"),
        ({"name": "A", "config": []}, "config"),
        ({"name": "A", "data_sources": "ds_1"}, "data_sources"),
        ({"name": "A", "data_sources": ["ds_nowhere"]}, "data_sources"),
        ({"name": "A", "ui_settings": []}, "ui_settings"),
    ],
)
def test_a_faulty_agent_is_refused_and_the_field_named(body, field, alice, api):
    answer = api(alice).post(AGENTS, body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_REQUEST"
    assert field in answer.json()["details"]
    assert not Agent.unscoped.exists()


@pytest.mark.parametrize("method", ["put", "patch"])
def test_an_update_changes_what_it_names(method, alice, api):
    made = (
        api(alice)
        .post(
            AGENTS, {"name": "A", "type": "sales", "model": "gpt-4", "temperature": 0.7}
        )
        .json()["agent"]
    )
    body = {
        "name": "Updated Sales Assistant",
        "description": "Updated description",
        "config": {},
    }
    answer = getattr(api(alice), method)(f"{AGENTS}/{made['id']}", body)
    assert answer.status_code == 200
    changed = answer.json()["agent"]
    assert changed["name"] == "Updated Sales Assistant"
    assert changed["type"] == "sales"
    assert changed["configuration"] == {"model": "gpt-4", "temperature": 0.7}
    assert changed["updated_at"] > made["updated_at"]
    assert changed["version"] == 1


def test_configuration_is_merged_key_by_key_and_null_removes_one(alice, api):
    made = (
        api(alice)
        .post(
            AGENTS,
            {"name": "A", "model": "gpt-4", "temperature": 0.7, "instructions": "Old"},
        )
        .json()["agent"]
    )
    changed = (
        api(alice)
        .patch(
            f"{AGENTS}/{made['id']}",
            {"config": {"temperature": None, "max_tokens": 5}, "instructions": "New"},
        )
        .json()["agent"]
    )
    assert changed["config"] == {
        "model": "gpt-4",
        "max_tokens": 5,
        "instructions": "New",
    }
    assert versions(made["id"]) == [1, 2]


def test_what_was_read_can_be_edited_under_either_name_and_sent_back(alice, api):
    made = (
        api(alice)
        .post(AGENTS, {"name": "A", "model": "gpt-4", "temperature": 0.7})
        .json()["agent"]
    )
    for name, temperature in (("configuration", 0.1), ("config", 0.2)):
        agent = api(alice).get(f"{AGENTS}/{made['id']}").json()["agent"]
        agent[name]["temperature"] = temperature
        answer = api(alice).put(f"{AGENTS}/{made['id']}", agent)
        assert answer.status_code == 200
        assert answer.json()["agent"]["config"] == {
            "model": "gpt-4",
            "temperature": temperature,
        }


def test_sent_back_as_it_was_nothing_changes(alice, api):
    made = api(alice).post(AGENTS, {"name": "A"}).json()["agent"]
    assert made["model"] == "craftai-1"
    again = api(alice).put(f"{AGENTS}/{made['id']}", made).json()["agent"]
    assert again["configuration"] == {}
    assert again["version"] == 1


def test_each_change_of_what_it_is_told_is_a_version(alice, api, source):
    made = api(alice).post(AGENTS, {"name": "A"}).json()["agent"]
    url = f"{AGENTS}/{made['id']}"
    api(alice).patch(url, {"instructions": "One"})
    api(alice).patch(url, {"instructions": "One"})
    api(alice).patch(url, {"name": "B"})
    assert (
        api(alice).patch(url, {"data_sources": [source.pk]}).json()["agent"]["version"]
        == 3
    )
    kept = AgentVersion.unscoped.get(agent=made["id"], number=3)
    assert kept.configuration == {"instructions": "One"}
    assert kept.data_sources == [source.pk]
    assert versions(made["id"]) == [1, 2, 3]


def test_data_sources_are_attached_and_replaced(alice, api, source, make_source):
    other = make_source(alice, "other", [{"a": 1}])
    made = (
        api(alice)
        .post(AGENTS, {"name": "A", "data_sources": [source.pk, other.pk, source.pk]})
        .json()["agent"]
    )
    assert made["data_sources"] == sorted([source.pk, other.pk])
    url = f"{AGENTS}/{made['id']}"
    assert api(alice).get(url).json()["agent"]["data_sources"] == sorted(
        [source.pk, other.pk]
    )
    assert api(alice).put(url, {"data_sources": [other.pk]}).json()["agent"][
        "data_sources"
    ] == [other.pk]
    assert (
        api(alice).put(url, {"data_sources": []}).json()["agent"]["data_sources"] == []
    )


def test_ui_settings_are_the_owners_own(alice, api):
    made = (
        api(alice)
        .post(
            AGENTS,
            {"name": "A", "ui_settings": {"greeting": "Hi", "theme": {"dark": True}}},
        )
        .json()["agent"]
    )
    preview = api(alice).get(f"{AGENTS}/{made['id']}/preview")
    assert preview.status_code == 200
    assert preview.json()["agent"]["ui_settings"] == {
        "greeting": "Hi",
        "theme": {"dark": True},
    }
    assert preview.json()["agent"]["config"] == {}
    assert preview.json()["agent"]["agent_id"] == made["id"]


def test_a_deleted_agent_is_gone_and_its_executions_stay(alice, api, agent):
    api(alice).post(f"{AGENTS}/{agent.pk}/execute", {"input": "hi"})
    answer = api(alice).delete(f"{AGENTS}/{agent.pk}")
    assert answer.json() == {"success": True, "message": "Agent deleted"}
    assert api(alice).get(f"{AGENTS}/{agent.pk}").status_code == 404
    kept = AgentExecution.unscoped.get()
    assert kept.agent_id is None
    assert kept.agent_name == "Helper"


# --- lists ---


def test_the_list_is_document_001s(alice, api, make_agent):
    first, second = make_agent(alice, name="One"), make_agent(alice, name="Two")
    listed = api(alice).get(AGENTS).json()
    assert [agent["agent_id"] for agent in listed["agents"]] == [second.pk, first.pk]
    assert {key: listed[key] for key in ("total", "limit", "offset", "has_more")} == {
        "total": 2,
        "limit": 20,
        "offset": 0,
        "has_more": False,
    }


def test_the_list_is_filtered(alice, api, make_agent):
    make_agent(alice, name="Awake", type="sales")
    asleep = make_agent(alice, name="Asleep", status="inactive")
    listed = api(alice).get(AGENTS, {"status": "inactive"}).json()
    assert [agent["id"] for agent in listed["agents"]] == [asleep.pk]
    assert api(alice).get(AGENTS, {"type": "sales"}).json()["total"] == 1
    assert api(alice).get(AGENTS, {"search": "asl"}).json()["total"] == 1


@pytest.mark.parametrize(
    "query", [{"status": "sleeping"}, {"limit": "0"}, {"stauts": "active"}]
)
def test_a_faulty_filter_is_refused(query, alice, api):
    assert api(alice).get(AGENTS, query).status_code == 400


def test_a_list_costs_the_same_whatever_its_length(alice, api, make_agent, source):
    client = api(alice)
    make_agent(alice, source)
    client.get(AGENTS)
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(AGENTS)
    for _ in range(5):
        make_agent(alice, source)
    with CaptureQueriesContext(connection) as many:
        assert len(client.get(AGENTS).json()["agents"]) == 6
    assert len(many) == len(few)
    assert len([query for query in many if "agents_agent" in query["sql"]]) == 3


# --- who may ---


def test_another_companys_agent_is_not_there(alice, charlie, api, agent):
    client = api(charlie)
    url = f"{AGENTS}/{agent.pk}"
    assert client.get(AGENTS).json()["total"] == 0
    for method, path, body in [
        ("get", url, None),
        ("put", url, {"name": "Mine"}),
        ("patch", url, {"name": "Mine"}),
        ("delete", url, None),
        ("post", f"{url}/execute", {"input": "hi"}),
        ("get", f"{url}/executions", None),
        ("get", f"{url}/preview", None),
        ("post", f"{url}/preview/test", {"input": "hi"}),
    ]:
        answer = getattr(client, method)(path, body)
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] == "NOT_FOUND"
    agent.refresh_from_db()
    assert agent.name == "Helper"


def test_another_companys_data_source_cannot_be_attached(
    alice, charlie, api, make_source
):
    theirs = make_source(charlie)
    answer = api(alice).post(AGENTS, {"name": "A", "data_sources": [theirs.pk]})
    assert answer.status_code == 400
    assert theirs.pk in answer.json()["details"]["data_sources"]


def test_a_viewer_reads_but_neither_changes_nor_runs(vera, api, agent):
    client = api(vera)
    url = f"{AGENTS}/{agent.pk}"
    assert client.get(url).status_code == 200
    assert client.get(f"{url}/executions").status_code == 200
    for path in (AGENTS, f"{url}/execute", f"{url}/preview/test"):
        assert client.post(path, {"input": "hi", "name": "A"}).status_code == 403
    assert client.delete(url).status_code == 403


def test_a_member_may_do_all_of_it(bob, api, agent):
    client = api(bob)
    assert (
        client.post(f"{AGENTS}/{agent.pk}/execute", {"input": "hi"}).status_code == 200
    )
    assert client.patch(f"{AGENTS}/{agent.pk}", {"name": "B"}).status_code == 200


def test_a_key_that_may_only_read_cannot_run(alice, api, agent):
    assert (
        api(alice, "read")
        .post(f"{AGENTS}/{agent.pk}/execute", {"input": "hi"})
        .status_code
        == 403
    )


def test_without_a_key_there_is_nothing(db, api):
    assert api().get(AGENTS).status_code == 401


# --- news ---


def test_changes_are_published(alice, api, published):
    made = api(alice).post(AGENTS, {"name": "A"}).json()["agent"]
    url = f"{AGENTS}/{made['id']}"
    api(alice).patch(url, {"name": "B"})
    api(alice).post(f"{url}/execute", {"input": "hi"})
    api(alice).post(f"{url}/preview/test", {"input": "hi"})
    api(alice).delete(url)
    assert [event.type for event in published] == [
        "agent.created",
        "agent.updated",
        "agent.executed",
        "agent.deleted",
    ]
    assert {event.data["agent_id"] for event in published} == {made["id"]}
    assert {event.company_id for event in published} == {alice.company.pk}
    assert published[2].data["status"] == "completed"
    json.dumps([event.data for event in published])


# --- models ---


@pytest.mark.parametrize("base", ["/api/v1", "/v1"])
def test_models_are_public(base, db, api, settings):
    settings.OPENAI_API_KEY, settings.ANTHROPIC_API_KEY = "sk-x", ""
    answer = api().get(f"{base}/models")
    assert answer.status_code == 200
    body = answer.json()
    models = {model["id"]: model for model in body.get("models") or body["data"]}
    assert models["craftai-1"] == {
        "id": "craftai-1",
        "description": "General-purpose workflow engine",
        "provider": "craftai",
        "available": True,
        "throughput_rps": 2000,
        "price_per_call": 0.0004,
        "input_price_per_million": None,
        "output_price_per_million": None,
    }
    assert models["craftai-1-fast"]["price_per_call"] == 0.0007
    assert models["craftai-1-pro"]["throughput_rps"] == 1000
    assert models["gpt-4"]["available"] is True
    assert models["gpt-4"]["input_price_per_million"] == 30
    assert models["claude-opus-5-5"]["available"] is False


def test_one_model(db, api):
    assert api().get("/api/v1/models/gpt-4.1").json()["model"]["id"] == "gpt-4.1"
    assert api().get("/api/v1/models/gemini").status_code == 404
