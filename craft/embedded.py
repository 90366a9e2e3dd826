"""The embedded default: a Celery worker and the scheduler as threads of the one web process, over a broker that is its memory.

Jobs are rows, so nothing is lost with that memory: the next start's sweep finds what was pending.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from celery.beat import EmbeddedService

from craft.celery import app

logger = logging.getLogger("craft.embedded")

THREADS = 4
QUEUES = ["short", "long", "documents"]


class EmbeddedWorker:
    def __init__(self) -> None:
        self.is_ready = threading.Event()
        self._stops: list[threading.Thread] = []
        self.worker = app.WorkController(
            pool="threads",
            concurrency=THREADS,
            queues=QUEUES,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
            ready_callback=lambda consumer: self.is_ready.set(),
        )
        # Left to itself, the embedded service takes a scheduler that keeps its state in files.
        self.scheduler = EmbeddedService(
            app, thread=True, scheduler_cls=app.conf.beat_scheduler
        )

    def start(self) -> None:
        _in_background(self.worker.start, "worker")
        self.scheduler.start()

    def begin_stop(self) -> None:
        """Take no more work, and finish what is in hand, in the background."""
        if self._stops:
            return
        self._stops.append(_in_background(self.scheduler.stop, "stop-scheduler"))
        if (
            self.is_ready.is_set()
        ):  # before that it has nothing in hand, and would wait for its own start
            self._stops.append(_in_background(self.worker.stop, "stop-worker"))

    def stop(self, timeout: float) -> bool:
        """False when the time runs out first. What is in hand then is found by its lease."""
        self.begin_stop()
        deadline = time.monotonic() + timeout
        for thread in self._stops:
            thread.join(max(0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._stops)


def _in_background(call: Callable[[], Any], name: str) -> threading.Thread:
    thread = threading.Thread(target=call, name=name, daemon=True)
    thread.start()
    return thread
