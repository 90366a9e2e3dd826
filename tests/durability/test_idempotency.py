"""`Idempotency-Key` under fire: many at once from several processes, and processes that are killed half-way. Each acts once."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.durability.installation import ROOT

PROCESSES = 4
AT_ONCE = 10
IS_WHOLE = bool(os.environ.get("CRAFT_TEST_WHOLE"))
KEYS, ROUNDS = (100, 10) if IS_WHOLE else (10, 1)
"""CRAFT_TEST_WHOLE=1 makes it 100 keys × 10 at once × 10 rounds."""

CALLERS = (
    "import django; django.setup(); from tests.durability.callers import main; main()"
)


@pytest.fixture(scope="module")
def callers(installation) -> Iterator[Callable[..., Any]]:
    """`callers({"calls": …}, …)`: each in a process of its own, at the same time; of each its exit code and its answers."""
    with subprocess.Popen(
        [sys.executable, "-c", CALLERS],
        cwd=ROOT,
        env={**installation.env, "DJANGO_SETTINGS_MODULE": "craft.settings"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def order(*orders):
            bearer = {"bearer": installation._key}
            process.stdin.write(json.dumps([order | bearer for order in orders]) + "\n")
            process.stdin.flush()
            answered = json.loads(process.stdout.readline())
            assert {code for code, _ in answered} <= {0, -9}
            return answered

        yield order


def call_from_processes(callers, calls):
    """Each call ten times at once, from four processes."""
    shares = [
        AT_ONCE // PROCESSES + (number < AT_ONCE % PROCESSES)
        for number in range(PROCESSES)
    ]
    orders = [
        {"calls": [call for call in calls for _ in range(share)], "threads": share * 2}
        for share in shares
    ]
    return [answer for _, found in callers(*orders) for answer in found]


def count(installation, table, where="1 = 1"):
    statement = f"SELECT count(*) FROM {table} WHERE {where}"  # noqa: S608  # our own words
    ((number,),) = installation.rows(statement)
    return number


def test_many_at_once_act_once_for_each_key(installation, callers):
    table, path = "agents_agent", "/v1/agents"
    body = {"name": "Helper", "type": "support"}
    before = count(installation, table)
    for turn in range(ROUNDS):
        calls = [
            {"path": path, "body": body, "key": f"{table}-{turn}-{number}"}
            for number in range(KEYS)
        ]
        answers = call_from_processes(callers, calls)
        assert len(answers) == KEYS * AT_ONCE
        for call in calls:
            mine = [answer for answer in answers if answer["key"] == call["key"]]
            late = [answer for answer in mine if answer["status"] == 409]
            given = [answer for answer in mine if answer["status"] != 409]
            assert len({answer["body"] for answer in given}) == 1
            assert {answer["status"] for answer in given} == {201}
            assert len({answer["location"] for answer in given}) == 1
            assert [answer["replayed"] for answer in given].count(False) == 1
            assert len(late) < AT_ONCE
    assert count(installation, table) - before == KEYS * ROUNDS


def fields(answer):
    body = json.loads(base64.b64decode(answer["body"]))
    return body.get("data", body)


def killed_and_repeated(callers, moment, **call):
    assert callers({"calls": [call], "die": moment}) == [[-9, []]]
    ((_, (first, second)),) = callers({"calls": [call, call]})
    return first, second


MOMENTS = ["before the answer is kept", "before the answer is sent"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_agent_is_made_once_whenever_the_process_is_killed(
    installation, callers, moment
):
    before = count(installation, "agents_agent")
    first, second = killed_and_repeated(
        callers,
        moment,
        path="/v1/agents",
        body={"name": "Helper", "type": "support"},
        key=f"agent {moment}".replace(" ", "-"),
    )
    assert count(installation, "agents_agent") == before + 1
    assert first["status"] == second["status"] == 201
    assert first["body"] == second["body"]
    assert first["replayed"] is (moment == "before the answer is sent")
    assert second["replayed"]


def test_an_upload_makes_one_source_though_the_process_is_killed(installation, callers):
    before = count(installation, "datasources_datasource")
    first, second = killed_and_repeated(
        callers,
        "before the answer is kept",
        path="/v1/data-sources/upload",
        file="id,total\n1,2\n",
        key="upload",
    )
    assert count(installation, "datasources_datasource") == before + 1
    assert first["status"] == second["status"] == 201
    assert first["body"] == second["body"]
    assert first["location"] == second["location"]
    assert first["location"].endswith(fields(first)["id"])


def test_an_agent_is_asked_once_though_the_process_is_killed(installation, callers):
    made = call_once(callers, "/v1/agents", {"name": "A", "type": "x"})
    path = f"/v1/agents/{made['id']}/execute"
    first, second = killed_and_repeated(
        callers,
        "before the answer is kept",
        path=path,
        body={"input": "Hello"},
        key="ask",
    )
    where = f"agent_id = '{made['id']}'"
    assert count(installation, "agents_agentexecution", where) == 1
    assert first["status"] == second["status"] == 200
    assert first["body"] == second["body"]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_workflow_runs_once_though_the_process_is_killed(installation, callers, mode):
    body = {"name": "W", "nodes": [{"id": "a", "type": "input"}], "edges": []}
    made = call_once(callers, "/v1/workflows", body)
    first, second = killed_and_repeated(
        callers,
        "before the answer is kept",
        path=f"/v1/workflows/{made['id']}/execute",
        body={"input": {"a": 1}, "mode": mode},
        key=f"run-{mode}",
    )
    where = f"workflow_id = '{made['id']}'"
    assert count(installation, "workflows_execution", where) == 1
    assert first["status"] == second["status"] == (200 if mode == "sync" else 202)
    assert first["body"] == second["body"]


def call_once(callers, path, body):
    call = {"path": path, "body": body, "key": os.urandom(8).hex()}
    ((_, (answer,)),) = callers({"calls": [call]})
    assert answer["status"] == 201, answer
    return fields(answer)
