"""`manage.py up` as a person or a process manager meets it: started, stopped, killed, and started where something serves already."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings

from tests import stores
from tests.durability.serving import Served
from tests.servers import free_port


@pytest.fixture
def up(tmp_path) -> Iterator[Callable[..., Served]]:
    """`up()` starts one; all use the same data. The first finds an up-to-date database, unless it is to be a `new` installation."""
    started: list[Served] = []

    def start(*arguments: str, port: int | None = None, new: bool = False) -> Served:
        if not started and not new:
            stores.put_sqlite(tmp_path / "var" / "craft.sqlite3")
        port = port or (started[0].port if started else free_port())
        started.append(Served(tmp_path, port, *arguments))
        return started[-1]

    yield start
    for served in started:
        served.remove()


def test_one_command_serves_with_worker_and_scheduler_and_stops_in_time(up, tmp_path):
    served = up(new=True).await_ready()
    assert served.get("/readyz")[1]["checks"] == {
        "database": True,
        "migrations": True,
        "sweep": True,
    }
    assert served.get("/api/v1/health")[1]["status"] == "ok"
    assert f"http://127.0.0.1:{served.port}/docs/" in served.said()
    assert (tmp_path / "var").stat().st_mode & 0o077 == 0
    assert (tmp_path / "var" / "secret_key").stat().st_mode & 0o077 == 0

    second = up()
    assert second.process.wait(30) == 1
    assert f"Craft already serves at http://127.0.0.1:{served.port}" in second.said()

    assert served.stop() < 10
    assert served.process.returncode == 0
    assert served.members() == []
    assert "Traceback" not in served.said()


@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_ctrl_c_stops_everything_also_while_it_starts_and_when_pressed_thrice(
    up, seconds
):
    served = up()
    served.wait_for(lambda: served.servers() or served.answers())
    time.sleep(seconds)
    began = time.monotonic()
    for _ in range(3):
        served.press_ctrl_c()
        time.sleep(0.05)
    served.process.wait(20)
    assert time.monotonic() - began < 10
    served.wait_for(lambda: not served.members())
    assert "Traceback" not in served.said()


def test_a_closed_terminal_stops_it(up):
    served = up().await_ready()
    os.killpg(served.process.pid, signal.SIGHUP)
    served.process.wait(20)
    assert served.process.returncode == 0
    assert served.members() == []


def test_a_request_that_never_ends_does_not_hold_the_stop_up(up):
    served = up().await_ready()
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.send(b"GET /healthz HTTP/1.1\r\nHost: local")
        assert served.stop() < 10
    assert served.members() == []


def test_a_killed_server_process_is_started_again_and_again(up):
    served = up().await_ready()
    for _ in range(3):
        (server,) = served.servers()
        os.kill(server, signal.SIGKILL)
        served.wait_for(
            lambda killed=server: (
                served.servers() not in ([], [killed]) and served.is_ready()
            )
        )
    assert served.stop() < 10


def test_nobody_is_left_when_the_command_is_killed_and_the_next_one_takes_over(up):
    first = up().await_ready()
    first.process.kill()
    first.process.wait()
    second = up()
    second.wait_for(second.servers)
    second.await_ready()
    assert first.members() == []
    assert second.stop() < 10


def test_a_taken_port_is_one_sentence_that_names_a_way_out(up):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        refused = up(port=other.getsockname()[1])
        assert refused.process.wait(30) == 1
    (sentence,) = refused.said().strip().splitlines()
    assert "taken by another program" in sentence
    assert "make run PORT=" in sentence


def test_a_wrong_setting_stops_the_start_with_a_sentence(tmp_path):
    environment = os.environ | {
        "CRAFT_VAR_DIR": str(tmp_path),
        "CRAFT_SECRET_KEY": "short",
        "PORT": str(free_port()),
    }
    ended = subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=settings.BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    assert "CRAFT_SECRET_KEY has 5 characters" in ended.stderr


def test_the_demo_goes_on_where_it_was_killed_and_is_told_once(up, tmp_path):
    state = tmp_path / "var" / "demo.json"
    for milestone in ('"registered"', '"key"'):
        served = up("--demo")
        served.wait_for(
            lambda word=milestone: state.exists() and word in state.read_text()
        )
        time.sleep(1)
        os.killpg(served.process.pid, signal.SIGKILL)
        served.process.wait()
    last = up("--demo")
    last.wait_for(
        lambda: state.exists() and "done" in json.loads(state.read_text()), seconds=120
    )
    last.wait_for(lambda: "Paste this" in last.said())
    assert last.stop() < 10
    told = " ".join(last.said().split())
    assert "There are 318 flights" in told
    assert "51 of 250 flights left 15 minutes late or more" in told
    assert rows_in(tmp_path) == {
        "accounts_company": 1,
        "datasources_datasource": 1,
        "agents_agent": 1,
        "workflows_workflow": 2,
        "workflows_execution where status = 'completed'": 500,
        "accounts_user where is_superuser": 1,
    }
    assert set(json.loads(state.read_text())) == {"registered", "done"}

    again = up("--demo").await_ready()
    again.wait_for(lambda: "The demo company is there" in again.said())
    assert again.stop() < 10
    assert rows_in(tmp_path)["workflows_execution where status = 'completed'"] == 500


COUNTED = (
    "accounts_company",
    "datasources_datasource",
    "agents_agent",
    "workflows_workflow",
    "workflows_execution where status = 'completed'",
    "accounts_user where is_superuser",
)


def rows_in(folder) -> dict[str, int]:
    with contextlib.closing(
        sqlite3.connect(folder / "var" / "craft.sqlite3")
    ) as database:
        return {
            rows: database.execute(f"select count(*) from {rows}").fetchone()[0]  # noqa: S608
            for rows in COUNTED
        }
