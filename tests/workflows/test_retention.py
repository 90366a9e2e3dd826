"""Executions that are old enough go, with their steps; nothing else does, and the count of them stays."""

from datetime import timedelta

import pytest
from django.utils import timezone

from craft.fields import lowest_id
from tests.factories import make_workflow
from tests.workflows.test_executions import CHAIN
from workflows.engine import journal
from workflows.models import Execution, ExecutionLabel, Step
from workflows.services import retention
from workflows.services.retention import forget_old_executions

KEPT_A_WEEK = {"retention": {"days": 7}}


@pytest.fixture
def add(alice):
    """An execution of so many days ago."""
    made = iter(range(1_000))

    def add(workflow, *, days, status="completed", ended_days=None):
        begun = timezone.now() - timedelta(days=days)
        ended = timezone.now() - timedelta(days=days if ended_days is None else ended_days)  # fmt: skip
        execution = Execution(
            pk=f"{lowest_id('exec', begun)[:-3]}{next(made):03}",
            company=alice.company,
            workflow=workflow,
            version=workflow.version,
            status=status,
            trigger={"type": "api"},
            created_at=begun,
            started_at=begun,
            completed_at=ended if status in ("completed", "failed") else None,
            labels={"of": "old"},
        )
        journal.insert([execution])
        Step.objects.create(execution=execution, node_id="a", position=0, type="input", status="completed", started_at=begun)  # fmt: skip
        return execution

    return add


def left():
    return set(Execution.unscoped.values_list("pk", flat=True))


def test_what_ended_long_enough_ago_goes_with_all_that_is_its(api, alice, add):
    workflow = make_workflow(alice, settings=KEPT_A_WEEK, **CHAIN)
    add(workflow, days=30)
    add(workflow, days=8, status="failed")
    young = add(workflow, days=6)
    assert forget_old_executions() == 2
    assert left() == {young.pk}
    assert Step.objects.count() == ExecutionLabel.unscoped.count() == 1
    workflow.refresh_from_db()
    assert (workflow.usage_count, workflow.removed_count) == (3, 2)
    for path in ("/v1/executions", f"/v1/workflows/{workflow.pk}/executions"):
        assert api(alice).get(path).json()["meta"]["total"] == 1


def test_what_is_under_way_or_ended_lately_stays_however_old(alice, add):
    workflow = make_workflow(alice, settings=KEPT_A_WEEK, **CHAIN)
    for status in ("pending", "running", "waiting"):
        add(workflow, days=400, status=status)
    add(workflow, days=400, ended_days=1)
    assert forget_old_executions() == 0
    assert len(left()) == 4


def test_a_workflow_that_says_nothing_follows_the_installation(alice, add, settings):
    silent = make_workflow(alice, **CHAIN)
    own = make_workflow(alice, settings={"retention": {"days": 100}}, **CHAIN)
    gone, stays = add(silent, days=40), add(own, days=40)
    assert forget_old_executions() == 0
    settings.EXECUTION_RETENTION_DAYS = 30
    assert forget_old_executions() == 1
    assert left() == {stays.pk}
    assert gone.pk not in left()


def test_chunks_are_small_and_time_is_bounded(alice, add, monkeypatch):
    workflow = make_workflow(alice, settings=KEPT_A_WEEK, **CHAIN)
    for _ in range(5):
        add(workflow, days=9)
    monkeypatch.setattr(retention, "CHUNK", 2)
    monkeypatch.setattr(retention, "SECONDS", 0.0)
    assert forget_old_executions() == 0
    monkeypatch.setattr(retention, "SECONDS", 50.0)
    assert forget_old_executions() == 5
    workflow.refresh_from_db()
    assert workflow.removed_count == 5


def test_who_goes_on_from_one_that_went_stays(alice, add):
    workflow = make_workflow(alice, settings=KEPT_A_WEEK, **CHAIN)
    old, new = add(workflow, days=9), add(workflow, days=1)
    Execution.unscoped.filter(pk=new.pk).update(rerun_of=old, parent=old)
    assert forget_old_executions() == 1
    new.refresh_from_db()
    assert (new.rerun_of_id, new.parent_id) == (None, None)
