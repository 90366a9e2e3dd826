"""Work that is a row: claimed under a lease, renewed while its process lives, found again when it does not.

A worker claims due rows, which raises each row's `lease_epoch`; every later write says which epoch it holds, so a worker that slept through its lease
finds its writes refused. Losing every message costs seconds, never work: `recover` puts rows whose lease ran out back in the queue, and whoever looks
next claims them.

A row that was lost three times without getting anywhere is given up; where a process went together with the one that started it, that does not count. Since
all rows of a process are lost with it, the guilty one has to be told from its neighbours: an app lets few of those that were lost once share a process, and
runs one that was lost twice alone (`Isolation`), until it gets somewhere. So a poisonous row is given up alone, and few have to wait for their turn.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from operator import attrgetter
from pathlib import Path
from threading import Condition, Event, Thread
from typing import Any, TypeVar

from django.db import connection, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from craft import rows

logger = logging.getLogger("craft.leases")

LEASE = timedelta(seconds=15)
RENEW_SECONDS = 5.0
MAX_LOST = 3
"""After this many processes lost under a row it is given up."""
ONCE_LOST, TWICE_LOST = 1, 2
MOST_SPARED = 20
"""After so many claims a row's losses count, however they came about."""


class Status(models.TextChoices):
    """The six states of any row that is work."""

    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL


QUEUED = (Status.PENDING, Status.WAITING)
TERMINAL = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class LeasedModel(models.Model):
    """The fields of a row that is work. `attempts` counts claims since the row last got somewhere: in the queue, how often it was lost."""

    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.PENDING
    )
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    next_attempt_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_owner = models.CharField(
        max_length=120, blank=True, default="", editable=False
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_epoch = models.PositiveIntegerField(default=0, editable=False)
    last_error = models.TextField(blank=True, default="", editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def begin_here(self, now: datetime) -> None:
        """As `claim` leaves a row, of one that this process begins before it is stored."""
        self.status, self.started_at, self.next_attempt_at = Status.RUNNING, now, None
        self.lease_owner, self.lease_expires_at = this_process(), now + LEASE
        self.lease_epoch = self.attempts = 1


def lease_indexes(name: str) -> list[models.Index]:
    """One partial index for each question that the queue is asked."""
    return [
        models.Index(
            fields=["attempts", "next_attempt_at"],
            name=f"{name}_due",
            condition=Q(status__in=["pending", "waiting"]),
        ),
        models.Index(
            fields=["lease_expires_at"],
            name=f"{name}_leased",
            condition=Q(status="running"),
        ),
    ]


L = TypeVar("L", bound=LeasedModel)


def this_process() -> str:
    """Names this process: where its pid means something, its parent's pid and its own, and a word that no later process with the same pid shares."""
    return _process_name(os.getpid())


@cache
def _process_name(pid: int) -> str:
    return f"{_host()}/{os.getppid()}/{pid}/{secrets.token_hex(4)}"


@cache
def _host() -> str:
    """Host, boot and process namespace: two machines of one name, cloned or in two networks, must not judge each other's pids."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    boot_id = boot.read_text().strip() if boot.exists() else ""
    inode = namespace.stat().st_ino if namespace.exists() else 0
    return f"{socket.gethostname()[:40]}/{boot_id}/{inode}"


def _rows(model: type[L]) -> models.QuerySet[L]:
    # A company's table's default manager is `unscoped`: the queue serves all companies.
    found: models.QuerySet[L] = model._default_manager.all()
    return found


def due(
    model: type[L], *, lost: Collection[int] = range(MAX_LOST)
) -> models.QuerySet[L]:
    """Rows whose time has come, of those that were lost so often."""
    return _rows(model).filter(
        status__in=QUEUED, attempts__in=list(lost), next_attempt_at__lte=Now()
    )


def claim(model: type[L], *, limit: int, lost: int = 0) -> list[L]:
    """Take up to `limit` due rows that were lost so often. Nobody else has them until their lease runs out."""
    if limit <= 0:
        return []
    if connection.vendor == "postgresql":
        return _claim(model, lost, limit)
    if not due(model, lost=[lost]).exists():
        return []  # before a transaction is begun: an idle worker takes no write lock on SQLite
    with transaction.atomic():
        return _claim(model, lost, limit)


def _claim(model: type[L], lost: int, limit: int) -> list[L]:
    with connection.cursor() as cursor:
        cursor.execute(
            _claiming(model, connection.vendor), [this_process(), lost, limit]
        )
        claimed = rows.objects(model, cursor.fetchall())
    return sorted(claimed, key=attrgetter("next_attempt_at"))


@cache
def _claiming(model: type[LeasedModel], vendor: str) -> str:
    """Looks for due rows, takes them and reads them, in one. What it looks for is said as in `due`."""
    if vendor == "postgresql":
        now, until = "STATEMENT_TIMESTAMP()", f"INTERVAL '{LEASE.seconds} seconds'"
        until = f"{now} + {until}"
        these, skip = "= ANY(ARRAY({}))", " FOR UPDATE SKIP LOCKED"
    else:
        form = "STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'now'{})"
        now, until = form.format(""), form.format(f", '+{LEASE.seconds} seconds'")
        these, skip = "IN ({})", ""
    table = connection.ops.quote_name(model._meta.db_table)
    key = connection.ops.quote_name(str(model._meta.pk.column))
    queued = ", ".join(f"'{status.value}'" for status in QUEUED)
    found = (
        f"SELECT {key} FROM {table} WHERE status IN ({queued}) AND attempts = %s"  # noqa: S608  # names of our own
        f" AND next_attempt_at <= {now} ORDER BY next_attempt_at LIMIT %s{skip}"
    )
    return (
        f"UPDATE {table} SET status = '{Status.RUNNING.value}', attempts = attempts + 1, lease_owner = %s,"  # noqa: S608  # as above
        f" lease_epoch = lease_epoch + 1, lease_expires_at = {until}, started_at = COALESCE(started_at, {now})"
        f" WHERE {key} {these.format(found)} RETURNING {rows.selection(model)}"
    )


def renew(model: type[L], ids: Collection[Any]) -> int:
    """One statement for all rows that this process is at work on."""
    held = _rows(model).filter(
        pk__in=ids, status=Status.RUNNING, lease_owner=this_process()
    )
    return held.update(lease_expires_at=Now() + LEASE)


def recover(model: type[L]) -> list[L]:
    """Put rows whose process is gone back in the queue; return those that were lost too often, for their app to fail."""
    found = lost(model)
    if not found.exists():
        return []
    with transaction.atomic():
        # What is locked is being written by its owner just now, or by one that froze half-way: that must hold nobody up.
        lost_rows = list(found.select_for_update(skip_locked=True))
        spared = {row.pk for row in lost_rows if _was_taken_along(row)}
        given_up = [
            row
            for row in lost_rows
            if row.attempts >= MAX_LOST and row.pk not in spared
        ]
        back = {row.pk for row in lost_rows} - {row.pk for row in given_up}
        _rows(model).filter(pk__in=spared).update(attempts=F("attempts") - 1)
        _rows(model).filter(pk__in=back).update(
            status=Status.PENDING, next_attempt_at=Now(), lease_owner=""
        )
    return given_up


def _was_taken_along(row: LeasedModel) -> bool:
    """Whether the process that started its own is gone as well: then somebody stopped them both, or the machine did. What a row does ends its own process
    only, so this is no sign against it; unless it happens again and again."""
    name = row.lease_owner.removeprefix(f"{_host()}/").split("/")
    is_here = len(name) == 3 and all(part.isdigit() for part in name[:2])
    if not is_here or row.lease_epoch >= MOST_SPARED:
        return False
    parent, pid = int(name[0]), int(name[1])
    return parent != os.getpid() and not (_exists(parent) or _is_alive(pid))


def lost(model: type[L]) -> models.QuerySet[L]:
    """Rows whose process is gone."""
    return _rows(model).filter(
        Q(lease_expires_at__lt=Now()) | Q(lease_owner__in=_dead_neighbours(model)),
        status=Status.RUNNING,
    )


def _dead_neighbours(model: type[L]) -> list[str]:
    """Owners on this very host whose process no longer exists: no need to wait for their leases."""
    here = f"{_host()}/"
    owners = (
        _rows(model)
        .filter(status=Status.RUNNING, lease_owner__startswith=here)
        .values_list("lease_owner", flat=True)
        .distinct()
    )
    return [
        owner
        for owner in owners
        if owner != this_process() and not _is_alive(int(owner.split("/")[-2]))
    ]


def _is_alive(pid: int) -> bool:
    return pid != os.getpid() and _exists(pid)  # an earlier process had our pid


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    """Dead, but its parent has not looked: in a container without an init that may last for ever."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        )
    except OSError:
        return False


class Keeper:
    """Renews the leases of the rows that this process is at work on (`held`), from a thread of its own, and does `on_tick` in between."""

    def __init__(
        self,
        model: type[LeasedModel],
        *,
        held: Callable[[], Collection[Any]],
        on_tick: Callable[[], None],
        tick_seconds: float,
    ) -> None:
        self._model = model
        self._held = held
        self._on_tick = on_tick
        self._tick_seconds = tick_seconds
        self._changed = Condition()
        self._holders = 0
        self._thread_pid = 0

    @contextmanager
    def holding(self) -> Iterator[None]:
        with self._changed:
            self._holders += 1
            self._start_thread()
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                self._changed.notify_all()

    def _start_thread(self) -> None:
        if self._thread_pid != os.getpid():  # also in a child that was forked since
            self._thread_pid = os.getpid()
            Thread(target=self._keep, name="lease-keeper", daemon=True).start()

    def _keep(self) -> None:
        renewed_at = time.monotonic()
        while True:
            with self._changed:
                if not self._holders:
                    connection.close()
                    self._changed.wait_for(lambda: self._holders > 0)
                    renewed_at = time.monotonic()
                self._changed.wait_for(
                    lambda: self._holders == 0, timeout=self._tick_seconds
                )
                if not self._holders:
                    continue
            try:
                if time.monotonic() - renewed_at >= RENEW_SECONDS:
                    renew(self._model, self._held())
                    renewed_at = time.monotonic()
                self._on_tick()
            except Exception:  # this thread must not end while leases are held
                logger.exception("could not renew leases; trying again")
                connection.close()


class Isolation:
    """Lets batches run side by side, and a suspect alone."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._sharing = 0
        self._is_alone = False

    @property
    def is_asked_for(self) -> bool:
        """Whether a suspect waits for the batches to end."""
        return self._is_alone

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: not self._is_alone)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self, *, at_any_price: bool = False) -> Iterator[bool]:
        """Yields whether the process is ours; it isn't while another suspect runs, nor while batches do, which `at_any_price` makes end."""
        with self._changed:
            is_ours = not self._is_alone and (at_any_price or not self._sharing)
            if is_ours:
                self._is_alone = True
                self._changed.wait_for(lambda: self._sharing == 0)
        try:
            yield is_ours
        finally:
            if is_ours:
                with self._changed:
                    self._is_alone = False
                    self._changed.notify_all()


def as_lease_fields(**changes: Any) -> dict[str, Any]:
    """What letting go of a lease writes, with the row's own changes."""
    return {"lease_owner": "", "lease_expires_at": None, "attempts": 0, **changes}


class Doorbell:
    """Tells the workers that there is work. Many rings become one message, no caller waits for the broker, and a ring that gets lost costs a sweep's time."""

    def __init__(
        self, ring: Callable[[], object], *, pause_seconds: float = 0.05
    ) -> None:
        self._ring = ring
        self._pause_seconds = pause_seconds
        self._wanted = Event()
        self._thread_pid = 0

    def ring_on_commit(self) -> None:
        transaction.on_commit(self.ring)

    def ring(self) -> None:
        if self._thread_pid != os.getpid():
            self._thread_pid = os.getpid()
            Thread(target=self._serve, name="doorbell", daemon=True).start()
        self._wanted.set()

    def _serve(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._ring()
            except (
                Exception
            ) as error:  # whatever the broker's client raises: the sweep finds the row
                logger.warning(
                    "the broker can't be reached (%s); the sweep will find the work",
                    type(error).__name__,
                )
            time.sleep(self._pause_seconds)
