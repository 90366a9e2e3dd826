"""Many inputs in one call."""

import pytest

from tests.factories import make_workflow
from tests.workflows.test_executions import CHAIN, LATER, drain
from workflows.models import Execution, Step
from workflows.services import batches, executions


def fast(person):
    step = {"type": "transform", "model": "craftai-1-fast"}
    return make_workflow(
        person,
        steps=[
            {**step, "config": {"set": {"twice": "{{ input.n * 2 }}"}}},
            {**step, "config": {"expression": "{{ 12 // input.twice }}"}},
        ],
    )


def post(client, workflow, inputs, **headers):
    return client.post(
        f"/v1/workflows/{workflow.pk}/execute/batch",
        {"inputs": inputs},
        format="json",
        **headers,
    )


def test_a_batch_of_pure_nodes_is_over_with_the_answer(alice, api):
    workflow = make_workflow(alice, **CHAIN)
    answer = post(api(alice), workflow, [{"n": n} for n in range(5)])
    assert answer.status_code == 200
    told = answer.json()["data"]
    assert [each["output"] for each in told["executions"]] == [0, 2, 4, 6, 8]
    assert (told["total"], told["completed"], told["failed"]) == (5, 5, 0)
    rows = Execution.objects.for_company(alice.company)
    assert {each.status for each in rows} == {"completed"}
    assert Step.objects.filter(execution__in=rows).count() == 15
    workflow.refresh_from_db()
    assert (workflow.usage_count, workflow.ended_count) == (5, 5)


def test_one_that_fails_takes_no_other_with_it(alice, api):
    answer = post(api(alice), fast(alice), [{"n": 1}, {"n": 0}, {}])
    statuses = [each["status"] for each in answer.json()["data"]["executions"]]
    assert statuses == ["completed", "failed", "failed"]


def test_what_waits_is_queued_and_carried_on(alice, api):
    answer = post(api(alice), make_workflow(alice, **LATER), [1, 2])
    assert answer.status_code == 202
    assert {each["status"] for each in answer.json()["data"]["executions"]} == {
        "pending"
    }
    assert executions.run_due() == 2


def test_the_fast_tier_keeps_the_result_and_a_summary_but_no_steps(alice):
    workflow = fast(alice)
    made = batches.start_batch(
        workflow=workflow, company=alice.company, user=alice.user, inputs=[{"n": 2}, {}]
    )
    completed, failed = made
    assert (completed.output, completed.usage) == (3, {"steps": 2})
    assert not completed.steps.exists()
    assert failed.steps.filter(status="failed").exists()  # to see why
    one = executions.start_execution(
        workflow=workflow, company=alice.company, user=None, input={"n": 1}, trigger={}
    )
    drain()
    one.refresh_from_db()
    assert (one.output, one.usage, one.steps.count()) == (6, {"steps": 2}, 0)


def test_the_same_key_gives_the_same_executions(alice, api):
    workflow = make_workflow(alice, **CHAIN)
    key = {"HTTP_IDEMPOTENCY_KEY": "batch-1"}
    client = api(alice)
    first = post(client, workflow, [{"n": 1}, {"n": 2}], **key)
    assert post(client, workflow, [{"n": 1}, {"n": 2}], **key).json() == first.json()
    assert post(client, workflow, [{"n": 3}], **key).status_code == 409
    assert Execution.objects.for_company(alice.company).count() == 2


def test_a_batch_that_was_broken_off_is_made_whole_by_a_repeat(alice):
    asked = {
        "workflow": make_workflow(alice, **CHAIN),
        "company": alice.company,
        "user": None,
        "idempotency_key": "request:1",
    }
    half = batches.start_batch(inputs=[{"n": 1}], **asked)
    whole = batches.start_batch(inputs=[{"n": 1}, {"n": 2}], **asked)
    assert [each.output for each in whole] == [2, 4]
    assert whole[0].pk == half[0].pk


@pytest.mark.parametrize("inputs", [[], [0] * 1_001, "no list", None])
def test_bad_batches_are_refused(alice, api, inputs):
    answer = post(api(alice), make_workflow(alice, **CHAIN), inputs)
    assert answer.status_code == 400
    assert "inputs" in next(iter(answer.json()["error"]["details"]))


def test_another_companys_workflow_takes_no_batch(alice, charlie, api):
    assert post(api(charlie), make_workflow(alice, **CHAIN), [1]).status_code == 404
