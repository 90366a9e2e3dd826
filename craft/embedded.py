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
        self.worker = app.WorkController(
            pool="threads",
            concurrency=THREADS,
            queues=QUEUES,
            without_heartbeat=True,
            without_mingle=True,
            without_gossip=True,
        )
        # Left to itself, the embedded service takes a scheduler that keeps its state in files.
        self.scheduler = EmbeddedService(
            app, thread=True, scheduler_cls=app.conf.beat_scheduler
        )
        self.thread = threading.Thread(
            target=self.worker.start, name="worker", daemon=True
        )

    def start(self) -> None:
        self.thread.start()
        self.scheduler.start()

    def stop(self, timeout: float) -> bool:
        """Take no more work and finish what is in hand; False when the time runs out first. What is left then is found by its lease."""
        deadline = time.monotonic() + timeout
        stops = [_in_background(self.scheduler.stop), _in_background(self.worker.stop)]
        for thread in [*stops, self.thread]:
            thread.join(max(0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in stops)


def _in_background(call: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread
