"""`make bench`: what this machine does with Craft, measured as a customer sees it, through the API of real processes.

On SQLite that is `manage.py up` alone; with DATABASE_URL and REDIS_URL set (`python -m tests.servers python -m tests.bench`) it is `manage.py up` for the
web and a Celery worker. Every figure is the median of five rounds. The customer runs on this very machine and takes its share of the processors.
"""

import os
import platform
import re
import selectors
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tests.durability.conftest import own_stores
from tests.durability.installation import Installation, until

ROUNDS = 5
CLIENTS = 16
EXECUTIONS = 6_400
SYNC_CALLS = 960
LIST_SECONDS = 3.0
LISTED = 20
SAMPLE_SECONDS = 0.2
WARM_SECONDS = 50.0
"""From its start until a web server has done beforehand what first callers would wait for: it begins after half a minute, and takes a processor for seconds."""
DRAIN_SECONDS = 120
STARTERS = 64
"""Who hand in work without waiting for its end: as many as the gathering is made for."""
BATCHES, BATCH_CLIENTS = 24, 8
ENGINE = """
import time
from statistics import median
from django.db import connection, transaction
from craft.models import KeptAnswer
from tests.bench import chain
from workflows.engine.executor import Job, Run, drive
from workflows.engine.expressions import compile_value
from workflows.engine.graph import compile_graph
from workflows.engine.journal import CATALOGUE

def cost(act, times=1):
    spans = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            act()
        spans.append((time.perf_counter() - began) / times)
    return median(spans)

def walk(graph):
    job = Job("exec_1", 1, 1, {"net": 5}, {"input": {"net": 5}}, {}, {"id": "wf_1", "name": "Bench", "version": 1})
    run = Run(job, graph, [], None, can_sleep=False)
    assert drive(run.execute()).status == "completed"

kept = KeptAnswer.objects.create(scope="bench", operation="bench", key="bench")

def commit():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE craft_keptanswer SET status = 1 WHERE id = %s", [kept.pk])

def turns():
    seen = {}
    for number in range(1_000_000):
        seen[number & 255] = [number]

scope, said = {"input": {"net": 5}}, "{{ input.net * 2 }}"
compile_value(said).resolve(scope)
long, ten = chain(2000), compile_graph(chain(10), CATALOGUE)
compiled = compile_graph(long, CATALOGUE)
for name, value in (
    ("an expression, cached: µs", cost(lambda: compile_value(said).resolve(scope), 20_000) * 1e6),
    ("a pure node inside a run: ms", cost(lambda: walk(ten), 200) * 100),
    ("graph of 2,000 nodes, compiled: ms", cost(lambda: compile_graph(long, CATALOGUE)) * 1e3),
    ("graph of 2,000 nodes, run: ms", cost(lambda: walk(compiled)) * 1e3),
    ("floor: bare commits per second", 1 / cost(commit, 200)),
    ("floor: a million turns of a bare loop in Python: ms", cost(turns) * 1e3),
):
    print("FIGURE", f"{value:.6g}", name)
kept.delete()
"""
TASKS = """
import time
from redis import Redis
from django.conf import settings
from craft.celery import app

def send(number):
    for _ in range(number):
        app.send_task("celery.accumulate", queue="short")  # Celery's own, which does nothing

queue = Redis.from_url(settings.REDIS_URL)
send(50)
while queue.llen("short"):
    time.sleep(0.005)
began = time.perf_counter()
send(2_000)
while queue.llen("short"):
    time.sleep(0.005)
print("FIGURE", 2_000 / (time.perf_counter() - began), "floor: bare Celery tasks, sent and done, per second")
"""
LISTS = f"GET /v1/workflows, {LISTED} rows, {CLIENTS} clients: per second"
READS = f"GET /v1/executions/{{id}}, {CLIENTS} clients: per second"
PAGE = "floor: GET /healthz per second"
COMMITS = "floor: bare commits per second"
TASK = "floor: bare Celery tasks, sent and done, per second"
COMPLETED = (
    f"{EXECUTIONS:,} async, three pure nodes, {STARTERS} clients: completed per second"
)
FAST = (
    f"craftai-1-fast, batches of 1,000, {BATCH_CLIENTS} clients: completed per second"
)
RATIOS = (
    (LISTS, PAGE, "a list of workflows / a bare Django view"),
    (READS, PAGE, "an execution shown / a bare Django view"),
    (COMPLETED, TASK, "an execution completed / a bare Celery task"),
    (COMPLETED, COMMITS, "an execution completed / a bare commit"),
    (FAST, COMMITS, "an execution of a batch completed / a bare commit"),
)
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)


def chain(length: int, **more: Any) -> dict[str, Any]:
    """So many pure nodes, one after the other."""
    fields = {"total": "{{ input.net * 2 }}", "net": "{{ input.net }}"}
    nodes = [
        {"id": f"n{number}", "type": "transform", "config": {"set": fields}, **more}
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

    def median_of(self, name: str) -> float | None:
        values = self._values.get(name)
        return median(values) if values else None

    def ratios(self) -> Table:
        """What is measured, beside what nothing can go below here."""
        table = Table(box=SIMPLE_HEAD, title="Beside the floors", title_justify="left")
        table.add_column("", no_wrap=True)
        table.add_column("ratio", justify="right", style="bold")
        for name, floor, what in RATIOS:
            value, least = self.median_of(name), self.median_of(floor)
            if value and least:
                table.add_row(what, f"{value / least:.2f}")
        return table

    def table(self, title: str) -> Table:
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
        table.add_column("")
        table.add_column("median", justify="right", style="bold", no_wrap=True)
        table.add_column("rounds", style="dim", no_wrap=True)
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


@dataclass(eq=False)
class Customer:
    """Who costs next to nothing: one connection, one request in bytes, sent again and again."""

    socket: socket.socket
    request: bytes
    status: int
    sent_at: float = 0.0
    left: int = 0
    """Of the answer, in bytes; 0 before its head has come."""

    def send(self) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(self.request)

    def has_all(self) -> bool:
        """Whether with what is there now the answer is whole."""
        came = self.socket.recv(262_144)
        if not self.left:
            assert came.startswith(b"HTTP/1.1 %d" % self.status), came[:500]
            head, _, came = came.partition(b"\r\n\r\n")
            self.left = int(LENGTH.search(head)[1])
        self.left -= len(came)
        return not self.left


def ask(
    rig: Installation,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    clients: int,
    status: int = 200,
    number: int | None = None,
    seconds: float = 600.0,
) -> list[float]:
    """Send so many requests from so many customers, or as many as they can in that time. How long each took, in milliseconds."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {rig._key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    spans: list[float] = []
    deadline = time.monotonic() + seconds
    unsent = sys.maxsize if number is None else number
    with ExitStack() as held:
        selector = held.enter_context(selectors.DefaultSelector())
        for _ in range(clients):
            link = socket.create_connection(("127.0.0.1", rig.port), timeout=30)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            held.enter_context(link)
            customer = Customer(link, head.encode() + body, status)
            selector.register(link, selectors.EVENT_READ, customer)
            customer.send()
            unsent -= 1
        busy = clients
        while busy:
            ready = selector.select(timeout=30)
            assert ready, "nobody was answered for half a minute"
            for key, _ in ready:
                if not key.data.has_all():
                    continue
                spans.append((time.perf_counter() - key.data.sent_at) * 1000)
                if unsent and time.monotonic() < deadline:
                    key.data.send()
                    unsent -= 1
                else:
                    busy -= 1
    return spans


class Bench:
    def __init__(self, rig: Installation) -> None:
        self.rig = rig
        self.figures = Figures()
        self._started_at = 0.0

    def run(self, say: Callable[[str], None]) -> None:
        say("starting")
        self.starts()
        three = self.rig.create_workflow(**chain(3))
        four = self.rig.create_workflow(**chain(4))
        for _ in range(LISTED - 2):
            self.rig.create_workflow(**chain(3))
        fast = self.rig.create_workflow(**chain(3, model="craftai-1-fast"))
        one = self.rig.trigger(three, {"net": 5})
        until(self._completed, seconds=30, what="the first execution completes")
        say("the engine by itself")
        self.engine()
        self.idle_memory()
        self._rest(say)
        memory = Memory(self.rig)
        memory.start()
        for number in range(1, ROUNDS + 1):
            say(f"lists, round {number} of {ROUNDS}")
            self.lists()
            self.reads(one)
            say(f"sync executions, round {number} of {ROUNDS}")
            self.sync(four, 1)
            self.sync(four, CLIENTS)
            say(f"async executions, round {number} of {ROUNDS}")
            self.executions(three)
            say(f"batches, round {number} of {ROUNDS}")
            self.batches(fast)
        self.figures.note("peak memory of all processes (RSS), MB", memory.stop())

    def idle_memory(self) -> None:
        """Of each process that runs executions."""
        for pid in self.rig.workers():
            self.figures.note("idle worker processes (RSS), MB each", resident(pid))

    def starts(self) -> None:
        self._start("cold start to the first /api/v1/health, s")
        self.rig.set_up()
        for _ in range(ROUNDS):
            self.rig.kill_all()
            self._start("warm start to the first /api/v1/health, s")
        if not self.rig.is_embedded:
            self.rig.start_worker()

    def _rest(self, say: Callable[[str], None]) -> None:
        say("until what is done beforehand is done")
        time.sleep(max(0.0, self._started_at + WARM_SECONDS - time.monotonic()))

    def _start(self, name: str) -> None:
        self._started_at = time.monotonic()
        self.rig.start_web(asks="/api/v1/health")
        self.figures.note(name, time.monotonic() - self._started_at)

    def lists(self) -> None:
        status, answer = self.rig.call("GET", "/v1/workflows")
        assert (status, len(answer["data"])) == (200, LISTED)
        self.figures.note(LISTS, self._rate("/v1/workflows"))

    def reads(self, execution: str) -> None:
        self.figures.note(READS, self._rate(f"/v1/executions/{execution}"))
        self.figures.note(PAGE, self._rate("/healthz"))

    def _rate(self, path: str) -> float:
        spans = ask(self.rig, "GET", path, clients=CLIENTS, seconds=LIST_SECONDS)
        return len(spans) / LIST_SECONDS

    def batches(self, workflow: str) -> None:
        """What is answered is over, and stored."""
        before = self._completed()
        inputs = ",".join('{"net": 5}' for _ in range(1_000))
        body = f'{{"inputs": [{inputs}]}}'.encode()
        path = f"/v1/workflows/{workflow}/execute/batch"
        began = time.monotonic()
        ask(self.rig, "POST", path, body, clients=BATCH_CLIENTS, number=BATCHES)
        took = time.monotonic() - began
        assert self._completed() == before + 1_000 * BATCHES
        self.figures.note(FAST, 1_000 * BATCHES / took)

    def engine(self) -> None:
        self._figures_of(ENGINE)
        if not self.rig.is_embedded:
            self._figures_of(TASKS)

    def _figures_of(self, program: str) -> None:
        for line in self.rig.run("shell", "-v", "0", "-c", program).splitlines():
            if line.startswith("FIGURE "):
                _, value, name = line.split(maxsplit=2)
                self.figures.note(name, float(value))

    def sync(self, workflow: str, clients: int) -> None:
        number = SYNC_CALLS // (4 if clients == 1 else 1)
        wanted = self._completed() + number
        path = f"/api/v1/workflows/{workflow}/execute"
        body = b'{"input": {"net": 5}}'
        spans = ask(self.rig, "POST", path, body, clients=clients, number=number)
        assert self._completed() == wanted
        steps = quantiles(spans, n=20)
        name = f"sync, four pure nodes, {clients} at once"
        self.figures.note(f"{name}: p50 ms", steps[9])
        self.figures.note(f"{name}: p95 ms", steps[18])

    def executions(self, workflow: str) -> None:
        wanted = self._completed() + EXECUTIONS
        path, body = f"/v1/workflows/{workflow}/trigger", b'{"net": 5}'
        began = time.monotonic()
        ask(self.rig, "POST", path, body, clients=STARTERS, status=202, number=EXECUTIONS)  # fmt: skip
        accepted = time.monotonic() - began
        until(
            lambda: self._completed() >= wanted,
            seconds=DRAIN_SECONDS,
            what=f"{EXECUTIONS} executions complete",
        )
        completed = time.monotonic() - began
        assert self._completed() == wanted
        name = COMPLETED.replace("completed", "accepted")
        self.figures.note(name, EXECUTIONS / accepted)
        self.figures.note(COMPLETED, EXECUTIONS / completed)

    def _completed(self) -> int:
        statement = (
            "SELECT count(*) FROM workflows_execution WHERE status = 'completed'"
        )
        return int(self.rig.rows(statement)[0][0])

    def growth(self, number: int, say: Callable[[str], None]) -> None:
        """What each process takes after the first tenth of so many, and after all: those of the web carry quick executions themselves."""
        self._start("cold start to the first /api/v1/health, s")
        self.rig.set_up()
        if not self.rig.is_embedded:
            self.rig.start_worker()
        self._rest(say)
        workflow = self.rig.create_workflow(**chain(3))
        self.rig.trigger(workflow, {"net": 5})
        until(self._completed, seconds=30, what="the first execution completes")
        tenth = number // 10
        while (done := self._completed()) < number:
            say(f"{done:,} of {number:,} executions")
            self.executions(workflow)
            if done < tenth <= self._completed():
                early = {pid: resident(pid) for pid in self.rig.members()}
        for pid, before in early.items():
            self.figures.note("after a tenth (RSS), MB each", before)
            self.figures.note("after all (RSS), MB each", resident(pid))
            grown = 100 * (resident(pid) / before - 1)
            self.figures.note("grown, % each", grown)


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
    """With a number, `python -m tests.bench 100000`: what so many executions leave in memory."""
    console = Console()
    with installation() as rig:
        bench = Bench(rig)
        with console.status("") as status:

            def say(text: str) -> None:
                status.update(f"Measuring: {text}")

            if sys.argv[1:]:
                bench.growth(int(sys.argv[1]), say)
            else:
                bench.run(say)
        stores = "SQLite" if rig.is_embedded else "PostgreSQL and Redis"
    load = os.getloadavg()[0]
    title = f"Craft on {stores}; {CLIENTS} clients, {os.cpu_count()} processors, load {load:.1f}, Python {platform.python_version()}"
    console.print(bench.figures.table(title))
    if not sys.argv[1:]:
        console.print(bench.figures.ratios())


if __name__ == "__main__":
    sys.exit(main())
