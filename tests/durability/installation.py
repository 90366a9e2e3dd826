"""A Craft as an operator runs it: real processes, on a database and at a port of their own. What is started here is killed by its process group only."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from pysqlite3 import dbapi2 as sqlite3

USUAL_START_SECONDS = 4
ROOT = Path(__file__).resolve().parents[2]
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
QUICK = {"DJANGO_SETTINGS_MODULE": "tests.durability.quick_settings"}
SET_UP = """
from django.core.management import call_command
from accounts.services import keys, people
from billing.services import set_plan
call_command("migrate", verbosity=0)
session = people.register(
    email="owner@example.com", password="correct horse battery", full_name="Owner", company_name="Rig"
)
membership = session.membership
set_plan(company=membership.company, slug="agents-enterprise")
key = keys.create_api_key(
    membership=membership, name="rig", permissions=["read", "write", "admin"], look="ak", by=keys.Grantor(frozenset(["read", "write", "admin"]))
)
print("KEY", key.secret)
"""

T = TypeVar("T")


def until(
    condition: Callable[[], T], *, seconds: float, what: str, since: float | None = None
) -> T:
    """The condition's first true value. Fails when the time is up."""
    deadline = (since or time.monotonic()) + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A process with all that it starts: the leader of a session of its own."""

    def __init__(self, arguments: list[str], env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    def members(self) -> list[int]:
        """Every process of the group that is still alive."""
        return [
            pid
            for pid, group, state in _processes()
            if group == self.pid and state != "Z"
        ]

    def signal(self, number: int) -> None:
        """As the terminal does it: to the whole group."""
        if self.members():
            os.killpg(self.pid, number)

    def ask_to_stop(self) -> None:
        """As a process manager does it: to the first process only."""
        self._popen.terminate()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._popen.wait()
        until(lambda: not self.members(), seconds=5, what="the killed group is gone")

    def wait(self, seconds: float) -> int:
        return self._popen.wait(seconds)

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    def owns(self, pid: int) -> bool:
        return pid in self.members()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def _processes() -> Iterator[tuple[int, int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            yield int(entry.name), int(fields[2]), fields[0]


def owner_of_port(port: int, group: list[int]) -> int | None:
    """Which of these processes has a socket at this local port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(f":{port:04X}")}
    for pid in group:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                if str(descriptor.readlink()) in inodes:
                    return pid
            except OSError:
                continue
    return None


class Installation:
    """On the embedded default `manage.py up` is the web and the worker. With PostgreSQL and Redis the worker is Celery's own."""

    def __init__(
        self, folder: Path, *, database_url: str = "", redis_url: str = "", **env: str
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self.is_embedded = not redis_url
        self._database_url = database_url
        self._running: list[Process] = []
        self._web: Process | None = None
        self._key = ""
        self._slowness = 1.0
        self.env = {
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
            "CRAFT_VAR_DIR": str(folder),
            "CRAFT_SECRET_KEY": "only-for-tests-" * 4,
            "PORT": str(self.port),
            **({"DATABASE_URL": database_url} if database_url else {}),
            **({"REDIS_URL": redis_url} if redis_url else {}),
            **env,
        }

    # --- Processes ---

    def start_web(self, *, asks: str = "/healthz") -> Process:
        """`manage.py up`, once it answers; the one that runs, if it does."""
        if self._web is not None and self._web.is_alive:
            return self._web
        begun = time.monotonic()
        process = self._web = self._start("manage.py", "up", log="up")

        def answers() -> bool:
            if not process.is_alive:
                raise AssertionError(f"manage.py up has ended:\n{process.tail()}")
            return self._answers(asks)

        until(answers, seconds=60, what=f"manage.py up serves ({process.log})")
        assert owner_of_port(self.port, process.members()), "the port is another's"
        self._slowness = max(1.0, (time.monotonic() - begun) / USUAL_START_SECONDS)
        return process

    def until(
        self,
        condition: Callable[[], T],
        *,
        seconds: float,
        what: str,
        since: float | None = None,
    ) -> T:
        """As above; with more patience on a machine that is busy with something else, as seen when the web was started last."""
        return until(
            condition, seconds=seconds * self._slowness, what=what, since=since
        )

    def start_worker(self, *, quick: bool = False) -> Process:
        """What carries executions, and what these tests kill. With `quick` leases where Celery does it."""
        if self.is_embedded:
            return self.start_web()
        more = QUICK if quick else {}
        return self._start(
            "-m", "celery", "-A", "craft", "worker", log="worker", **more
        )

    def _start(self, *arguments: str, log: str, **env: str) -> Process:
        number = len(list(self.folder.glob(f"{log}*.log")))
        path = self.folder / f"{log}{number}.log"
        process = Process(list(arguments), {**self.env, **env}, path)
        self._running.append(process)
        return process

    def _answers(self, path: str) -> bool:
        try:
            return self.call("GET", path)[0] == 200
        except (OSError, HTTPException):
            return False

    def members(self) -> list[int]:
        return [pid for process in self._running for pid in process.members()]

    def workers(self) -> list[int]:
        """The processes that carry executions, and those that they belong to."""
        return [
            pid
            for process in self._running
            if self.is_embedded or process is not self._web
            for pid in process.members()
        ]

    def kill_workers(self) -> None:
        """What runs beside the web."""
        for process in self._running:
            if process is not self._web:
                process.kill()

    def kill_web(self) -> None:
        if self._web is not None:
            self._web.kill()

    def kill_all(self) -> None:
        for process in self._running:
            process.kill()

    def run(self, *arguments: str) -> str:
        """One command of `manage.py`, to its end."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=300,  # the migrations, on a machine that is busy with something else
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    # --- The API ---

    def set_up(self) -> None:
        """A company without limits, and a key of it."""
        lines = self.run("shell", "-v", "0", "-c", SET_UP).splitlines()
        self._key = next(line.split()[1] for line in lines if line.startswith("KEY"))

    @contextmanager
    def connection(self) -> Iterator[HTTPConnection]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            yield connection
        finally:
            connection.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        over: HTTPConnection | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        if over is None:
            with self.connection() as connection:
                return self.call(method, path, body, over=connection, headers=headers)
        headers = {"Authorization": f"Bearer {self._key}", **(headers or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        over.request(method, path, None if body is None else json.dumps(body), headers)
        answer = over.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def create_workflow(self, **fields: Any) -> str:
        made = {"name": "Rig", "status": "published", **fields}
        status, answer = self.call("POST", "/v1/workflows", made)
        assert status == 201, answer
        return str(answer["data"]["id"])

    def trigger(
        self, workflow: str, input: Any, over: HTTPConnection | None = None
    ) -> str:
        path = f"/v1/workflows/{workflow}/trigger"
        status, answer = self.call("POST", path, input, over=over)
        assert status == 202, answer
        return str(answer["data"]["execution_id"])

    # --- Rows ---

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        if self._database_url:
            with psycopg.connect(self._database_url) as postgres:
                return postgres.execute(statement).fetchall()
        path = self.folder / "craft.sqlite3"
        sqlite = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)
        try:
            found: list[tuple[Any, ...]] = sqlite.execute(statement).fetchall()
            return found
        finally:
            sqlite.close()

    def execution(self, execution_id: str) -> dict[str, Any]:
        """Asked of the API."""
        status, answer = self.call("GET", f"/v1/executions/{execution_id}")
        assert status == 200, answer
        found: dict[str, Any] = answer["data"]
        return found
