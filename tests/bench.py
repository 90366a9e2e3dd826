"""`make bench`: what this machine does with Craft's embedded default, through the public API of a real `manage.py up`.

Runs on SQLite, or on the database that DATABASE_URL names. Every figure is the median of three rounds; the load is made by this very machine, which
takes its share of the processor.
"""
# ruff: noqa: PLC0415  # the settings read the environment that `prepare` makes: what needs them is imported after it

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROUNDS = 3
ROWS = 4_000
TRIGGERS = 600
SYNC_CALLS = 200
LIST_SECONDS = 3.0
CLIENTS = 8


def prepare(folder: Path) -> None:
    """This process and the server that it starts share their database and secret."""
    os.environ["CRAFT_VAR_DIR"] = str(folder / "var")
    os.environ["DJANGO_SETTINGS_MODULE"] = "craft.settings"
    os.environ.pop("REDIS_URL", None)
    import django

    django.setup()


def pipeline(name: str, steps: int) -> dict[str, Any]:
    step = {"type": "transform", "config": {"set": {"total": "{{ input.net * 2 }}"}}}
    return {"name": name, "trigger": "webhook", "steps": [step] * steps}


class Bench:
    def __init__(self, folder: Path) -> None:
        from craft.demo.customer import Customer
        from tests.servers import free_port

        self.folder, self.port = folder, free_port()
        self.customer = Customer("127.0.0.1", self.port)
        self.figures: dict[str, list[float]] = {}

    def note(self, name: str, figure: float) -> None:
        self.figures.setdefault(name, []).append(figure)

    def serve(self, what: str) -> Any:
        from tests.durability.serving import Served

        more = (
            {"DATABASE_URL": os.environ["DATABASE_URL"]}
            if "DATABASE_URL" in os.environ
            else {}
        )
        began = time.monotonic()
        served = Served(self.folder, self.port, **more)
        served.wait_for(served.answers)
        self.note(f"{what}: s to the first answer", time.monotonic() - began)
        return served.await_ready()

    def enter(self) -> None:
        from accounts.models import Company
        from billing.services import set_plan

        person = {
            "email": "bench@craft.example",
            "password": "a long pass phrase",
            "full_name": "B",
            "company_name": "Bench",
        }
        session = self.customer.post("/api/v1/auth/register", person)
        set_plan(
            company=Company.objects.get(pk=session["user"]["company_id"]),
            slug="agents-enterprise",
        )
        self.customer.credential = session["token"]
        self.customer.credential = self.customer.post(
            "/api/v1/account/api-keys", {"name": "Bench"}
        )["api_key"]["key"]

    def sync_latency(self, workflow: str) -> None:
        spans = []
        for _ in range(SYNC_CALLS):
            began = time.perf_counter()
            self.customer.post(
                f"/v1/workflows/{workflow}/execute",
                {"mode": "sync", "input": {"net": 5}},
            )
            spans.append((time.perf_counter() - began) * 1000)
        steps = quantiles(spans, n=20)
        self.note("sync, four pure nodes: p50 ms", steps[9])
        self.note("sync, four pure nodes: p95 ms", steps[18])

    def list_rate(self) -> None:
        until = time.monotonic() + LIST_SECONDS

        def ask(_: int) -> int:
            count = 0
            while time.monotonic() < until:
                self.customer.get("/v1/workflows")
                count += 1
            return count

        with ThreadPoolExecutor(CLIENTS) as clients:
            self.note(
                "GET /v1/workflows: requests per second",
                sum(clients.map(ask, range(CLIENTS))) / LIST_SECONDS,
            )

    def trigger_rate(self, workflow: str) -> None:
        before = self.ended(workflow)
        began = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(
                clients.map(
                    lambda _: self.customer.post(
                        f"/v1/workflows/{workflow}/trigger", {"net": 5}
                    ),
                    range(TRIGGERS),
                )
            )
        self.note(
            "async triggers over HTTP: accepted per second",
            TRIGGERS / (time.monotonic() - began),
        )
        while self.ended(workflow) < before + TRIGGERS:
            time.sleep(0.05)
        self.note(
            "async triggers over HTTP: ended per second",
            TRIGGERS / (time.monotonic() - began),
        )

    def ended(self, workflow: str) -> int:
        return int(
            self.customer.get(f"/v1/workflows/{workflow}")["data"]["metrics"][
                "executions"
            ]
        )

    def drain_rate(self, workflow: str) -> None:
        """Rows that waited for a worker, and the worker alone with them."""
        from django.db.models import Max, Min

        from workflows.models import Execution

        ids = list(enqueue(workflow))
        served = self.serve("warm start")
        rows = Execution.unscoped.filter(pk__gte=ids[0])
        served.wait_for(
            lambda: rows.filter(completed_at=None).count() == 0, seconds=120
        )
        span = rows.aggregate(first=Min("started_at"), last=Max("completed_at"))
        self.note(
            "three pure nodes, drained: per second",
            ROWS / (span["last"] - span["first"]).total_seconds(),
        )
        self.note("memory after the load, MB", memory_of(served))
        self.note("stop: seconds", served.stop())


def enqueue(workflow: str) -> Iterator[str]:
    from workflows.models import Workflow
    from workflows.services import executions

    row = Workflow.unscoped.select_related("company").get(pk=workflow)
    for _ in range(ROWS // 500):
        batch = [
            executions.build_execution(
                workflow=row,
                company=row.company,
                user=None,
                input={"net": 5},
                trigger={"type": "api"},
            )
            for _ in range(500)
        ]
        executions.insert(batch)
        yield from sorted(execution.pk for execution in batch)


def memory_of(served: Any) -> float:
    """Of all processes together; what they share after the fork is counted once where the system tells (Linux)."""
    total = 0.0
    for process in served.members():
        memory = process.memory_full_info()
        total += getattr(memory, "pss", memory.rss)
    return total / 1024 / 1024


def run(bench: Bench, say: Callable[[str], None]) -> None:
    say("first start")
    served = bench.serve("cold start, empty database")
    bench.enter()
    three = bench.customer.post("/v1/workflows", pipeline("three", 3))["id"]
    four = bench.customer.post("/v1/workflows", pipeline("four", 4))["id"]
    for number in range(ROUNDS):
        say(f"requests, round {number + 1}")
        bench.sync_latency(four)
        bench.list_rate()
        bench.trigger_rate(three)
    bench.note("memory after the load, MB", memory_of(served))
    served.stop()
    for number in range(ROUNDS):
        say(f"worker, round {number + 1}")
        bench.drain_rate(three)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="craft-bench-") as name:
        prepare(Path(name))
        from django.db import connection
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        from craft.console import console

        bench = Bench(Path(name))
        with console.status("") as status:
            run(bench, lambda text: status.update(f"Measuring: {text}"))
        table = Table(
            title=f"Craft on {connection.vendor}, {os.cpu_count()} processors",
            title_justify="left",
            box=SIMPLE_HEAD,
        )
        table.add_column("what", no_wrap=True)
        table.add_column("median", justify="right")
        table.add_column("each round", style="dim")
        for figure, values in bench.figures.items():
            table.add_row(
                figure,
                f"{median(values):,.2f}",
                "  ".join(f"{value:,.2f}" for value in values),
            )
        console.print(table)


if __name__ == "__main__":
    sys.exit(main())
