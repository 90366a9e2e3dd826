"""When a schedule is due: plain reckoning with calendars, without rows.

Times are instants in UTC, to the second. A cron pattern is read in its time zone; what happens on the two odd days of a year is Debian cron's rule:

- A pattern of fixed hours and minutes means the wall clock: a time that the clock leaps over is due when it lands, one that comes twice is due the first time.
- A pattern whose hour or minute begins with `*` means passing time: it is due at each instant that fits, also in the hour that comes twice.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

SECOND = timedelta(seconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAILY = "0 0 * * *"
NAMED = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": DAILY,
    "@midnight": DAILY,
    "@hourly": "0 * * * *",
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LENGTH = re.compile(r"([1-9][0-9]{0,8})([smhd])")
SHORTEST_SECONDS = 10
LONGEST_SECONDS = 366 * 86_400
JITTER_SHARE = 0.9
"""Of the time to the next due time: jitter never lets one overtake another."""


class TimingError(ValueError):
    """Tells the customer what can't be read."""


@dataclass(frozen=True)
class Timing:
    """Either `cron` or `every_seconds`. Every n is counted from `start_at`, or else from the beginning of 1970 in UTC."""

    cron: str = ""
    every_seconds: int = 0
    timezone: str = "UTC"
    start_at: datetime | None = None
    end_at: datetime | None = None
    jitter_seconds: int = 0

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The due times after this moment, one by one."""
        if self.start_at is not None:
            moment = max(moment, self.start_at - SECOND)
        due_times = self._by_cron(moment) if self.cron else self._by_interval(moment)
        for due in due_times:
            if self.end_at is not None and due > self.end_at:
                return
            # Where the clock is set, cron's reckoning may come upon an instant twice, or on one that has passed.
            if due > moment:
                moment = due
                yield due

    def next_after(self, moment: datetime) -> datetime | None:
        return next(self.after(moment), None)

    def latest(self, after: datetime, until: datetime) -> datetime | None:
        """The last due time in between, found from the end: the years before cost nothing."""
        reach = timedelta(minutes=1)
        while True:
            begin = max(after, until - reach)
            found = None
            for due in self.after(begin):
                if due > until:
                    break
                found = due
            if found is not None or begin == after:
                return found
            reach *= 4

    def between(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """The first of the due times in between."""
        found = []
        for due in islice(self.after(after), most):
            if due > until:
                break
            found.append(due)
        return found

    def moment_of(self, due: datetime, salt: str) -> datetime:
        """When a due time fires: its jitter is the same whoever reckons it, and whenever."""
        if not self.jitter_seconds:
            return due
        room = float(self.jitter_seconds)
        following = self.next_after(due)
        if following is not None:
            room = min(room, (following - due).total_seconds() * JITTER_SHARE)
        digest = hashlib.sha256(f"{salt}:{due.isoformat()}".encode()).digest()
        share = int.from_bytes(digest[:4], "big") / 2**32
        return due + timedelta(seconds=int(share * room))

    def _by_cron(self, moment: datetime) -> Iterator[datetime]:
        local = moment.astimezone(ZoneInfo(self.timezone))
        for due in CronSim(NAMED.get(self.cron, self.cron), local):
            yield due.astimezone(UTC)

    def _by_interval(self, moment: datetime) -> Iterator[datetime]:
        anchor = self.start_at or EPOCH
        passed = (moment - anchor).total_seconds()
        number = max(0, math.floor(passed / self.every_seconds) + 1)
        while True:
            yield anchor + timedelta(seconds=number * self.every_seconds)
            number += 1


def check_cron(text: str, timezone: str) -> None:
    """Raises TimingError."""
    pattern = NAMED.get(text, text)
    sentence = "Must be five cron fields, such as */5 * * * *, or @daily, that come true some day."
    if len(pattern.split()) != 5 or len(pattern) > 100:
        raise TimingError(sentence)
    try:
        # Whether it comes true does not hang on when one asks.
        found = Timing(cron=pattern, timezone=timezone).next_after(EPOCH)
    except CronSimError:
        found = None
    if found is None:
        raise TimingError(sentence)


def check_timezone(name: str) -> None:
    """Raises TimingError."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TimingError("Must be a name such as Europe/Berlin.") from None


def read_every(said: object) -> int:
    """`15m`, `2h`, `30s`, `1d`, or a number of seconds. Raises TimingError."""
    seconds = 0
    if isinstance(said, int) and not isinstance(said, bool):
        seconds = said
    elif isinstance(said, str) and (found := LENGTH.fullmatch(said.strip())):
        seconds = int(found[1]) * UNITS[found[2]]
    if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
        raise TimingError(
            f"Must be a number and a unit, such as 30s, 15m, 2h or 1d, from {SHORTEST_SECONDS} seconds to {LONGEST_SECONDS // 86_400} days."
        )
    return seconds
