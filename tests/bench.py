"""`make bench`: what this machine does with Craft, measured as a customer sees it, through the API of real processes.

On SQLite that is `manage.py up` alone; with DATABASE_URL and REDIS_URL set (`python -m tests.servers python -m tests.bench`) it is `manage.py up` for the
web and a Celery worker. Every figure is the median of three rounds. The customer runs on this very machine and takes its share of the processors.
"""

import os
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.durability.conftest import own_stores
from tests.durability.installation import Installation, until

ROUNDS = 3
CLIENTS = 16
EXECUTIONS = 2_000
SYNC_CALLS = 320
LIST_SECONDS = 3.0
LISTED = 20
SAMPLE_SECONDS = 0.2
DRAIN_SECONDS = 120
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def chain(length: int) -> dict[str, Any]:
    """So many pure nodes, one after the other."""
    fields = {"total": "{{ input.net * 2 }}", "net": "{{ input.net }}"}
    nodes = [
        {"id": f"n{number}", "type": "transform", "config": {"set": fields}}
        for number in range(length)
    ]
    edges = [
        {"source": f"n{number}", "target": f"n{number + 1}"}
        for number in range(length - 1)
    ]
    return {"nodes": nodes, "edges": edges}


class Figures:
    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def note(self, name: str, value: float) -> None:
        self._values.setdefault(name, []).append(value)

    def table(self, title: str) -> Table:
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("", no_wrap=True)
        table.add_column("median", justify="right", style="bold")
        table.add_column("rounds", style="dim")
        for name, values in self._values.items():
            rounds = "  ".join(map(shown, values)) if len(values) > 1 else ""
            table.add_row(name, shown(median(values)), rounds)
        return table


def shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


class Memory(threading.Thread):
    """Watches what all processes of an installation take together."""

    def __init__(self, rig: Installation) -> None:
        super().__init__(daemon=True)
        self._rig = rig
        self._is_over = threading.Event()
        self.peak = 0.0

    def run(self) -> None:
        while not self._is_over.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(map(resident, self._rig.members())))

    def stop(self) -> float:
        self._is_over.set()
        self.join()
        return self.peak


def resident(pid: int) -> float:
    """In MB."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1024**2
    except psutil.NoSuchProcess:
        return 0.0


class Wire:
    """A customer who costs next to nothing: one connection, one request in bytes, sent again and again."""

    def __init__(self, rig: Installation, method: str, path: str, body: bytes) -> None:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {rig._key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self._request = head.encode() + body
        self._socket = socket.create_connection(("127.0.0.1", rig.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, expected: int) -> None:
        self._socket.sendall(self._request)
        answer = self._socket.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 %d" % expected), answer[:500]
        head, _, body = answer.partition(b"\r\n\r\n")
        left = int(LENGTH.search(head)[1]) - len(body)
        while left > 0:
            left -= len(self._socket.recv(65_536))


class Bench:
    def __init__(self, rig: Installation) -> None:
        self.rig = rig
        self.figures = Figures()

    def run(self, say: Callable[[str], None]) -> None:
        say("starting")
        self.starts()
        three = self.rig.create_workflow(**chain(3))
        four = self.rig.create_workflow(**chain(4))
        for _ in range(LISTED - 2):
            self.rig.create_workflow(**chain(3))
        memory = Memory(self.rig)
        memory.start()
        for number in range(1, ROUNDS + 1):
            say(f"lists, round {number} of {ROUNDS}")
            self.lists()
            say(f"sync executions, round {number} of {ROUNDS}")
            self.sync(four, 1)
            self.sync(four, CLIENTS)
            say(f"async executions, round {number} of {ROUNDS}")
            self.executions(three)
        self.figures.note("peak memory of all processes (RSS), MB", memory.stop())

    def starts(self) -> None:
        self._start("cold start to the first /api/v1/health, s")
        self.rig.set_up()
        for _ in range(ROUNDS):
            self.rig.kill_all()
            self._start("warm start to the first /api/v1/health, s")
        if not self.rig.is_embedded:
            self.rig.start_worker()

    def _start(self, name: str) -> None:
        began = time.monotonic()
        self.rig.start_web(asks="/api/v1/health")
        self.figures.note(name, time.monotonic() - began)

    def lists(self) -> None:
        deadline = time.monotonic() + LIST_SECONDS

        def ask(connection: HTTPConnection) -> int:
            count = 0
            while time.monotonic() < deadline:
                status, answer = self.rig.call("GET", "/v1/workflows", over=connection)
                assert status == 200
                assert len(answer["data"]) == LISTED
                count += 1
            return count

        rate = sum(self._side_by_side(ask)) / LIST_SECONDS
        self.figures.note(f"GET /v1/workflows, {LISTED} rows: per second", rate)

    def sync(self, workflow: str, clients: int) -> None:
        def ask(connection: HTTPConnection) -> list[float]:
            path, spans = f"/api/v1/workflows/{workflow}/execute", []
            for _ in range(SYNC_CALLS // CLIENTS * (4 if clients == 1 else 1)):
                began = time.perf_counter()
                status, answer = self.rig.call(
                    "POST", path, {"input": {"net": 5}}, over=connection
                )
                spans.append((time.perf_counter() - began) * 1000)
                assert (status, answer["status"]) == (200, "completed"), answer
            return spans

        found = self._side_by_side(ask, clients)
        steps = quantiles([span for spans in found for span in spans], n=20)
        name = f"sync, four pure nodes, {clients} at once"
        self.figures.note(f"{name}: p50 ms", steps[9])
        self.figures.note(f"{name}: p95 ms", steps[18])

    def executions(self, workflow: str) -> None:
        wanted = self._completed() + EXECUTIONS

        def ask(_: int) -> None:
            path = f"/v1/workflows/{workflow}/trigger"
            with Wire(self.rig, "POST", path, b'{"net": 5}') as wire:
                for _ in range(EXECUTIONS // CLIENTS):
                    wire.send(202)

        began = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(ask, range(CLIENTS)))
        accepted = time.monotonic() - began
        until(
            lambda: self._completed() >= wanted,
            seconds=DRAIN_SECONDS,
            what=f"{EXECUTIONS} executions complete",
        )
        completed = time.monotonic() - began
        assert self._completed() == wanted
        name = f"{EXECUTIONS:,} async, three pure nodes"
        self.figures.note(f"{name}: accepted per second", EXECUTIONS / accepted)
        self.figures.note(f"{name}: completed per second", EXECUTIONS / completed)

    def _completed(self) -> int:
        statement = (
            "SELECT count(*) FROM workflows_execution WHERE status = 'completed'"
        )
        return int(self.rig.rows(statement)[0][0])

    def _side_by_side(
        self, ask: Callable[[HTTPConnection], Any], clients: int = CLIENTS
    ) -> list[Any]:
        def over_one_connection(_: int) -> Any:
            with self.rig.connection() as connection:
                return ask(connection)

        with ThreadPoolExecutor(clients) as pool:
            return list(pool.map(over_one_connection, range(clients)))


@contextmanager
def installation() -> Iterator[Installation]:
    with (
        tempfile.TemporaryDirectory(prefix="craft-bench-") as folder,
        own_stores() as stores,
    ):
        rig = Installation(Path(folder), **stores)
        try:
            yield rig
        finally:
            rig.kill_all()


def main() -> None:
    console = Console()
    with installation() as rig:
        bench = Bench(rig)
        with console.status("") as status:
            bench.run(lambda text: status.update(f"Measuring: {text}"))
        stores = "SQLite" if rig.is_embedded else "PostgreSQL and Redis"
    load = os.getloadavg()[0]
    title = f"Craft on {stores}; {CLIENTS} clients, {os.cpu_count()} processors, load {load:.1f}"
    console.print(bench.figures.table(title))


if __name__ == "__main__":
    sys.exit(main())
