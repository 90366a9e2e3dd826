import fcntl
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from craft.console import announce, console
from craft.demo import report, state, story, workflows
from craft.demo.customer import Customer, RefusedError
from craft.demo.figures import Figures, measure
from craft.lifetime import leave_with
from craft.server import answers

START_SECONDS = 60


class Command(BaseCommand):
    """Acts as a customer of the server at PORT: registers, brings data, asks an agent, triggers workflows, and shows what came of it."""

    help = "Try everything with real data, once. Goes on where it was interrupted."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument(
            "--with-parent", type=int, help="end when this process does"
        )

    def handle(self, *, host: str, with_parent: int | None, **_: Any) -> None:
        if with_parent:
            leave_with(with_parent)
        try:
            with _only_one():
                _await_server(host)
                if with_parent:
                    announce()
                if state.is_done():
                    report.later_steps()
                else:
                    _tell(Customer(host, settings.PORT))
        except RefusedError as error:
            console.print(
                f"\n[red]The demo stopped:[/] {error}. The next start goes on from here.",
                soft_wrap=True,
            )
            sys.exit(1)
        except KeyboardInterrupt:
            sys.exit(130)


@contextmanager
def _only_one() -> Iterator[None]:
    """Waits for another demo to end; the kernel lets go of the lock of one that was killed."""
    with (Path(settings.VAR_DIR) / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _await_server(host: str) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while not answers(host, settings.PORT):
        if time.monotonic() > give_up_at:
            raise RefusedError(
                0,
                f"nothing answers at port {settings.PORT}; start Craft with `make run`",
            )
        time.sleep(0.05)


def _tell(customer: Customer) -> None:
    known = state.load()
    story.make_operator(known)
    report.heading("A customer tries it, with real data")
    story.enter(customer, known)
    report.fact("company", f"{story.COMPANY}, with an API key of its own")
    source = story.bring_data(customer)
    report.fact(
        "data",
        "every flight that left New York in the first week of 2013 (nycflights13, CC0)",
    )
    agent = story.hire(customer, source["id"])
    report.fact(
        "agent", f"{story.AGENT}, on the built-in model craftai-1: no key, no network"
    )

    report.heading("Three questions")
    for question, answered in story.ask(customer, agent["id"]):
        report.answer(question, answered)

    report.heading("Two workflows, and a week of flights through each")
    figures = [
        _run(customer, workflows.PIPELINE),
        _run(customer, workflows.make_graph()),
    ]
    console.print()
    report.results(figures, customer.calls)
    report.next_steps(known, agent["id"])
    state.finish()


def _run(customer: Customer, definition: dict[str, Any]) -> Figures:
    name, since = definition["name"], time.time()
    workflow = story.find_or_make(customer, definition)
    with report.progress() as progress:
        sent = progress.add_task(f"{name}: triggered", total=story.RUNS)
        done = progress.add_task(f"{'':{len(name)}}  completed", total=story.RUNS)
        story.trigger(customer, workflow, lambda: progress.advance(sent))
        story.drain(
            customer, workflow, lambda ended: progress.update(done, completed=ended)
        )
    executions = story.executions_of(customer, workflow)
    return measure(
        name, workflows.SHAPES[name], workflows.FINDINGS[name], executions, since
    )
