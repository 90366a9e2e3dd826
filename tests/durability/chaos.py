"""Everything breaks at once, and nothing is lost: `python -m tests.durability.chaos` (`make chaos`).

Executions of five shapes (pure, effects, waits, map, sub-workflow) are started through the API by customers who repeat, under their `Idempotency-Key`, what
was refused or broke off. Meanwhile web and workers are killed, Redis is emptied and taken away, and PostgreSQL is stopped as by a power cut. In the end every
start is one execution, each has completed with what its shape makes, no effect that was written down as finished went out again, and what is counted is
counted once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import secrets
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any

import psycopg

from tests import servers
from tests.durability.installation import Installation, Process
from tests.durability.outside import Outside

ITEMS = 5
WORKERS = 2
CUSTOMERS = 4
PATIENCE_SECONDS = 90.0
PACE_SECONDS = 30.0
"""After the last blow, for what is left. A lease runs out in 15 seconds, and one that was lost three times would be given up."""
REST_SECONDS = (0.3, 1.5)
TROUBLES = (OSError, HTTPException, psycopg.Error)


@dataclass(frozen=True)
class Blows:
    kills: int
    flushes: int = 0
    """Redis loses all it knows."""
    absences: tuple[float, ...] = ()
    """Redis is gone for so many seconds."""
    stops: int = 0
    """PostgreSQL ends at once."""

    def shuffled(self, chance: random.Random) -> list[str | float]:
        drawn: list[str | float] = [
            *["kill"] * self.kills,
            *["flush"] * self.flushes,
            *["stop"] * self.stops,
            *self.absences,
        ]
        chance.shuffle(drawn)
        return drawn


def effect(node_id: str, url: str) -> dict[str, Any]:
    config = {"method": "POST", "url": url, "json": {"from": node_id}}
    retry = {"max_attempts": 5, "initial_seconds": 0.2}
    return {"id": node_id, "type": "http", "config": config, "retry": retry}


def drawn(*nodes: dict[str, Any], edges: list[tuple[str, ...]]) -> dict[str, Any]:
    return {
        "nodes": list(nodes),
        "edges": [
            {"source": source, "target": target, "source_handle": (*handle, "main")[0]}
            for source, target, *handle in edges
        ],
    }


@dataclass
class Shape:
    """A workflow, what it makes of `{"n": n}`, and how many effects one execution of it has."""

    graph: dict[str, Any]
    makes: Callable[[int], Any]
    effects: int = 0
    signalled: bool = False
    workflow: str = ""


def shapes(url: str, inner: str) -> dict[str, Shape]:
    twice = {"id": "twice", "type": "transform", "config": {"expression": "{{ input.n * 2 }}"}}  # fmt: skip
    more = {"id": "more", "type": "transform", "config": {"expression": "{{ input + 1 }}"}}  # fmt: skip
    end = {"id": "end", "type": "output", "config": {"value": "{{ trigger.input.n }}"}}
    items = {"items": f"{{{{ range(trigger.input.n, trigger.input.n + {ITEMS}) }}}}", "at_once": 2}  # fmt: skip
    return {
        "pure": Shape(drawn(twice, more, edges=[("twice", "more")]), lambda n: 2 * n + 1),
        "effects": Shape(
            drawn(
                {"id": "start", "type": "input"},
                effect("left", url),
                effect("right", url),
                {"id": "both", "type": "merge"},
                effect("last", url),
                end,
                edges=[("start", "left"), ("start", "right"), ("left", "both"), ("right", "both"), ("both", "last"), ("last", "end")],
            ),
            lambda n: n,
            effects=3,
        ),
        "waits": Shape(
            drawn(
                {"id": "go", "type": "wait", "config": {"signal": "go"}},
                {"id": "pause", "type": "delay", "config": {"seconds": 0.1}},
                effect("call", url),
                end,
                edges=[("go", "pause"), ("pause", "call"), ("call", "end")],
            ),
            lambda n: n,
            effects=1,
            signalled=True,
        ),
        "map": Shape(
            drawn(
                {"id": "each", "type": "map", "config": items},
                effect("call", url),
                {"id": "item", "type": "output", "config": {"value": "{{ item }}"}},
                edges=[("each", "call", "item"), ("call", "item")],
            ),
            lambda n: [n + i for i in range(ITEMS)],
            effects=ITEMS,
        ),
        "sub": Shape(
            drawn(
                {"id": "inner", "type": "subworkflow", "config": {"workflow": inner}},
                {"id": "more", "type": "transform", "config": {"expression": "{{ input + 1 }}"}},
                edges=[("inner", "more")],
            ),
            lambda n: n + 1,
        ),
    }  # fmt: skip


@dataclass
class Customers:
    """They start executions, one after the other, and send what each waits for. Until it is answered, everything is asked again under the same key."""

    rig: Installation
    shapes: dict[str, Shape]
    total: int
    asked: int = 0
    """How many may be started by now."""
    started: dict[str, tuple[str, int]] = field(default_factory=dict)
    """By execution: its shape and its `n`."""
    _next: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self) -> None:
        for _ in range(CUSTOMERS):
            threading.Thread(target=self._serve, daemon=True).start()

    @property
    def is_done(self) -> bool:
        return len(self.started) == self.total

    def _draw(self) -> int | None:
        with self._lock:
            if self._next >= min(self.asked, self.total):
                return None
            self._next += 1
            return self._next - 1

    def _serve(self) -> None:
        names = list(self.shapes)
        while self._next < self.total:
            number = self._draw()
            if number is None:
                time.sleep(0.05)
                continue
            name = names[number % len(names)]
            shape = self.shapes[name]
            path = f"/v1/workflows/{shape.workflow}/trigger"
            answer = self._insist(path, {"n": number}, f"start-{number}")
            execution = str(answer["data"]["execution_id"])
            if shape.signalled:
                path = f"/v1/executions/{execution}/signals"
                self._insist(path, {"name": "go"}, f"signal-{number}")
            with self._lock:
                self.started[execution] = name, number

    def _insist(self, path: str, body: Any, key: str) -> Any:
        while True:
            with contextlib.suppress(*TROUBLES, json.JSONDecodeError):
                status, answer = self.rig.call(
                    "POST", path, body, headers={"Idempotency-Key": key}
                )
                if status == 202:
                    return answer
                if status not in {409, 429, 500, 502, 503, 504}:
                    raise AssertionError(f"{path} answered {status}: {answer}")
            time.sleep(0.1)


@dataclass
class Witness:
    """Remembers which effects stood in the rows as finished, and when it knew."""

    rig: Installation
    seen: dict[str, float] = field(default_factory=dict)
    _last: int = 0

    def look(self) -> None:
        with contextlib.suppress(*TROUBLES):
            rows = self.rig.rows(
                "SELECT execution_id, node_id, iteration FROM workflows_step WHERE type = 'http' AND status = 'completed'"
            )
            # Not before it asked: calls may have been made, and finished, meanwhile.
            at = time.monotonic()
            for execution, node, iteration in rows:
                self.seen.setdefault(f"{execution}:{node}:{iteration}", at)


class Chaos:
    def __init__(
        self,
        rig: Installation,
        outside: Outside,
        *,
        executions: int,
        blows: Blows,
        seed: int,
        postgres: servers.Postgres | None = None,
        redis: servers.Redis | None = None,
        is_paced: bool = False,
        say: Callable[[str], Any] = lambda line: None,
    ) -> None:
        self.rig, self.outside, self.say = rig, outside, say
        self.executions, self.blows = executions, blows
        self.chance = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
        self.postgres, self.redis, self.is_paced = postgres, redis, is_paced
        self.workers: list[Process] = []
        self.witness = Witness(rig)

    def run(self) -> dict[str, Any]:
        """Raises AssertionError where anything is lost, stuck or doubled; gives what was counted."""
        begun = time.monotonic()
        customers = self._open()
        customers.begin()
        blows = self.blows.shuffled(self.chance)
        for number, blow in enumerate(blows, 1):
            if self.is_paced:
                self._catch_up(customers)
            customers.asked = max(1, self.executions * number // len(blows))
            time.sleep(self.chance.uniform(*REST_SECONDS))
            self.witness.look()
            self._strike(blow)
            if number % 10 == 0:
                self.say(f"{number} of {len(blows)} blows, {len(customers.started):,} started")  # fmt: skip
        last = time.monotonic()
        customers.asked = self.executions
        self._wait(lambda: customers.is_done, "every start is answered")
        took = self._wait_for_ends(last)
        self._check(customers)
        return {
            "executions": len(customers.started),
            "blows": len(blows),
            "calls": len(self.outside.calls),
            "repeated in flight": self._repeated,
            "terminal after the last blow, seconds": round(took, 1),
            "seconds": round(time.monotonic() - begun),
        }

    # --- Before ---

    def _open(self) -> Customers:
        url = self.outside.url("/effect")
        self.rig.start_web()
        inner = self.rig.create_workflow(
            **drawn(effect("call", url), {"id": "end", "type": "output", "config": {"value": "{{ trigger.input.n }}"}}, edges=[("call", "end")])
        )  # fmt: skip
        made = shapes(url, inner)
        for shape in made.values():
            shape.workflow = self.rig.create_workflow(**shape.graph)
        self.inner = inner
        if not self.rig.is_embedded:
            self.workers = [self.rig.start_worker() for _ in range(WORKERS)]
        return Customers(self.rig, made, self.executions)

    # --- Meanwhile ---

    def _strike(self, blow: str | float) -> None:
        match blow:
            case "kill":
                self._kill()
            case "flush" if self.redis is not None:
                self.redis.empty()
            case "stop" if self.postgres is not None:
                self.postgres.stop(signal.SIGQUIT)
                self.postgres.start()
            case float() if self.redis is not None:
                self.redis.stop()
                time.sleep(blow)
                self.redis.start()

    def _kill(self) -> None:
        """One process, and another in its place."""
        number = self.chance.randrange(len(self.workers) + 1)
        if number == len(self.workers):
            self.rig.kill_web()
            self.rig.start_web()
        else:
            self.workers[number].kill()
            self.workers[number] = self.rig.start_worker()

    def _catch_up(self, customers: Customers) -> None:
        """The blows fall on all of the executions, and not on those alone that a Craft in constant trouble gets started."""
        until = time.monotonic() + PACE_SECONDS
        while len(customers.started) < customers.asked and time.monotonic() < until:
            time.sleep(0.1)

    # --- Afterwards ---

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_SECONDS + self.executions / 20
        while not condition():
            if time.monotonic() > until:
                raise AssertionError(f"{what}: not in time")
            time.sleep(0.2)

    def _wait_for_ends(self, last: float) -> float:
        def is_over() -> bool:
            with contextlib.suppress(*TROUBLES):
                rows = self.rig.rows(
                    "SELECT count(*) FROM workflows_execution WHERE status IN ('pending', 'running', 'waiting')"
                )
                return rows[0][0] == 0
            return False

        self._wait(is_over, "all executions are over")
        return time.monotonic() - last

    def _check(self, customers: Customers) -> None:
        rows = self.rig.rows(
            "SELECT id, workflow_id, status, output, error, parent_id FROM workflows_execution"
        )
        roots = {row[0]: row for row in rows if row[5] is None}
        assert set(customers.started) == set(roots), "a start was lost, or made twice"
        for execution, (name, number) in customers.started.items():
            _, _, status, output, error, _ = roots[execution]
            assert status == "completed", (execution, name, status, error)
            made = json.loads(output) if isinstance(output, str) else output
            assert made == customers.shapes[name].makes(number), (execution, name, made)
        children = Counter(row[5] for row in rows if row[5] is not None)
        subs = {id for id, (name, _) in customers.started.items() if name == "sub"}
        assert set(children) == subs
        assert set(children.values()) <= {1}, "a sub-workflow was started twice"
        self._check_effects(customers, rows)
        self._check_counts(customers, rows)

    def _check_effects(self, customers: Customers, rows: list[Any]) -> None:
        calls = Counter(call.key for call in self.outside.calls)
        expected = sum(
            customers.shapes[name].effects for name, _ in customers.started.values()
        ) + sum(1 for row in rows if row[5] is not None)
        assert len(calls) == expected, (len(calls), expected)
        for call in self.outside.calls:
            finished = self.witness.seen.get(call.key)
            assert finished is None or call.at <= finished, (
                f"seen as finished at {finished}, and repeated: {[each for each in self.outside.calls if each.key == call.key]}"
            )
        self._repeated = sum(number - 1 for number in calls.values())
        left = self.rig.rows(
            "SELECT count(*) FROM workflows_step WHERE completed_at IS NULL"
        )
        assert left == [(0,)], "a step was left open"

    def _check_counts(self, customers: Customers, rows: list[Any]) -> None:
        made = Counter(row[1] for row in rows)
        counted = self.rig.rows(
            "SELECT id, usage_count, ended_count FROM workflows_workflow"
        )
        for workflow, usage, ended in counted:
            assert usage == ended == made[workflow], (workflow, usage, ended, made)


@contextlib.contextmanager
def own_rig(folder: Path, outside: Outside, *, embedded: bool) -> Iterator[Any]:
    """`(rig, postgres, redis)`, all of one's own."""
    with contextlib.ExitStack() as stack:
        stores: dict[str, str] = {}
        postgres = redis = None
        if not embedded:
            place = stack.enter_context(servers.private_folder())
            postgres = stack.enter_context(servers.postgres(place, durable=True))
            redis = stack.enter_context(servers.redis_server(place))
            stores = {"database_url": postgres.url, "redis_url": redis.url}
        rig = Installation(folder, CRAFT_OUTBOUND_ALLOW=outside.address, **stores)
        stack.callback(rig.kill_all)
        rig.set_up()
        yield rig, postgres, redis


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--executions", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6))
    parser.add_argument("--sqlite", action="store_true", help="on the embedded default")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)  # noqa: T201
    outside = Outside(seed=given.seed)
    blows = Blows(given.kills)
    if not given.sqlite:
        blows = Blows(given.kills, flushes=5, absences=(60.0,), stops=3)
    try:
        with (
            servers.private_folder() as folder,
            own_rig(folder, outside, embedded=given.sqlite) as (rig, postgres, redis),
        ):
            chaos = Chaos(
                rig,
                outside,
                executions=given.executions,
                blows=blows,
                seed=given.seed,
                postgres=postgres,
                redis=redis,
                is_paced=True,
                say=lambda line: print(line, flush=True),  # noqa: T201
            )
            for name, figure in chaos.run().items():
                print(f"{name:>40}  {figure:,}")  # noqa: T201
    finally:
        outside.close()
    print("0 lost, 0 stuck, 0 doubled")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
