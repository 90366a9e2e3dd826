"""Executions found again: by status, time, workflow, trigger, text, labels and duration, and counted without reading them."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from craft import rows
from tests.factories import make_workflow
from workflows.engine import journal
from workflows.models import Execution, ExecutionLabel

ECHO = {"nodes": [{"id": "start", "type": "input"}], "edges": []}


@pytest.fixture
def workflow(alice):
    return make_workflow(alice, **ECHO)


def add(workflow, **fields):
    """An execution that is over, as the engine would have left it."""
    ended = timezone.now()
    took = timedelta(milliseconds=fields.pop("took_ms", 5))
    made = Execution(
        **{
            "company_id": workflow.company_id,
            "workflow": workflow,
            "version": workflow.version,
            "status": "completed",
            "started_at": ended - took,
            "completed_at": ended,
            "trigger": {"type": "api"},
            **fields,
        }
    )
    journal.insert([made])
    return made


def found(client, query, path="/v1/executions"):
    answer = client.get(f"{path}?{query}")
    assert answer.status_code == 200, answer.content
    body = answer.json()
    return {row["id"] for row in body["data"]}, body["meta"]["total"]


def only(client, query, execution):
    return found(client, query) == ({execution.pk}, 1)


def test_by_text_in_input_output_and_error(api, alice, workflow):
    client = api(alice)
    add(workflow, input={"a": 1})
    first = add(workflow, input={"name": "Grün & Söhne"})
    second = add(workflow, output=['said "yes" twice'])
    third = add(workflow, status="failed", error={"code": "x", "message": "Timed out", "node_id": None})  # fmt: skip
    assert only(client, "text=Söhne", first)
    assert only(client, "text=%22yes%22", second)
    assert only(client, "text=timed+OUT", third)
    assert found(client, "text=nowhere") == (set(), 0)
    assert client.get("/v1/executions?text=a").status_code == 400


def test_a_text_is_no_pattern(api, alice, workflow):
    add(workflow, input="plain")
    assert found(api(alice), "text=%25%25") == (set(), 0)
    assert found(api(alice), "text=pl_in") == (set(), 0)


def test_by_trigger_and_duration(api, alice, workflow):
    client = api(alice)
    quick = add(workflow, took_ms=5)
    slow = add(workflow, took_ms=70_000, trigger={"type": "cron"})
    add(workflow, status="running", completed_at=None)
    assert only(client, "trigger=cron", slow)
    assert only(client, "min_duration_ms=60000", slow)
    assert only(client, "max_duration_ms=60000", quick)
    assert found(client, "min_duration_ms=6&max_duration_ms=60000") == (set(), 0)
    assert client.get("/v1/executions?min_duration_ms=x").status_code == 400


def test_by_time(api, alice, workflow):
    client = api(alice)
    here = add(workflow)
    moment = here.created_at.isoformat().replace("+00:00", "Z")
    later = (here.created_at + timedelta(seconds=1)).isoformat().replace("+00:00", "Z")
    assert only(client, f"from={moment}&to={moment}", here)
    assert found(client, f"from={later}") == (set(), 0)
    assert only(client, "from=0001-01-01T00:00:00Z", here)


def test_what_has_no_index_is_looked_for_among_the_newest(
    api, alice, workflow, monkeypatch
):
    monkeypatch.setattr("workflows.filters.MOST_SCANNED", 3)
    old = add(workflow, input="needle", labels={"customer": "42"})
    for n in range(3):
        add(workflow, input=n)
    client = api(alice)
    assert found(client, "text=needle") == (set(), 0)
    assert only(client, "text=needle&label=customer:42", old)


def test_totals_are_counted_no_further_than_said(api, alice, workflow, monkeypatch):
    monkeypatch.setattr("workflows.views.executions.MOST_COUNTED", 2)
    for n in range(4):
        add(workflow, input=n)
    client = api(alice)
    assert found(client, "limit=1&status=completed")[1] == 2
    assert found(client, "limit=1")[1] == 4
    path = f"/v1/workflows/{workflow.pk}/executions"
    assert found(client, "limit=1", path)[1] == 4
    assert found(client, "limit=1&status=completed", path)[1] == 2


def test_each_search_costs_the_same_few_queries(api, alice, workflow):
    client = api(alice)
    for n in range(5):
        add(workflow, input=n, labels={"customer": str(n)})
    client.get("/v1/executions")

    def cost(query):
        with CaptureQueriesContext(connection) as queries:
            found(client, query)
        return len(queries)

    plain = cost("status=completed")
    assert cost("label=customer:1&label=customer:2") == plain
    assert cost("from=2020-01-01T00:00:00Z") == plain
    assert cost("text=needle&trigger=api&min_duration_ms=1") == plain + 1


def test_labels_are_found_by_their_index(api, alice, workflow):
    with CaptureQueriesContext(connection) as queries:
        found(api(alice), "label=customer:42")
    (sql,) = [query["sql"] for query in queries if "executionlabel" in query["sql"].lower() and "COUNT" in query["sql"]]  # fmt: skip
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN " + ("QUERY PLAN " if connection.vendor == "sqlite" else "")
        cursor.execute(explain + sql)
        plan = str(cursor.fetchall())
    assert "executions_with_label" in plan


# --- Labels ---


def labelled(client, execution, labels):
    path = f"/v1/executions/{execution.pk}"
    return client.patch(path, {"labels": labels}, format="json")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_labels_come_with_the_start(api, alice, workflow, mode):
    client = api(alice)
    body = {"mode": mode, "labels": {"customer": "42", "run": "nightly"}}
    started = client.post(f"/v1/workflows/{workflow.pk}/execute", body, format="json")
    pk = started.json()["data"]["id"]
    shown = client.get(f"/v1/executions/{pk}").json()["data"]
    assert shown["labels"] == {"customer": "42", "run": "nightly"}
    assert found(client, "label=customer:42&label=run:nightly") == ({pk}, 1)
    assert found(client, "label=customer:42&label=run:daily") == (set(), 0)


def test_labels_are_changed_key_by_key(api, alice, workflow):
    client = api(alice)
    execution = add(workflow, labels={"customer": "42", "run": "nightly"})
    answer = labelled(client, execution, {"customer": "43", "run": None, "who": "me"})
    assert answer.status_code == 200
    assert answer.json()["data"]["labels"] == {"customer": "43", "who": "me"}
    assert only(client, "label=customer:43", execution)
    assert found(client, "label=customer:42") == (set(), 0)
    assert ExecutionLabel.unscoped.count() == 2


def test_a_faulty_label_is_named(api, alice, workflow):
    execution = add(workflow)
    answer = labelled(api(alice), execution, {"a b": "x", "n": 1, "ok": "y", "e": ""})
    assert answer.status_code == 400
    assert set(answer.json()["error"]["details"]) == {"labels.a b", "labels.n", "labels.e"}  # fmt: skip
    many = labelled(api(alice), execution, {f"k{n}": "x" for n in range(21)})
    assert set(many.json()["error"]["details"]) == {"labels"}
    assert not ExecutionLabel.unscoped.exists()
    assert api(alice).get("/v1/executions?label=nonsense").status_code == 400


def test_another_companys_labels_find_nothing(api, alice, charlie, workflow):
    add(workflow, labels={"customer": "42"})
    assert found(api(charlie), "label=customer:42") == (set(), 0)


def test_executions_without_labels_write_none(alice, workflow, monkeypatch):
    written = []
    monkeypatch.setattr(rows, "insert", lambda rows: written.extend(rows))
    with CaptureQueriesContext(connection) as queries:
        add(workflow)
    assert len(written) == 1
    assert not any("label" in query["sql"].lower() for query in queries)
