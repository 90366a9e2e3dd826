import os
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import Value
from typing import Any, NoReturn

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from craft.console import announce, console
from craft.demo import report, state
from craft.server import answers, serve

PATIENCE_SECONDS = (
    1.5  # a server that was killed lets go of its port in a fraction of this
)
MIGRATION_LOCK = 0x63726166  # any number that no other program picks


class Command(BaseCommand):
    """Brings the database up to date and serves, until Ctrl-C."""

    help = "Serve Craft: the web, and on the embedded default also the worker and the scheduler, in one go."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--host",
            default="127.0.0.1",
            help="the address to listen on (0.0.0.0 in a container)",
        )
        parser.add_argument(
            "--port",
            type=int,
            default=settings.PORT,
            help="the port to listen on; PORT says the same",
        )
        parser.add_argument(
            "--processes",
            type=int,
            default=os.cpu_count() or 1,
            help="web processes, where Redis joins them",
        )
        parser.add_argument(
            "--demo",
            action="store_true",
            help="on the first start, try everything with real data",
        )

    def handle(
        self, *, host: str, port: int, processes: int, demo: bool, **_: Any
    ) -> None:
        if port != settings.PORT:
            _start_again_on(port)
        if not _is_free(host, port):
            console.print(_taken(host, port), style="red", soft_wrap=True)
            sys.exit(1)
        try:
            _migrate()
            with (
                _demo()
                if demo and not state.is_done()
                else _announcement() as on_served
            ):
                serve(host=host, port=port, processes=processes, on_served=on_served)
        except KeyboardInterrupt:
            sys.exit(130)
        console.print("Stopped.", style="dim")


def _start_again_on(port: int) -> NoReturn:
    """The settings were read for another port, and the public address is made of it."""
    os.environ["PORT"] = str(port)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606  # this very command


# --- The port ---


def _is_free(host: str, port: int) -> bool:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not _can_bind(host, port):
        if time.monotonic() > give_up_at or answers(host, port):
            return False
        time.sleep(0.1)
    return True


def _can_bind(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _taken(host: str, port: int) -> str:
    spare = next(
        (
            other
            for other in range(port + 1, min(port + 50, 65536))
            if _can_bind(host, other)
        ),
        None,
    )
    other = f"make run PORT={spare or '…'}"
    if answers(host, port):
        return f"Craft already serves at http://127.0.0.1:{port}; for a second one choose another port: {other}"
    return f"Port {port} is taken by another program; stop it, or choose another port: {other}"


# --- The database ---


def _migrate() -> None:
    with _alone():
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            with _progress() as progress:
                call_command(
                    "migrate",
                    interactive=False,
                    verbosity=1,
                    no_color=True,
                    stdout=_Migrations(progress, len(plan)),
                )


@contextmanager
def _alone() -> Iterator[None]:
    """One at a time, where several machines start at once."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        console=console,
    )


class _Migrations:
    """Stands in for the command's output, and turns "Applying …" into progress."""

    def __init__(self, progress: Progress, total: int) -> None:
        self.progress = progress
        self.task = progress.add_task("Making the database", total=total)

    def write(self, text: str) -> int:
        if text.strip() == "OK":
            self.progress.advance(self.task)
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False


# --- What is said once the server answers ---


@contextmanager
def _announcement() -> Iterator[Any]:
    """Yields what the server process calls when it answers; the panel is printed once, however often that process has to be started again."""
    yield partial(_announce_once, Value("b", False))


def _announce_once(was_announced: Any) -> None:
    with was_announced.get_lock():
        if was_announced.value:
            return
        was_announced.value = True
    announce(with_token=True)
    if state.is_done():
        report.later_steps()


@contextmanager
def _demo() -> Iterator[None]:
    """The demo is a customer: a process of its own that speaks to the server over HTTP, and says itself that the server is there."""
    process = subprocess.Popen(  # noqa: S603  # our own command
        [sys.executable, sys.argv[0], "demo", "--with-parent", str(os.getpid())]
    )
    try:
        yield None
    finally:
        process.terminate()
        try:
            process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
