"""What fires, and how often: missed times, overlaps, clocks that jump, schedulers that race, and more to catch up on than one pass can hold."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from craft.encoding import utc_text
from craft.leases import Status
from tests.at_once import at_once
from tests.factories import make_workflow
from workflows.engine import journal
from workflows.models import Execution, Firing, Schedule
from workflows.services import schedules
from workflows.services.schedules import CHUNK, MOST_WAITING, fire_due_schedules
from workflows.services.workflows import update_workflow

STEPS = [{"type": "transform"}]


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(text):
    return time_machine.travel(utc(text), tick=False)


def make(person, made_at="2026-03-01T10:01", **options):
    trigger = {"type": "cron", "schedule": "*/5 * * * *", **options}
    with at(made_at):
        return make_workflow(person, steps=STEPS, trigger=trigger)


def tick(text):
    with at(text):
        return fire_due_schedules()


def fired():
    """The due times of all executions, in the order in which they began."""
    rows = Execution.unscoped.order_by("pk").values_list("input", flat=True)
    return [row["scheduled_at"][11:16] for row in rows]


def end(execution=None):
    """As the engine does it, for the last that began."""
    execution = execution or Execution.unscoped.latest("pk")
    assert journal.end_unclaimed(execution, status=Status.FAILED)


# --- Missed times ---


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [("skip", ["10:20"]), ("last", ["10:20"]), ("all", ["10:05", "10:10", "10:15", "10:20"])],
)  # fmt: skip
def test_after_a_standstill_a_due_time_that_is_on_time_fires_in_any_case(
    alice, misfire, expected
):
    make(alice, misfire=misfire)
    tick("2026-03-01T10:20:03")
    assert fired() == expected
    assert tick("2026-03-01T10:24:59") == 0
    assert tick("2026-03-01T10:25:00") == 1


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [("skip", []), ("last", ["10:20"]), ("all", ["10:05", "10:10", "10:15", "10:20"])],
)
def test_what_was_missed_by_more_than_a_minute_is_made_up_for_as_the_rule_says(
    alice, misfire, expected
):
    make(alice, misfire=misfire)
    tick("2026-03-01T10:23:00")
    assert fired() == expected
    tick("2026-03-01T10:25:00")
    assert fired() == [*expected, "10:25"]


@pytest.mark.parametrize(
    ("misfire", "expected"), [("last", []), ("all", ["13:45", "13:50"])]
)
def test_what_is_older_than_the_window_is_let_go(alice, misfire, expected):
    window = {"last": 60, "all": 600}[misfire]
    make(alice, misfire=misfire, catch_up_seconds=window)
    tick("2026-03-01T13:54:00")
    assert fired() == expected


def test_a_hundred_thousand_missed_times_freeze_nobody(alice, monkeypatch):
    many = make(
        alice, "2026-01-01T00:00:30", schedule="* * * * *", misfire="all", timezone="Europe/Berlin"
    )  # fmt: skip
    one = make(alice, "2026-03-11T10:01", schedule="30 10 * * *")
    monkeypatch.setattr(schedules, "PASS_SECONDS", 0)  # one schedule in each pass
    after = "2026-03-11T18:40"  # 100,000 minutes later
    assert tick(after) == CHUNK
    left = many.schedule
    left.refresh_from_db()
    assert left.next_at == utc("2026-01-01T00:01") + timedelta(minutes=CHUNK)
    # It waits behind the other, which is due since long before this pass.
    assert tick(after) == 1
    assert one.executions.count() == 1
    assert tick(after) == CHUNK
    begun = many.executions.order_by("pk").values_list("input", flat=True)
    due_times = [row["scheduled_at"] for row in begun]
    assert due_times == sorted(set(due_times))
    assert len(due_times) == 2 * CHUNK
    # The last of them, and from there on as ever.
    Schedule.objects.filter(pk=left.pk).update(next_at=utc("2026-03-11T18:38"))
    assert tick(after) == 3
    left.refresh_from_db()
    assert left.next_at == utc("2026-03-11T18:41")


def test_with_all_of_it_let_go_a_long_standstill_costs_nothing(alice):
    make(alice, "2016-01-01T00:00:30", schedule="* * * * *", misfire="last")
    assert tick("2026-01-01T00:00") == 1
    assert Execution.unscoped.get().input == {"scheduled_at": "2026-01-01T00:00:00Z"}


# --- Overlaps ---


def test_allowed_to_overlap_each_begins_on_time(alice):
    make(alice)
    for minute in ("05", "10", "15"):
        assert tick(f"2026-03-01T10:{minute}") == 1


def test_a_due_time_gives_way_while_the_one_before_runs(alice):
    workflow = make(alice, overlap="skip")
    assert tick("2026-03-01T10:05") == 1
    assert tick("2026-03-01T10:10") == 0
    end()
    assert tick("2026-03-01T10:15") == 1
    assert fired() == ["10:05", "10:15"]
    assert Schedule.objects.get(workflow=workflow).skipped_count == 1


def test_a_due_time_ends_the_one_before(alice):
    make(alice, overlap="cancel")
    tick("2026-03-01T10:05")
    tick("2026-03-01T10:10")
    first, second = Execution.unscoped.order_by("pk")
    assert (first.status, second.status) == (Status.CANCELLED, Status.PENDING)


def test_a_due_time_waits_for_the_one_before_and_is_not_lost(alice):
    workflow = make(alice, overlap="queue")
    for minute in ("05", "10", "15", "20"):
        tick(f"2026-03-01T10:{minute}")
    assert fired() == ["10:05"]
    assert Firing.objects.count() == 3
    end()
    assert tick("2026-03-01T10:21") == 1
    assert tick("2026-03-01T10:22") == 0
    end()
    update_workflow(workflow, user=None, name="Renamed")
    # Hours late by now, and still not missed: it was there in time.
    tick("2026-03-01T10:24")
    end()
    with at("2026-03-01T10:24"):
        assert fire_due_schedules() == 1
    assert fired() == ["10:05", "10:10", "10:15", "10:20"]
    assert not Firing.objects.exists()


def test_while_nothing_can_begin_the_queue_costs_a_look_and_no_write(
    alice, django_assert_max_num_queries
):
    make(alice, overlap="queue")
    tick("2026-03-01T10:05")
    tick("2026-03-01T10:10")
    with django_assert_max_num_queries(3) as seen:
        tick("2026-03-01T10:11")
    assert all("SELECT" in query["sql"] for query in seen)


def test_the_queue_is_bounded_and_goes_on_when_there_is_room(alice):
    workflow = make(alice, overlap="queue", misfire="all", schedule="* * * * *")
    for _ in range(4):
        tick("2026-03-03T10:00")
    schedule = Schedule.objects.get(workflow=workflow)
    assert Firing.objects.count() == MOST_WAITING
    assert schedule.fires_at > utc("2026-03-03T10:00")  # it does not spin
    left = schedule.next_at
    end()
    tick("2026-03-03T10:01")
    assert Firing.objects.count() == MOST_WAITING
    schedule.refresh_from_db()
    assert schedule.next_at == left + timedelta(minutes=1)


# --- Bounds, jitter, pauses ---


def test_it_begins_and_ends_when_it_is_told_to(alice):
    workflow = make(
        alice, start_at="2026-03-01T11:00:00+00:00", end_at="2026-03-01T11:05:00Z"
    )
    assert tick("2026-03-01T10:55") == 0
    assert tick("2026-03-01T11:00") == 1
    assert tick("2026-03-01T11:05") == 1
    schedule = Schedule.objects.get(workflow=workflow)
    assert (schedule.next_at, schedule.fires_at) == (None, None)
    assert tick("2026-03-01T11:10") == 0


def test_jitter_delays_the_firing_and_not_its_due_time(alice):
    workflow = make(alice, jitter_seconds=200)
    fires_at = Schedule.objects.get(workflow=workflow).fires_at
    assert utc("2026-03-01T10:05") < fires_at < utc("2026-03-01T10:09")
    assert tick("2026-03-01T10:05") == 0
    with time_machine.travel(fires_at, tick=False):
        assert fire_due_schedules() == 1
    assert fired() == ["10:05"]


def test_an_interval_fires_by_itself_too(alice):
    trigger = {"type": "schedule", "every": "20m"}
    with at("2026-03-01T10:01"):
        make_workflow(alice, steps=STEPS, trigger=trigger)
    tick("2026-03-01T10:20")
    tick("2026-03-01T10:40")
    assert fired() == ["10:20", "10:40"]
    execution = Execution.unscoped.latest("pk")
    told = {"type": "schedule", "scheduled_at": "2026-03-01T10:40:00Z"}
    assert execution.trigger == told


def test_other_rules_leave_the_due_time_and_another_pattern_does_not(alice):
    workflow = make(alice)
    with at("2026-03-01T10:07"):  # 10:05 is due, and not dealt with yet
        for changed, due in (
            ({"overlap": "skip", "misfire": "all"}, "2026-03-01T10:05"),
            ({"schedule": "*/20 * * * *"}, "2026-03-01T10:20"),
        ):
            trigger = {"type": "cron", "schedule": "*/5 * * * *", **changed}
            update_workflow(workflow, user=None, trigger=trigger)
            assert Schedule.objects.get().next_at == utc(due)


# --- Clocks that jump ---


@pytest.mark.parametrize("misfire", ["skip", "last", "all"])
@pytest.mark.parametrize("ahead", ["10:09", "23:59"])
def test_a_clock_that_jumps_ahead_and_back_doubles_and_drops_nothing(
    alice, misfire, ahead
):
    make(alice, misfire=misfire)
    tick("2026-03-01T10:05")
    tick(f"2026-03-01T{ahead}")
    for minute in range(6, 41):
        tick(f"2026-03-01T10:{minute:02}")
    of_this_time = [due for due in fired() if due <= "10:40"]
    assert sorted(of_this_time) == [f"10:{m:02}" for m in range(5, 41, 5)]
    assert len(set(fired())) == len(fired())


@pytest.mark.parametrize("overlap", ["allow", "skip", "queue", "cancel"])
def test_an_execution_does_not_give_way_to_itself_when_the_clock_jumps_back(
    alice, overlap
):
    workflow = make(alice, overlap=overlap)
    for moment in ("10:05", "10:04", "10:05"):
        tick(f"2026-03-01T{moment}")
    execution = Execution.unscoped.get()
    assert execution.status == Status.PENDING
    assert not Firing.objects.exists()
    assert Schedule.objects.get(workflow=workflow).skipped_count == 0


def test_a_clock_that_jumps_back_fires_nothing_twice(alice):
    make(alice)
    for minute in ("05", "10", "15", "05", "10", "15", "20"):
        tick(f"2026-03-01T10:{minute}")
    assert fired() == ["10:05", "10:10", "10:15", "10:20"]


def test_a_schedule_that_was_made_while_the_clock_was_ahead_fires_afterwards(alice):
    make(alice, "2027-01-01T00:00")
    tick("2026-03-01T10:04:50")
    tick("2026-03-01T10:05")
    assert fired() == ["10:05"]


# --- Schedulers that race ---


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_schedulers_in_two_processes_fire_each_due_time_once(alice):
    now = timezone.now().replace(second=0, microsecond=0)
    workflows = []
    for _ in range(6):
        trigger = {"type": "cron", "schedule": "* * * * *", "misfire": "all"}
        workflows.append(make_workflow(alice, steps=STEPS, trigger=trigger))
    begin = now - timedelta(minutes=40)
    Schedule.objects.update(next_at=begin, fires_at=begin)
    assert at_once(fire_due_schedules, fire_due_schedules) == ["done", "done"]
    fire_due_schedules()  # what was locked by the one when the other looked
    for workflow in workflows:
        begun = [row.input["scheduled_at"] for row in workflow.executions.all()]
        expected = [begin + timedelta(minutes=n) for n in range(41)]
        assert sorted(begun)[:41] == [utc_text(due) for due in expected]
        assert len(begun) == len(set(begun))
        workflow.refresh_from_db()
        assert workflow.usage_count == len(begun)


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_two_schedulers_as_threads_release_a_queue_one_by_one(alice):
    workflow = make(alice, overlap="queue")
    for minute in ("05", "10", "15"):
        tick(f"2026-03-01T10:{minute}")
    end()
    gate = threading.Barrier(2)

    def race():
        gate.wait()
        try:
            fire_due_schedules()
        finally:
            connection.close()

    with at("2026-03-01T10:16"):
        racers = [threading.Thread(target=race) for _ in range(2)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        fire_due_schedules()
    assert fired() == ["10:05", "10:10"]
    assert Firing.objects.filter(schedule__workflow=workflow).count() == 1


@pytest.mark.django_db(transaction=True, serialized_rollback=True)
def test_whoever_changes_a_workflow_while_it_fires_waits_for_nobody(alice):
    workflow = make_workflow(
        alice, steps=STEPS, trigger={"type": "cron", "schedule": "* * * * *"}
    )

    def change():
        for number in range(10):
            update_workflow(workflow, user=None, name=f"Name {number}")

    def fire():
        for _ in range(10):
            due = timezone.now().replace(second=0, microsecond=0)
            Schedule.objects.update(next_at=due, fires_at=due)
            fire_due_schedules()

    assert at_once(change, fire) == ["done", "done"]


def test_a_faulty_schedule_holds_no_other_up(alice):
    broken, sound = make(alice), make(alice)
    Schedule.objects.filter(workflow=broken).update(cron="no pattern")
    assert tick("2026-03-01T10:05") == 1
    assert sound.executions.count() == 1
    assert Schedule.objects.get(workflow=broken).fires_at > utc("2026-03-01T10:05")
