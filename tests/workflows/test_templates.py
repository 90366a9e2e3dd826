"""The templates that come with the product: each is run on its sample, and on what else comes in."""

import json

import pytest

from workflows.engine.advice import advise
from workflows.engine.graph import compile_graph
from workflows.engine.journal import CATALOGUE
from workflows.engine.rehearsal import rehearse
from workflows.library import FOLDER, templates
from workflows.models import Workflow
from workflows.nodes import schemas
from workflows.services.library import create_from_template

EACH = pytest.mark.parametrize("template", templates().values(), ids=templates())


def run(template, input, **variables):
    filled = {**template.defaults, **variables}
    definition = {"nodes": template.nodes, "edges": template.edges, "variables": filled}
    return rehearse(
        compile_graph(definition, CATALOGUE),
        input=input,
        variables=filled,
        pins={},
        workflow={"id": "wf_example", "name": "Example", "version": 1},
        company_id=1,
        seconds=20,
    ).ending


def out(template_id, input, **variables):
    ending = run(templates()[template_id], input, **variables)
    assert ending.status == "completed", ending
    return ending.output


@EACH
def test_a_template_makes_of_its_sample_what_it_says(template):
    ending = run(template, template.sample["input"])
    assert ending.status == "completed", ending
    assert ending.output == template.sample["output"]


@EACH
def test_a_template_is_fit_to_be_read(template):
    assert template.description.endswith(".")
    assert template.provenance
    assert template.category
    assert template.tags
    for name, said in template.variables.items():
        assert set(said) == {"description", "default", "schema"}, name
        assert schemas.fault_of(said["schema"]) == ""
        assert schemas.faults(said["schema"], said["default"]) == []


@EACH
def test_a_template_gives_no_warning_but_of_handles(template):
    definition = {
        "nodes": template.nodes,
        "edges": template.edges,
        "variables": template.defaults,
    }
    found = list(advise(compile_graph(definition, CATALOGUE), definition))
    assert [said for said in found if "handle" not in said[1]] == []


def test_each_file_is_a_template():
    assert {path.stem for path in FOLDER.glob("*.json")} == set(templates())
    assert len(templates()) >= 10


def test_templates_take_what_else_comes_in():
    assert out("lead-scoring", {"email": "bo@gmail.com"})["grade"] == "cold"
    warm = {"email": "bo@shop.example", "country": "DE", "budget": 20_000}
    assert out("lead-scoring", warm)["grade"] == "hot"
    assert out("lead-scoring", warm, hot_from=90)["grade"] == "warm"
    chat = {"source": "chat", "user": {"email": "a@b.example"}, "messages": [{"text": "Hi"}]}  # fmt: skip
    assert out("webhook-ticket", chat)["priority"] == "normal"
    form = {"source": "form", "fields": {"email": "a@b.example", "message": "URGENT!"}}
    assert out("webhook-ticket", form)["priority"] == "urgent"
    assert run(templates()["webhook-ticket"], {"source": "fax"}).error["code"] == "unknown_source"  # fmt: skip
    asked = {"from": "a@b.example", "text": "Hello?", "received_at": "2027-03-01"}
    assert out("gdpr-request-triage", asked)["right"] == "unclear"
    one = "<rss><channel><title>T</title><item><title>Energy</title></item></channel></rss>"  # fmt: skip
    assert out("feed-digest", {"xml": one})["count"] == 1
    assert out("feed-digest", {"xml": "<rss><channel><title>T</title></channel></rss>"})["count"] == 0  # fmt: skip
    rejected = out("form-to-crm", {"name": "B", "email": "no"})
    assert rejected["accepted"] is False
    assert {fault["path"] for fault in rejected["faults"]} >= {"name", "email"}
    assert out("log-alerts", {"text": "all is well\n"})["has_alerts"] is False
    line = {"quantity": 1, "unit_price": 10, "total": 10}
    invoice = {"number": "1", "lines": [line], "net": 10, "tax": 2, "gross": 12}
    assert out("invoice-check", invoice)["decision"] == "approved"
    assert out("invoice-check", invoice, approve_up_to=11)["decision"] == "review"
    order = {"id": "1", "country": "FR", "items": [{"sku": "a", "quantity": 1, "price": 60}]}  # fmt: skip
    assert out("order-validation", order)["status"] == 422
    order["country"] = "DE"
    assert out("order-validation", order)["body"]["price"]["shipping"] == 0
    for faulty in ({}, {**order, "items": []}, "text"):
        answer = out("order-validation", faulty)
        assert (answer["status"], answer["body"]["accepted"]) == (422, False)
    assert out("price-changes", {"before": [], "now": []})["count"] == 0
    assert out("contract-renewals", {"today": "2027-01-01", "contracts": []})["count"] == 0  # fmt: skip
    assert out("survey-summary", {"answers": [{"score": 0}]})["score"] == -100


# --- Over the wire ---


def test_templates_are_listed_and_shown(api, vera):
    client = api(vera, "read")
    listed = client.get("/api/v1/workflows/templates").json()["templates"]
    assert [row["id"] for row in listed] == list(templates())
    assert "nodes" not in listed[0]
    shown = client.get("/v1/workflows/templates/lead-scoring").json()["data"]
    kept = json.loads((FOLDER / "lead-scoring.json").read_text())
    assert shown == {**kept, "id": "lead-scoring", "node_types": shown["node_types"]}
    assert shown["node_types"] == ["input", "output", "route", "transform"]
    assert client.get("/v1/workflows/templates/none").status_code == 404


def test_a_workflow_is_made_from_a_template(api, alice):
    client = api(alice)
    answer = client.post(
        "/api/v1/workflows/from-template",
        {
            "template_id": "lead-scoring",
            "name": "Our leads",
            "variables": {"hot_from": 90},
        },
    )
    assert answer.status_code == 201
    made = answer.json()["workflow"]
    assert (made["name"], made["status"], made["version"]) == ("Our leads", "draft", 1)
    assert (made["category"], made["public"]) == ("sales", False)
    assert made["variables"]["hot_from"] == 90
    assert made["variables"]["large_company"] == 200
    assert answer["Location"].endswith(f"/api/v1/workflows/{made['id']}")
    ran = client.post(
        f"/api/v1/workflows/{made['id']}/execute",
        {"input": {"email": "ada@engines.example", "country": "DE"}},
    ).json()
    assert (ran["status"], ran["output"]["score"]) == ("completed", 40)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"template_id": "none"}, "template_id"),
        ({}, "template_id"),
        ({"template_id": "lead-scoring", "variables": {"hot": 1}}, "variables.hot"),
        ({"template_id": "lead-scoring", "variables": {"hot_from": "x"}}, "variables.hot_from"),
        ({"template_id": "lead-scoring", "variables": []}, "variables"),
        ({"template_id": "lead-scoring", "title": "x"}, "title"),
    ],
)  # fmt: skip
def test_what_the_template_can_not_take_is_named(api, alice, body, field):
    answer = api(alice).post("/v1/workflows/from-template", body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["details"]
    assert not Workflow.unscoped.exists()


def test_every_template_can_be_made_and_published(api, alice):
    client = api(alice)
    for template_id in templates():
        made = create_from_template(
            company=alice.company, user=alice.user, template_id=template_id
        )
        answer = client.post(f"/v1/workflows/{made.pk}/publish", {})
        assert answer.json()["data"]["status"] == "published"
