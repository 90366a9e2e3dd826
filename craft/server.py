"""The web server: granian's supervisor in this process, and the process or processes that it starts and, should one die, starts again.

On the embedded default there is exactly one such process, and it holds the worker and the scheduler too: their broker is its memory.
"""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException
from multiprocessing import Value, util
from typing import Any

from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.log import LogLevels
from granian.server import MPServer

from craft.embedded import EmbeddedWorker
from craft.lifetime import leave_with
from craft.wsgi import application

logger = logging.getLogger("craft.server")

THREADS = 32
STOP_SECONDS = 8  # from the signal until what has not stopped is killed
DRAIN_SECONDS = 6
RESTART_SECONDS = 0.5
WARM_UP_AFTER_SECONDS = 30.0
MAX_FAILURES = 3
_LOGGING = {
    "handlers": {},
    "loggers": {"_granian": {"propagate": True}, "granian.access": {"propagate": True}},
}


def serve(
    *,
    host: str,
    port: int,
    processes: int = 1,
    on_served: Callable[[], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_served` is called in each server process when it answers.

    A process that dies is started again, as often as it takes; only when it can't get as far as to answer does this end, with SystemExit 1.
    """
    was_served = Value("b", False, lock=False)  # a kill must not leave it locked
    connections.close_all()  # a connection must not be shared by a fork
    gc.freeze()  # what was loaded stays, and its memory is shared by the fork as long as nobody touches it
    os.register_at_fork(after_in_child=_await_handlers)
    survives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    failures = 0
    while True:
        server = _make_server(host, port, processes)
        server.on_startup(partial(_stop_on_hangup, server, survives=survives))
        # granian itself gives up when a process dies twice within seconds
        with suppress(SystemExit):
            server.serve(
                target_loader=partial(
                    load, os.getpid(), was_served, on_served, host, port
                ),
                wrap_loader=False,
            )
        if server.interrupt_signal:
            return
        failures = 0 if was_served.value else failures + 1
        if failures == MAX_FAILURES:
            sys.exit(1)
        time.sleep(RESTART_SECONDS)
        was_served.value = False


def _make_server(host: str, port: int, processes: int) -> MPServer:
    return MPServer(
        "craft.wsgi:application",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1 if settings.EMBEDDED else processes,
        blocking_threads=THREADS,
        runtime_mode=RuntimeModes.st,  # the other one can miss the end of its own stop, and is then killed
        http=HTTPModes.http1,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        log_level=LogLevels.error,  # its warnings are advice on threads
        log_dictconfig=_LOGGING,
    )


def load(
    supervisor: int,
    was_served: Any,
    on_served: Callable[[], None] | None,
    host: str,
    port: int,
) -> Any:
    """What a server process does first. One that is spawned, not forked, loads Django by importing this module."""
    _await_handlers()
    _keep_main_thread_listening()
    leave_with(supervisor)
    application.gather()

    def follow() -> None:
        while not answers(host, port):
            time.sleep(0.02)
        was_served.value = True
        _poke_main_thread()
        if settings.EMBEDDED:
            _start_worker()
        if on_served:
            on_served()
        _warm_up()

    # After the first answer: a server that is still starting loses signals, and the worker's start would make that moment long.
    threading.Thread(target=follow, name="follow", daemon=True).start()
    return application


def _warm_up() -> None:
    """Do beforehand what the first caller would wait for; a while later, so that what a crash left behind has the processor for itself."""
    time.sleep(WARM_UP_AFTER_SECONDS)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 10)  # whoever calls meanwhile waits for less
    for dotted in settings.CRAFT_WARM_UPS:
        try:
            import_string(dotted)()
        except Exception:  # it is done, or told, when somebody needs it
            logger.debug("could not warm up %s", dotted, exc_info=True)
    sys.setswitchinterval(usual)


def answers(host: str, port: int) -> bool:
    """Whether a Craft serves at this address."""
    client = HTTPConnection(
        "127.0.0.1" if host in {"0.0.0.0", "::"} else host,  # noqa: S104
        port,
        timeout=1,
    )
    try:
        client.request("GET", "/healthz", headers={"Host": "localhost"})
        return b'"service": "craft"' in client.getresponse().read(1000)
    except (OSError, HTTPException):
        return False
    finally:
        client.close()


def _stop_on_hangup(server: MPServer, *, survives: bool) -> None:
    """A closed terminal ends it, as Ctrl-C does, where granian would load anew; `nohup` goes on."""
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN if survives else server.signal_handler_interrupt
    )


# --- Signals of a server process ---
#
# granian's handlers ask it to stop, and three traps surround them: before they are set a signal is lost; a signal may land in any thread, while Python
# runs handlers in the main one, which granian lets sleep in a lock; and granian blocks for good when it is asked to stop more often than twice.


def _await_handlers() -> None:
    """Until granian sets its handlers there is nothing to drain; the supervisor's, inherited by a fork, would swallow the signal.

    Ctrl-C and a closed terminal reach all processes at once. Only the supervisor's SIGTERM counts, or it would take this one's end for a crash.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))


def _keep_main_thread_listening() -> None:
    """Wake the main thread for each signal, wherever it landed. SIGUSR1 does so, and lets it take over granian's handlers once they are there."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGUSR1, lambda *_: _stop_once())

    def listen() -> None:
        while number := os.read(reader, 1):
            if number[0] in (signal.SIGINT, signal.SIGTERM):
                _poke_main_thread()

    threading.Thread(target=listen, name="signals", daemon=True).start()


def _poke_main_thread() -> None:
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGUSR1)


def _stop_once() -> None:
    """Replace granian's handlers by one that asks it once."""
    ask = signal.getsignal(signal.SIGTERM)
    if not callable(ask) or ask.__module__ != "granian._signals":
        return  # not there yet, or replaced before

    def stop(number: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        threading.Thread(target=_leave_in_time, name="leave", daemon=True).start()
        ask(number, frame)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _leave_in_time() -> None:
    """The worker drains while the last requests are answered; who still sends or reads after that is left."""
    if _workers:
        _workers[0].begin_stop()
    time.sleep(DRAIN_SECONDS)
    logger.warning("requests in hand were cut off")
    _leave_now()


# --- The embedded worker ---

_workers: list[EmbeddedWorker] = []


def _start_worker() -> None:
    worker = EmbeddedWorker()
    worker.start()
    _workers.append(worker)

    def stop() -> None:
        if not worker.stop(DRAIN_SECONDS):
            logger.warning("work in hand was left for the next start")
            _leave_now()

    # granian's processes never run `atexit`.
    util.Finalize(None, stop, exitpriority=100)


def _leave_now() -> None:
    sys.stderr.flush()
    os._exit(0)
