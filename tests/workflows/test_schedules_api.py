"""Schedules as people see and steer them: the next times, pauses, ranges that are made up for, faults by their field, and the console."""

import json
from datetime import UTC, datetime

import pytest
import time_machine
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import AuditEntry
from craft.leases import Status
from tests.factories import make_key, make_workflow
from workflows.engine import journal
from workflows.models import Execution, Firing, Schedule
from workflows.services.schedules import fire_due_schedules
from workflows.services.workflows import update_workflow

GRAPH = {"nodes": [{"id": "start", "type": "input", "config": {}}], "edges": []}


def at(text):
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return time_machine.travel(moment, tick=False)


def tick(text):
    with at(text):
        return fire_due_schedules()


def make(person, made_at="2026-03-01T10:01", **options):
    trigger = {"type": "schedule", **({} if "every" in options else {"cron": "0 * * * *"}), **options}  # fmt: skip
    with at(made_at):
        return make_workflow(person, **GRAPH, trigger=trigger)


@pytest.fixture
def call(alice):
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice)}")

    def send(method, workflow, path="", body=None, now="2026-03-01T10:02"):
        with at(now):
            return getattr(client, method)(
                f"/v1/workflows/{workflow.pk}/schedule{path}", body, format="json"
            )

    return send


def fired():
    rows = Execution.unscoped.order_by("pk").values_list("input", flat=True)
    return [row["scheduled_at"][11:16] for row in rows]


def told(person):
    """The latest entry of the audit log: what happened, and what became of each field."""
    entry = AuditEntry.objects.for_company(person.company).latest("pk")
    return entry.type, json.loads(entry.details)["changes"]


def test_the_next_five_times_are_shown_in_both_clocks(alice, call):
    workflow = make(
        alice, "2026-10-23T00:00", cron="30 2 * * *", timezone="Europe/Berlin"
    )
    answer = call("get", workflow, now="2026-10-23T12:00")
    assert answer.status_code == 200
    shown = answer.json()["data"]
    assert shown["next_times"][:3] == [
        {"at": "2026-10-24T00:30:00Z", "local": "2026-10-24T02:30:00+02:00"},
        {"at": "2026-10-25T00:30:00Z", "local": "2026-10-25T02:30:00+02:00"},
        {"at": "2026-10-26T01:30:00Z", "local": "2026-10-26T02:30:00+01:00"},
    ]
    assert len(shown["next_times"]) == 5
    assert (shown["status"], shown["overlap"], shown["misfire"]) == ("active", "allow", "last")  # fmt: skip
    assert shown["workflow_id"] == workflow.pk


def test_at_the_other_base_path_it_has_a_name(alice):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice)}")
    workflow = make(alice, every="1d")
    body = client.get(f"/api/v1/workflows/{workflow.pk}/schedule").json()
    assert body["schedule"]["every_seconds"] == 86_400


def test_a_draft_tells_when_it_would_fire(alice, call):
    workflow = make(alice)
    update_workflow(workflow, user=None, status="draft")
    shown = call("get", workflow).json()["data"]
    assert (shown["status"], shown["next_times"][0]["at"]) == ("draft", "2026-03-01T11:00:00Z")  # fmt: skip
    for verb in ("/pause", "/resume"):
        assert call("post", workflow, verb).status_code == 409


def test_one_that_has_ended_says_so(alice, call):
    workflow = make(alice, end_at="2026-03-01T11:00:00Z")
    shown = call("get", workflow, now="2026-03-01T12:00").json()["data"]
    assert (shown["status"], shown["next_times"]) == ("ended", [])


def test_a_workflow_that_fires_by_nothing_has_no_schedule(alice, call):
    workflow = make_workflow(alice, **GRAPH, trigger="webhook")
    assert call("get", workflow).status_code == 404
    assert call("post", workflow, "/pause").status_code == 404


def test_paused_nothing_fires_and_resumed_it_goes_on_from_there(alice, call):
    workflow = make(alice, misfire="all")
    paused = call("post", workflow, "/pause").json()["data"]
    assert (paused["status"], paused["paused_by"]) == ("paused", alice.user.pk)
    assert paused["paused_at"] == "2026-03-01T10:02:00Z"
    assert told(alice) == ("workflow.schedule_paused", {"paused": [False, True]})
    again = call("post", workflow, "/pause", now="2026-03-01T10:30").json()["data"]
    assert again["paused_at"] == paused["paused_at"]
    assert tick("2026-03-01T14:00") == 0
    update_workflow(workflow, user=None, name="Renamed")
    assert tick("2026-03-01T14:00") == 0
    resumed = call("post", workflow, "/resume", now="2026-03-01T14:30").json()["data"]
    assert (resumed["status"], resumed["paused_at"]) == ("active", None)
    assert told(alice) == ("workflow.schedule_resumed", {"paused": [True, False]})
    assert tick("2026-03-01T14:31") == 0
    assert tick("2026-03-01T15:00") == 1
    assert fired() == ["15:00"]


def test_a_pause_holds_what_waits(alice, call):
    workflow = make(alice, overlap="queue")
    tick("2026-03-01T11:00")
    tick("2026-03-01T12:00")
    call("post", workflow, "/pause", now="2026-03-01T12:01")
    journal.end_unclaimed(Execution.unscoped.get(), status=Status.FAILED)
    assert tick("2026-03-01T12:02") == 0
    call("post", workflow, "/resume", now="2026-03-01T12:03")
    assert tick("2026-03-01T12:04") == 1
    assert fired() == ["11:00", "12:00"]


def backfill(call, workflow, begin, end, **more):
    body = {"from": f"2026-03-01T{begin}:00Z", "to": f"2026-03-01T{end}:00Z", **more}
    return call("post", workflow, "/backfill", body, now="2026-03-01T20:00")


def test_a_range_is_made_up_for_all_at_once_but_for_what_fired(alice, call):
    workflow = make(alice)
    tick("2026-03-01T11:00")
    answer = backfill(call, workflow, "09:00", "12:00", overlap="allow")
    assert answer.status_code == 202
    assert answer.json()["data"] == {"due": 4, "started": 3, "queued": 0}
    assert sorted(fired()) == ["09:00", "10:00", "11:00", "12:00"]
    assert Execution.unscoped.latest("pk").trigger["backfill"] is True
    kind, changes = told(alice)
    assert kind == "workflow.schedule_backfilled"
    assert changes["backfill"][1]["from"] == "2026-03-01T09:00:00Z"
    again = backfill(call, workflow, "09:00", "12:00", overlap="allow")
    assert again.json()["data"] == {"due": 4, "started": 0, "queued": 0}


def test_a_range_is_made_up_for_one_by_one(alice, call):
    workflow = make(alice)
    answer = backfill(call, workflow, "08:00", "10:00")
    assert answer.json()["data"] == {"due": 3, "started": 1, "queued": 2}
    again = backfill(call, workflow, "08:00", "10:00")
    assert again.json()["data"] == {"due": 3, "started": 0, "queued": 0}
    shown = call("get", workflow).json()["data"]
    assert shown["waiting_count"] == 2
    for _ in range(3):
        journal.end_unclaimed(Execution.unscoped.latest("pk"), status=Status.FAILED)
        tick("2026-03-01T10:03")
    assert fired() == ["08:00", "09:00", "10:00"]
    assert not Firing.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "from"),
        ({"from": "2026-03-01T10:00:00Z"}, "to"),
        ({"from": "2026-03-01T10:00:00Z", "to": "2026-03-01T09:00:00Z"}, "to"),
        ({"from": "2026-03-01T10:00:00Z", "to": "2026-04-01T09:00:00Z"}, "to"),
        ({"from": "2025-01-01T10:00:00Z", "to": "2026-03-01T09:00:00Z"}, "to"),
        ({"from": "2026-03-01T08:00:00Z", "to": "2026-03-01T09:00:00Z", "overlap": "skip"}, "overlap"),
        ({"from": "2026-03-01T08:00:00Z", "to": "2026-03-01T09:00:00Z", "x": 1}, "x"),
    ],
)  # fmt: skip
def test_a_range_that_is_none_or_too_large_is_refused(alice, call, body, field):
    answer = call("post", make(alice), "/backfill", body)
    assert answer.status_code == 400
    assert field in answer.json()["error"]["details"]
    assert not Execution.unscoped.exists()


FAULTS = [
    ({"type": "schedule"}, "trigger.cron"),
    ({"type": "schedule", "cron": "* * * * *", "every": "5m"}, "trigger.cron"),
    ({"type": "schedule", "cron": "nope"}, "trigger.cron"),
    ({"type": "schedule", "cron": 5}, "trigger.cron"),
    ({"type": "schedule", "every": "1s"}, "trigger.every"),
    ({"type": "cron", "every": "5m"}, "trigger.every"),
    ({"type": "cron", "schedule": "* * * * * *"}, "trigger.schedule"),
    ({"type": "cron", "timezone": "Mars"}, "trigger.timezone"),
    ({"type": "cron", "misfire": "some"}, "trigger.misfire"),
    ({"type": "cron", "overlap": 1}, "trigger.overlap"),
    ({"type": "cron", "jitter_seconds": -1}, "trigger.jitter_seconds"),
    ({"type": "cron", "jitter_seconds": True}, "trigger.jitter_seconds"),
    ({"type": "cron", "catch_up_seconds": 1}, "trigger.catch_up_seconds"),
    ({"type": "cron", "start_at": "tomorrow"}, "trigger.start_at"),
    ({"type": "cron", "start_at": "2026-01-01T00:00:00"}, "trigger.start_at"),
    ({"type": "cron", "start_at": "2026-13-01T00:00:00Z"}, "trigger.start_at"),
    ({"type": "cron", "start_at": "2026-02-01T00:00:00Z", "end_at": "2026-01-01T00:00:00Z"}, "trigger.end_at"),
    ({"type": "cron", "auth": "open"}, "trigger.auth"),
    ({"type": "sunrise"}, "trigger"),
    ({}, "trigger"),
    ("schedule", "trigger"),
    (5, "trigger"),
    ([], "trigger"),
]  # fmt: skip


@pytest.mark.parametrize(("trigger", "field"), FAULTS)
def test_a_faulty_schedule_is_refused_by_its_field(alice, trigger, field):
    client = APIClient(raise_request_exception=False)
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice)}")
    body = {"name": "x", **GRAPH, "trigger": trigger}
    answer = client.post("/v1/workflows", body, format="json")
    assert answer.status_code == 400, answer.content
    assert list(answer.json()["error"]["details"]) == [field]


def test_all_its_faults_come_at_once(alice):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {make_key(alice)}")
    trigger = {"type": "cron", "schedule": "x", "overlap": "x", "colour": "green"}
    body = {"name": "x", **GRAPH, "trigger": trigger}
    details = client.post("/v1/workflows", body, format="json").json()["error"]["details"]  # fmt: skip
    assert set(details) == {"trigger.schedule", "trigger.overlap", "trigger.colour"}


def test_the_rule_is_kept_as_it_was_said(alice):
    trigger = {
        "type": "schedule",
        "every": "15m",
        "start_at": "2026-03-01T12:00:30.5+02:00",
        "misfire": "all",
        "catch_up_seconds": 3600,
        "overlap": "queue",
        "jitter_seconds": 0,
    }
    with at("2026-03-01T00:00"):
        workflow = make_workflow(alice, **GRAPH, trigger=trigger)
    workflow.refresh_from_db()
    assert workflow.trigger == trigger
    schedule = Schedule.objects.get(workflow=workflow)
    assert (schedule.every_seconds, schedule.misfire, schedule.catch_up_seconds, schedule.overlap) == (900, "all", 3600, "queue")  # fmt: skip
    assert schedule.next_at == datetime(2026, 3, 1, 10, 0, 30, tzinfo=UTC)


def test_the_console_shows_the_rule_and_the_next_times(alice, client):
    alice.user.is_staff = alice.user.is_superuser = True
    alice.user.save()
    client.force_login(alice.user)
    workflow = make(
        alice, "2026-10-23T00:00", cron="30 2 * * *", timezone="Europe/Berlin"
    )
    daily = make(alice, "2026-10-23T00:00", every="1d", overlap="queue")
    Schedule.objects.filter(workflow=daily).update(
        paused_at=datetime(2026, 10, 23, tzinfo=UTC), paused_by=alice.user
    )

    def page(of):
        with at("2026-10-23T12:00"):
            address = reverse("admin:workflows_workflow_change", args=[of.pk])
            return client.get(address).content.decode()

    for said in ("30 2 * * *", "Europe/Berlin", "2026-10-26T02:30:00+01:00", "last"):
        assert said in page(workflow)
    for said in ("Paused", "queue", "every", alice.user.pk):
        assert said in page(daily)
    opened = make_workflow(alice, **GRAPH, trigger={"type": "webhook", "auth": "open"})
    assert "open to everybody" in page(opened)
