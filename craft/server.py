"""The web server: granian's supervisor in this process, and the process or processes that it starts and, should one die, starts again.

On the embedded default there is exactly one such process, and it holds the worker and the scheduler too: their broker is its memory.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from multiprocessing import util
from typing import Any

from django.conf import settings
from django.db import connections
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

from craft.embedded import EmbeddedWorker
from craft.lifetime import leave_with
from craft.wsgi import application

logger = logging.getLogger("craft.server")

THREADS = 16
STOP_SECONDS = 8  # from the signal until what has not stopped is killed
DRAIN_SECONDS = 6
_LOGGING = {
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": True}},
}


def serve(
    *,
    host: str,
    port: int,
    processes: int = 1,
    on_loaded: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_loaded` is called in each server process, once, when it is about to accept.

    Leaves with SystemExit 1 when a process dies again and again.
    """
    server = Granian(
        "craft.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1 if settings.EMBEDDED else processes,
        blocking_threads=THREADS,
        http=HTTPModes.http1,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=_LOGGING,
    )
    connections.close_all()  # a connection must not be shared by a fork
    server.serve(target_loader=partial(load, os.getpid(), on_loaded), wrap_loader=False)


def load(supervisor: int, on_loaded: Callable[[], None] | None) -> Any:
    """What a server process does first: bind its life to the supervisor's, and start the worker. A process that is spawned, not forked, loads Django by importing this module."""
    _leave_on_signals()
    leave_with(supervisor)
    if settings.EMBEDDED:
        _start_worker()
    if on_loaded:
        on_loaded()
    return application


def _leave_on_signals() -> None:
    """Until granian sets its own handlers there is nothing to drain; without these a signal in that second would be lost, or end in a traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))


def _start_worker() -> None:
    worker = EmbeddedWorker()
    worker.start()

    def stop() -> None:
        if not worker.stop(DRAIN_SECONDS):
            logger.warning("work in hand was left for the next start")
            _leave_now()

    # granian's processes never run `atexit`.
    util.Finalize(None, stop, exitpriority=100)


def _leave_now() -> None:
    sys.stderr.flush()
    os._exit(0)
