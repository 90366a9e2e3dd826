"""The Celery app, and the sweep that each worker runs beside its tasks.

A message is a nudge that may be lost; the row is the truth. The sweep looks every two seconds for rows that are due, forgotten or whose lease has
passed, so that losing every message costs seconds and never work. What to look for is the apps' business: `CRAFT_SWEEPS` names their functions.
"""

import gc
import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from celery import Celery, bootsteps, signals
from django.conf import settings
from django.core.cache import cache
from django.db import close_old_connections
from django.utils.module_loading import import_string

from craft import logs
from craft.lifetime import stopping

logger = logging.getLogger("craft.sweep")

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "craft.settings")

app = Celery("craft")
app.set_default()  # without it, tasks called from another thread run in Celery's fall-back app and are lost
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

SWEEP_SECONDS = 2.0
_SEEN_KEY = "craft.sweep.seen"
_SEEN_SECONDS = 15


class Sweep(bootsteps.StartStopStep):
    """Calls every function of `CRAFT_SWEEPS` in a thread of its own, from the worker's start to its stop, and tells tasks that the worker stops."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **options: Any) -> None:
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, name="sweep", daemon=True)
        super().__init__(worker, **options)

    def start(self, worker: Any) -> None:
        stopping.set(False)
        self.thread.start()

    def stop(self, worker: Any) -> None:
        stopping.set(True)
        self.stopping.set()
        if self.thread.is_alive():
            self.thread.join(timeout=5)

    def terminate(self, worker: Any) -> None:
        self.stopping.set()

    def run(self) -> None:
        while not self.stopping.is_set():
            close_old_connections()  # one that broke is not asked again
            sweep_once()
            close_old_connections()
            self.stopping.wait(SWEEP_SECONDS)


app.steps["worker"].add(Sweep)


def sweep_once() -> None:
    """One pass. A sweep that fails is logged, and neither ends the others nor the thread."""
    for path in settings.CRAFT_SWEEPS:
        _guarded(path, partial(_call, path))
    _guarded("mark", lambda: cache.set(_SEEN_KEY, 1, timeout=_SEEN_SECONDS))


def _call(path: str) -> None:
    import_string(path)()


def _guarded(name: str, call: Callable[[], object]) -> None:
    try:
        call()
    except Exception:
        logger.exception("sweep failed", extra={"sweep": name})


def is_sweeping() -> bool:
    """Whether a sweep was seen lately: in this process on the embedded default, in any of them where Redis is shared."""
    return cache.get(_SEEN_KEY) is not None


@signals.task_prerun.connect
@signals.task_postrun.connect
def keep_good_connections(sender: Any = None, **_: Any) -> None:
    """As with a request. Celery would open another one for each task (see CELERY_DB_REUSE_MAX)."""
    if not getattr(getattr(sender, "request", None), "is_eager", False):
        close_old_connections()


@signals.worker_init.connect
def keep_what_is_loaded(**_: Any) -> None:
    """Whoever looks for garbage later need not look through it each time."""
    gc.collect()
    gc.freeze()


@signals.setup_logging.connect
def set_up_logging(**_: Any) -> None:
    logs.configure()
