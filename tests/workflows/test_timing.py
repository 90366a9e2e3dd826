"""When schedules are due, reckoned without rows: patterns, intervals, the odd days of the year, jitter."""

import json
import re
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from django.conf import settings

from workflows.services.timing import (
    Timing,
    TimingError,
    check_cron,
    check_timezone,
    read_every,
)
from workflows.services.triggers import check_trigger

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local_times(timing, after, count):
    zone = ZoneInfo(timing.timezone)
    found = islice(timing.after(utc(after)), count)
    return [due.astimezone(zone).isoformat()[:16] for due in found]


def offsets(timing, after, count):
    """The hours by which the local clock differs from UTC at each due time."""
    zone = ZoneInfo(timing.timezone)
    return [
        due.astimezone(zone).utcoffset() // timedelta(hours=1)
        for due in islice(timing.after(utc(after)), count)
    ]


def test_a_schedule_keeps_to_its_time_zone():
    at_nine = Timing(cron="0 9 * * *", timezone=BERLIN)
    assert at_nine.next_after(utc("2026-07-01T00:00")).hour == 7
    assert at_nine.next_after(utc("2026-01-01T00:00")).hour == 8


SPRING = [
    # Two o'clock becomes three: what is in between is due when the clock lands.
    (BERLIN, "30 2 * * *", "2026-03-28T12:00", ["2026-03-29T03:00", "2026-03-30T02:30"]),
    (BERLIN, "0,30 2,3 * * *", "2026-03-28T23:00", ["2026-03-29T03:00", "2026-03-29T03:30", "2026-03-30T02:00"]),
    (BERLIN, "*/30 * * * *", "2026-03-29T00:20", ["2026-03-29T01:30", "2026-03-29T03:00", "2026-03-29T03:30"]),
    (NEW_YORK, "30 2 * * *", "2026-03-07T12:00", ["2026-03-08T03:00", "2026-03-09T02:30"]),
    (NEW_YORK, "15 * * * *", "2026-03-08T06:00", ["2026-03-08T01:15", "2026-03-08T03:15"]),
]  # fmt: skip
AUTUMN = [
    # Three o'clock becomes two: fixed hours come once, the first time; patterns at each instant.
    (BERLIN, "30 2 * * *", "2026-10-24T12:00", ["2026-10-25T02:30", "2026-10-26T02:30"], [2, 1]),
    (BERLIN, "*/30 * * * *", "2026-10-24T23:50", ["2026-10-25T02:00", "2026-10-25T02:30"] * 2, [2, 2, 1, 1]),
    (BERLIN, "30 * * * *", "2026-10-25T00:00", ["2026-10-25T02:30"] * 2, [2, 1]),
    (NEW_YORK, "30 1 * * *", "2026-10-31T12:00", ["2026-11-01T01:30", "2026-11-02T01:30"], [-4, -5]),
    (NEW_YORK, "*/30 1 * * *", "2026-10-31T12:00", ["2026-11-01T01:00", "2026-11-01T01:30"] * 2, [-4, -4, -5, -5]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "cron", "after", "expected"), SPRING)
def test_in_spring_a_time_that_does_not_come_is_due_once(zone, cron, after, expected):
    timing = Timing(cron=cron, timezone=zone)
    assert local_times(timing, after, len(expected)) == expected


@pytest.mark.parametrize(("zone", "cron", "after", "expected", "hours"), AUTUMN)
def test_in_autumn_fixed_times_are_due_once_and_patterns_at_each_instant(
    zone, cron, after, expected, hours
):
    timing = Timing(cron=cron, timezone=zone)
    assert local_times(timing, after, len(expected)) == expected
    assert offsets(timing, after, len(hours)) == hours


def test_asked_within_the_hour_that_comes_twice_nothing_is_due_that_has_been():
    timing = Timing(cron="45 2 * * *", timezone=BERLIN)
    # 02:30 for the second time: 02:45 was due an hour ago.
    assert timing.next_after(utc("2026-10-25T01:30")) == utc("2026-10-26T01:45")


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, "Australia/Lord_Howe", "UTC"])
@pytest.mark.parametrize(
    "cron", ["*/7 * * * *", "30 2 * * *", "0 */3 * * MON-FRI", "15 1-4 * * *"]
)
def test_due_times_only_ever_go_forward_and_hang_on_nobodys_asking(zone, cron):
    """From wherever one begins, the same times come: what a restart finds is what would have been."""
    timing = Timing(cron=cron, timezone=zone)
    for day in ("2026-03-07T20:00", "2026-03-28T20:00", "2026-10-24T20:00", "2026-10-31T20:00"):  # fmt: skip
        whole = list(islice(timing.after(utc(day)), 60))
        assert all(one < other for one, other in pairwise(whole))
        for one, other in pairwise(whole):
            assert timing.next_after(one) == other
            assert timing.next_after(one + (other - one) / 2) == other
            assert timing.latest(whole[0] - timedelta(days=900), other) == other


@pytest.mark.parametrize(
    ("name", "cron"),
    [("@hourly", "0 * * * *"), ("@daily", "0 0 * * *"), ("@weekly", "0 0 * * 0"), ("@monthly", "0 0 1 * *"), ("@yearly", "0 0 1 1 *")],
)  # fmt: skip
def test_names_stand_for_patterns(name, cron):
    after = utc("2026-05-05T05:05")
    check_cron(name, "UTC")
    assert Timing(cron=name).next_after(after) == Timing(cron=cron).next_after(after)


@pytest.mark.parametrize(
    "cron",
    ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@often", "@reboot", "0 0 L/2 * 5#1/2", "٣ * * * *", "*/0 * * * *", "5-1 * * * *", "0 0 * * FUNDAY", " ".join(["1," * 60 + "1"] * 5)],
)  # fmt: skip
def test_what_is_no_pattern_or_never_comes_true_is_refused(cron):
    with pytest.raises(TimingError):
        check_cron(cron, BERLIN)


@pytest.mark.parametrize(
    "name", ["", "Mars/Base", "../etc/passwd", "/etc/passwd", "a\0b", "Europe"]
)
def test_what_is_no_time_zone_is_refused(name):
    with pytest.raises(TimingError):
        check_timezone(name)


def test_intervals_are_counted_from_their_start_or_from_1970():
    plain = Timing(every_seconds=900)
    assert plain.next_after(utc("2026-01-01T10:07:30")) == utc("2026-01-01T10:15")
    assert plain.next_after(utc("2026-01-01T10:15")) == utc("2026-01-01T10:30")
    begun = Timing(every_seconds=900, start_at=utc("2026-01-01T10:05"))
    assert begun.next_after(utc("2025-01-01T00:00")) == utc("2026-01-01T10:05")
    assert begun.next_after(utc("2026-01-01T10:05")) == utc("2026-01-01T10:20")


def test_nothing_is_due_before_the_start_or_after_the_end():
    timing = Timing(
        cron="0 12 * * *",
        start_at=utc("2026-01-02T12:00"),
        end_at=utc("2026-01-03T12:00"),
    )
    assert list(timing.after(utc("2020-01-01T00:00"))) == [
        utc("2026-01-02T12:00"),
        utc("2026-01-03T12:00"),
    ]


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("30s", 30), ("15m", 900), ("2h", 7200), ("1d", 86_400), (10, 10), (" 5m ", 300)],
)
def test_an_interval_is_a_number_and_a_unit(said, seconds):
    assert read_every(said) == seconds


@pytest.mark.parametrize(
    "said", ["", "0m", "9s", 9, 0, -60, True, 1.5, None, "1w", "1h30m", "367d", "m", [5]]
)  # fmt: skip
def test_what_is_no_interval_is_refused(said):
    with pytest.raises(TimingError):
        read_every(said)


def test_jitter_is_the_same_whenever_it_is_reckoned_and_never_overtakes():
    timing = Timing(cron="*/5 * * * *", jitter_seconds=3600)
    due_times = list(islice(timing.after(utc("2026-01-01T00:00")), 200))
    moments = [timing.moment_of(due, "wf_1") for due in due_times]
    assert moments == [timing.moment_of(due, "wf_1") for due in due_times]
    delays = [
        (moment - due).total_seconds()
        for moment, due in zip(moments, due_times, strict=True)
    ]
    assert min(delays) >= 0
    assert max(delays) < 270
    assert len(set(delays)) > 100
    assert moments == sorted(moments)
    assert moments != [timing.moment_of(due, "wf_2") for due in due_times]


def test_every_trigger_in_the_manual_can_be_read():
    page = (settings.BASE_DIR / "docs/triggers.md").read_text(encoding="utf-8")
    shown = [
        json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    ]
    assert len(shown) > 8
    for trigger in shown:
        assert check_trigger(trigger) == {}, trigger
