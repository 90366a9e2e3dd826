"""The sweep goes on whatever the apps' functions do, and ends with its worker."""

import threading

import pytest
from celery import shared_task

from craft import celery
from craft.celery import Sweep, app, is_sweeping, sweep_once
from craft.embedded import EmbeddedWorker
from craft.lifetime import stopping

calls: list[str] = []
done = threading.Event()


def first() -> None:
    calls.append("first")
    raise RuntimeError("broken")


def second() -> None:
    calls.append("second")


@shared_task
def ring(word: str) -> None:
    calls.append(word)
    done.set()


@pytest.fixture(autouse=True)
def _no_calls(settings):
    calls.clear()
    done.clear()
    app.control.purge()  # what other tests rang for, and no worker heard
    settings.CRAFT_SWEEPS = [
        f"{__name__}.first",
        f"{__name__}.missing",
        f"{__name__}.second",
    ]


@pytest.fixture(autouse=True)
def _works_on():
    """A worker that stops takes its process with it; this process has other tests to run."""
    yield
    stopping.set(False)


@pytest.mark.django_db
def test_a_broken_or_missing_sweep_hinders_no_other(caplog):
    sweep_once()
    assert calls == ["first", "second"]
    assert [
        record.sweep for record in caplog.records if record.name == "craft.sweep"
    ] == [f"{__name__}.first", f"{__name__}.missing"]
    assert is_sweeping()


@pytest.mark.django_db
def test_it_repeats_until_it_is_stopped(monkeypatch):
    again = threading.Semaphore(0)
    monkeypatch.setattr(celery, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr(celery, "sweep_once", again.release)
    sweep = Sweep(None)
    sweep.start(None)
    assert all(again.acquire(timeout=5) for _ in range(3))
    sweep.stop(None)
    assert not sweep.thread.is_alive()


def test_every_worker_sweeps():
    assert Sweep in app.steps["worker"]


@pytest.mark.skipif(
    not app.conf.broker_url.startswith("memory"),
    reason="the embedded worker's broker is memory",
)
def test_the_embedded_worker_runs_tasks_and_stops_in_time(settings):
    settings.CRAFT_SWEEPS = []
    worker = EmbeddedWorker()
    worker.start()
    assert worker.is_ready.wait(10)
    ring.delay("rang")
    assert done.wait(10)
    assert worker.stop(timeout=5)
    assert calls == ["rang"]


@pytest.mark.skipif(
    not app.conf.broker_url.startswith("memory"),
    reason="the embedded worker's broker is memory",
)
def test_a_worker_that_is_stopped_while_it_starts_holds_nobody_up():
    worker = EmbeddedWorker()
    worker.start()
    assert worker.stop(timeout=5)
    # Its process would end now; this one has other tests to run.
    assert worker.is_ready.wait(10)
    worker.worker.stop()
