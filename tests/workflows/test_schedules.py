"""Cron pipelines fire by themselves, once for each due time."""

from datetime import UTC, datetime

import time_machine

from tests.factories import make_workflow
from workflows.models import Execution, Schedule
from workflows.services.schedules import fire_due_schedules
from workflows.services.workflows import update_workflow

STEPS = [{"type": "transform"}]


def at(text):
    return time_machine.travel(
        datetime.fromisoformat(text).replace(tzinfo=UTC), tick=False
    )


def cron(schedule="*/5 * * * *", zone="UTC"):
    return {"type": "cron", "schedule": schedule, "timezone": zone}


def fired():
    return [row.input["scheduled_at"] for row in Execution.unscoped.order_by("id")]


def test_a_cron_pipeline_fires_when_due_and_not_before(alice):
    with at("2026-03-01T10:01:00"):
        make_workflow(alice, steps=STEPS, trigger=cron())
    with at("2026-03-01T10:04:59"):
        assert fire_due_schedules() == 0
    with at("2026-03-01T10:05:00"):
        assert fire_due_schedules() == 1
        assert fire_due_schedules() == 0
    assert fired() == ["2026-03-01T10:05:00Z"]
    execution = Execution.unscoped.get()
    assert execution.trigger == {"type": "cron", "scheduled_at": "2026-03-01T10:05:00Z"}
    assert execution.idempotency_key.startswith("schedule:wf_")


def test_a_word_alone_means_daily_at_midnight(alice):
    with at("2026-03-01T10:00:00"):
        workflow = make_workflow(alice, steps=STEPS, trigger="cron")
    assert workflow.schedule.next_at == datetime(2026, 3, 2, tzinfo=UTC)


def test_after_a_standstill_it_fires_once_for_the_latest_time(alice):
    with at("2026-03-01T10:01:00"):
        make_workflow(alice, steps=STEPS, trigger=cron())
    with at("2026-03-01T14:02:00"):
        fire_due_schedules()
        assert fire_due_schedules() == 0
    assert fired() == ["2026-03-01T14:00:00Z"]
    assert Schedule.objects.get().next_at == datetime(2026, 3, 1, 14, 5, tzinfo=UTC)


def test_a_second_scheduler_can_not_double_a_firing(alice):
    with at("2026-03-01T10:01:00"):
        make_workflow(alice, steps=STEPS, trigger=cron())
    with at("2026-03-01T10:05:00"):
        fire_due_schedules()
        # As one that had read the row before the first committed.
        due = datetime(2026, 3, 1, 10, 5, tzinfo=UTC)
        Schedule.objects.update(next_at=due, fires_at=due)
        fire_due_schedules()
    assert fired() == ["2026-03-01T10:05:00Z"]


def test_a_graph_fires_only_while_published(alice):
    with at("2026-03-01T10:00:00"):
        workflow = make_workflow(alice, status="draft", trigger=cron())
        assert not Schedule.objects.exists()
        workflow = update_workflow(workflow, user=alice.user, status="published")
        assert Schedule.objects.get().workflow == workflow
        update_workflow(workflow, user=alice.user, status="draft")
        assert not Schedule.objects.exists()


def test_a_changed_trigger_changes_the_schedule(alice):
    with at("2026-03-01T10:00:00"):
        workflow = make_workflow(alice, steps=STEPS, trigger=cron())
        workflow = update_workflow(
            workflow, user=alice.user, trigger=cron("0 12 * * *")
        )
        assert Schedule.objects.get().next_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
        update_workflow(workflow, user=alice.user, trigger="webhook")
        assert not Schedule.objects.exists()


def test_an_unrelated_change_leaves_the_due_time(alice):
    with at("2026-03-01T10:01:00"):
        workflow = make_workflow(alice, steps=STEPS, trigger=cron())
    with at("2026-03-01T10:07:00"):  # due since 10:05, not fired yet
        update_workflow(workflow, user=alice.user, name="Renamed")
        assert Schedule.objects.get().next_at == datetime(2026, 3, 1, 10, 5, tzinfo=UTC)
