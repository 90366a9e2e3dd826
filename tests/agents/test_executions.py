from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from werkzeug import Response

from accounts.services.companies import create_outlet
from agents import services
from agents.models import Agent, AgentExecution
from craft.leases import this_process

AGENTS = "/api/v1/agents"


def execute(client, agent: Agent, text: str = "how many orders are pending", **more):
    return client.post(f"{AGENTS}/{agent.pk}/execute", {"input": text, **more})


def test_document_001s_execute(alice, api, agent, source):
    outlet = create_outlet(company=alice.company, name="Main Store")
    body = {"model": "craftai-1", "output_format": "json", "outlet_id": outlet.pk}
    answer = execute(api(alice), agent, "What are my recent orders?", **body)
    assert answer.status_code == 200
    result = answer.json()
    assert isinstance(result["response"], str)
    assert json.loads(result["response"]) == result["output"]
    assert result["execution_id"].startswith("exec_")
    assert result["tokens_used"] > 0
    assert result["data_sources_queried"] == [source.pk]
    assert isinstance(result["execution_time_ms"], int)
    assert len(result["output"]["rows"]) == 10
    assert result["output"]["rows"][0]["order_id"] == 1010
    kept = AgentExecution.unscoped.get(pk=result["execution_id"])
    assert kept.outlet_id == outlet.pk
    assert kept.status == "completed"
    assert kept.created_by_id == alice.user.pk
    assert kept.cost_micros == 400


def test_an_outlet_is_one_of_the_companys(alice, charlie, api, agent):
    theirs = create_outlet(company=charlie.company, name="Elsewhere").pk
    for outlet_id in (theirs, "outlet_123", 1, ["outlet_123"]):
        answer = execute(api(alice), agent, outlet_id=outlet_id)
        assert answer.status_code == 400
        assert set(answer.json()["details"]) == {"outlet_id"}
    for nothing in ("", None):
        answer = execute(api(alice), agent, outlet_id=nothing)
        assert answer.status_code == 200


def test_a_text_answer_has_no_output_beside_it(alice, api, agent):
    result = execute(api(alice), agent).json()
    assert "3 orders" in result["response"]
    assert result["output"] is None
    assert result["model"] == "craftai-1"
    (citation,) = result["citations"]
    assert citation["rows"] == [{"orders": 3}]


def test_at_v1_the_result_stands_in_data(alice, api, agent):
    answer = api(alice).post(
        f"/v1/agents/{agent.pk}/execute", {"input": "how many orders"}
    )
    assert "10" in answer.json()["data"]["response"]


def test_gpt_4_without_a_key_is_a_503_that_names_the_setting(
    alice, api, agent, settings
):
    settings.OPENAI_API_KEY = ""
    answer = execute(api(alice), agent, model="gpt-4")
    assert answer.status_code == 503
    assert answer.json()["code"] == "UNAVAILABLE"
    assert "OPENAI_API_KEY" in answer.json()["message"]
    kept = AgentExecution.unscoped.get(pk=answer.json()["details"]["execution_id"])
    assert kept.status == "failed"
    assert kept.error["code"] == "unavailable"


def test_an_agent_may_be_saved_with_a_model_that_cannot_run_yet(alice, api, make_agent):
    agent = make_agent(alice, configuration={"model": "claude-opus-5-5"})
    assert execute(api(alice), agent).status_code == 503


def test_the_agents_own_model_and_instructions_are_used(
    alice, api, openai, make_agent, source
):
    agent = make_agent(
        alice,
        source,
        configuration={"model": "gpt-5", "instructions": "Answer in Dutch."},
    )
    openai.says("Tien.")
    result = execute(api(alice), agent).json()
    assert result["response"] == "Tien."
    assert result["model"] == "gpt-5"
    assert result["tokens_used"] == 120
    assert "Answer in Dutch." in json.dumps(openai.requests[0]["messages"])


@pytest.mark.parametrize(
    ("status", "code", "word"),
    [
        (401, 502, "UPSTREAM_ERROR"),
        (429, 503, "UNAVAILABLE"),
        (500, 502, "UPSTREAM_ERROR"),
    ],
)
def test_a_providers_failure_is_told_and_recorded(
    status, code, word, alice, api, openai, agent
):
    openai.fails(status, **{"Retry-After": "7"})
    answer = execute(api(alice), agent, model="gpt-4")
    assert answer.status_code == code
    assert answer.json()["code"] == word
    assert "sk-" not in json.dumps(answer.json())
    assert answer.headers.get("Retry-After") == ("7" if status == 429 else None)
    kept = AgentExecution.unscoped.get()
    assert (kept.status, kept.error["message"]) == ("failed", answer.json()["message"])
    assert "sk-" not in json.dumps(kept.error)


def test_a_slow_model_is_a_504(alice, api, openai, make_agent, httpserver):
    agent = make_agent(alice, configuration={"model": "gpt-4", "timeout_seconds": 1})
    over = threading.Event()

    def wait(request):
        over.wait(5)
        return Response("{}")

    httpserver.clear()
    httpserver.expect_request("/v1/chat/completions").respond_with_handler(wait)
    try:
        answer = execute(api(alice), agent)
    finally:
        over.set()
    assert answer.status_code == 504
    assert answer.json()["code"] == "TIMEOUT"


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_the_row_stands_before_the_model_is_called_and_no_transaction_is_open(
    alice, api, openai, agent, httpserver
):
    seen = []

    def look(request):
        seen.extend(AgentExecution.unscoped.values_list("status", flat=True))
        connection.close()
        return Response(
            json.dumps(
                {
                    **openai._reply({"role": "assistant", "content": "Ten."}, "stop"),
                    "model": "gpt-4",
                }
            ),
            content_type="application/json",
        )

    httpserver.clear()
    httpserver.expect_request("/v1/chat/completions").respond_with_handler(look)
    assert execute(api(alice), agent, model="gpt-4").json()["response"] == "Ten."
    assert seen == ["running"]
    assert AgentExecution.unscoped.get().status == "completed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": "  "}, "input"),
        ({"input": None}, "input"),
        ({"input": ["a"]}, "input"),
        ({"input": {"a": 1}}, "input"),
        ({"input": "x" * 100_001}, "input"),
        ({"input": "hi", "output_format": "xml"}, "output_format"),
        ({"input": "hi", "model": "gemini-3"}, "model"),
        ({"input": "hi", "data_sources": ["ds_nowhere"]}, "data_sources"),
        ({"input": "hi", "temprature": 1}, "temprature"),
    ],
)
def test_a_faulty_call_is_refused_and_leaves_no_row(body, field, alice, api, agent):
    answer = api(alice).post(f"{AGENTS}/{agent.pk}/execute", body)
    assert answer.status_code == 400
    assert field in answer.json()["details"]
    assert not AgentExecution.unscoped.exists()


def test_the_longest_input_is_taken(alice, api, agent):
    assert execute(api(alice), agent, "x" * 100_000).status_code == 200


def test_an_inactive_agent_does_not_run_but_can_be_tried(alice, api, make_agent):
    agent = make_agent(alice, status="inactive")
    assert execute(api(alice), agent, "hi").status_code == 409
    assert (
        api(alice)
        .post(f"{AGENTS}/{agent.pk}/preview/test", {"input": "hi"})
        .status_code
        == 200
    )


def test_a_call_may_narrow_the_agents_sources_and_not_widen_them(
    alice, api, agent, source, make_agent, make_source
):
    other = make_source(alice, "parts", [{"part": "bolt", "stock": 3}])
    both = make_agent(alice, source, other)
    narrowed = execute(
        api(alice), both, "how many parts are there", data_sources=[other.pk]
    ).json()
    assert narrowed["data_sources_queried"] == [other.pk]
    answer = execute(
        api(alice), agent, "how many parts are there", data_sources=[other.pk]
    )
    assert answer.status_code == 400
    assert other.pk in answer.json()["details"]["data_sources"]


def test_an_agent_asks_no_source_but_its_own(alice, api, openai, agent, make_source):
    other = make_source(alice, "salaries", [{"name": "Ann", "salary": 1}])
    openai.calls("query_data", source_id=other.pk, sql="SELECT * FROM salaries")
    openai.says("I can't see that.")
    result = execute(api(alice), agent, model="gpt-4").json()
    assert result["citations"] == []
    assert "There is no data source" in json.dumps(openai.requests[1])


def test_an_agent_without_sources_says_so(alice, api, make_agent):
    assert (
        "no data sources" in execute(api(alice), make_agent(alice)).json()["response"]
    )


# --- history and previews ---


def test_the_history_is_document_001s(alice, api, agent):
    execute(api(alice), agent, "how many orders")
    execute(api(alice), agent, "hi")
    answer = api(alice).get(f"{AGENTS}/{agent.pk}/executions", {"limit": 1}).json()
    assert answer["total"] == 2
    assert answer["has_more"] is True
    (newest,) = answer["executions"]
    assert newest["input"] == "hi"
    assert newest["response"].startswith("Hello")
    assert newest["execution_id"] == newest["id"]
    assert newest["agent_id"] == agent.pk
    assert newest["cost"] == 0.0004
    assert newest["created_at"].endswith("Z")
    assert (
        api(alice)
        .get(f"{AGENTS}/{agent.pk}/executions", {"status": "failed"})
        .json()["total"]
        == 0
    )


def test_a_preview_answers_and_is_no_part_of_the_history(alice, api, agent):
    answer = api(alice).post(
        f"{AGENTS}/{agent.pk}/preview/test", {"input": "Test query"}
    )
    assert answer.status_code == 200
    assert answer.json()["preview"] is True
    assert isinstance(answer.json()["response"], str)
    assert api(alice).get(f"{AGENTS}/{agent.pk}/executions").json()["total"] == 0
    assert AgentExecution.unscoped.get().is_preview


def test_an_execution_names_the_version_that_ran(alice, api, agent):
    services.update_agent(agent, user=alice.user, configuration={"instructions": "New"})
    agent.refresh_from_db()
    execute(api(alice), agent, "hi")
    assert AgentExecution.unscoped.get().version == 2


# --- what nobody runs any more ---


def test_an_execution_whose_process_is_gone_is_failed_by_the_sweep(alice, agent):
    lost = make_running(alice, agent, until=timezone.now() - timedelta(seconds=1))
    fresh = make_running(alice, agent)
    assert services.fail_lost_executions() == 1
    lost.refresh_from_db()
    fresh.refresh_from_db()
    assert (lost.status, lost.error["code"], fresh.status) == (
        "failed",
        "worker_lost",
        "running",
    )
    assert services.fail_lost_executions() == 0


def test_whoever_comes_second_changes_nothing(alice, agent):
    execution = make_running(alice, agent)
    assert execution.finish("failed", error={"code": "worker_lost"})
    assert not execution.finish("completed", response="late")
    assert (execution.status, execution.response) == ("failed", "")


def test_while_it_runs_its_lease_is_held_and_then_let_go(
    alice, api, agent, monkeypatch
):
    seen = []
    run_turn = services.run_turn

    def watched(turn):
        (execution,) = AgentExecution.unscoped.all()
        seen.append((execution.lease_owner, set(services.held) == {execution.pk}))
        assert timezone.now() < execution.lease_expires_at
        assert services.fail_lost_executions() == 0
        return run_turn(turn)

    monkeypatch.setattr(services, "run_turn", watched)
    execute(api(alice), agent, "hi")
    assert seen == [(this_process(), True)]
    (execution,) = AgentExecution.unscoped.all()
    assert (execution.lease_owner, execution.lease_expires_at) == ("", None)
    assert not services.held


def test_of_a_process_that_is_gone_from_this_machine_nobody_waits_for_the_lease(
    alice, agent
):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = this_process().rpartition("/")[0].rpartition("/")[0]
    make_running(alice, agent, owner=f"{host}/{gone.pid}/abcd1234")
    assert services.fail_lost_executions() == 1


def test_an_answer_that_comes_too_late_is_a_failure(alice, api, agent, monkeypatch):
    run_turn = services.run_turn

    def slow(turn):
        found = run_turn(turn)
        past = timezone.now() - timedelta(seconds=1)
        AgentExecution.unscoped.update(lease_expires_at=past)
        assert services.fail_lost_executions() == 1
        return found

    monkeypatch.setattr(services, "run_turn", slow)
    answer = execute(api(alice), agent, "hi")
    assert answer.status_code == 502
    assert AgentExecution.unscoped.get().status == "failed"


def make_running(
    person, agent: Agent, *, until=None, owner="elsewhere/1/abcd"
) -> AgentExecution:
    return AgentExecution.objects.create(
        company=person.company,
        agent=agent,
        agent_name=agent.name,
        version=1,
        input="hi",
        model="craftai-1",
        status="running",
        lease_owner=owner,
        lease_expires_at=until or timezone.now() + timedelta(minutes=1),
    )
