"""A real `manage.py up` in a process group of its own, on the embedded default, with its data in a folder of the test's."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from django.conf import settings

START_SECONDS = 60


def processes() -> Iterator[list[str]]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,pgid=,stat=,args="],  # noqa: S607
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return (line.split(maxsplit=4) for line in listed.splitlines())


class Served:
    def __init__(self, folder: Path, port: int, *arguments: str) -> None:
        self.folder, self.port, self.log = folder, port, folder / "up.log"
        folder.mkdir(parents=True, exist_ok=True)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in {"DATABASE_URL", "REDIS_URL"}
        }
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up", *arguments],
                cwd=settings.BASE_DIR,
                env=environment
                | {"CRAFT_VAR_DIR": str(folder / "var"), "PORT": str(port)},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def get(self, path: str) -> tuple[int, Any]:
        client = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            client.request("GET", path)
            response = client.getresponse()
            return response.status, json.loads(response.read())
        finally:
            client.close()

    def answers(self) -> bool:
        try:
            return self.get("/healthz")[0] == 200
        except OSError:
            return False

    def is_ready(self) -> bool:
        return self.answers() and self.get("/readyz")[0] == 200

    def await_ready(self) -> "Served":
        self.wait_for(self.is_ready)
        return self

    def wait_for(
        self, condition: Callable[[], Any], seconds: float = START_SECONDS
    ) -> None:
        until = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None or condition(), self.said()
            assert time.monotonic() < until, self.said()
            time.sleep(0.02)

    def said(self) -> str:
        return self.log.read_text()

    def servers(self) -> list[int]:
        """The processes that serve: children of the one that was started."""
        return [
            int(pid)
            for pid, parent, *_ in processes()
            if parent == str(self.process.pid)
        ]

    def members(self) -> list[str]:
        """Every process of the group that is still there."""
        return [
            command
            for _, _, group, state, command in processes()
            if group == str(self.process.pid) and not state.startswith("Z")
        ]

    def press_ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def stop(self) -> float:
        """How many seconds it took."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        return time.monotonic() - began

    def remove(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
