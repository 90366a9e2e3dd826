"""A real `manage.py up` in a process group of its own, on the embedded default, with its data in a folder of the test's."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
from django.conf import settings

START_SECONDS = 60


def _let_hang_ups_count() -> None:
    """Also where the tests run under `nohup`, which their children inherit."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Served:
    def __init__(self, folder: Path, port: int, *arguments: str, **more: str) -> None:
        """`more` goes into its environment."""
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
                | {"CRAFT_VAR_DIR": str(folder / "var"), "PORT": str(port)}
                | more,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_let_hang_ups_count,
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
        with contextlib.suppress(psutil.NoSuchProcess):
            return [
                child.pid
                for child in psutil.Process(self.process.pid).children()
                if child.status() != psutil.STATUS_ZOMBIE
            ]
        return []

    def members(self) -> list[psutil.Process]:
        """Every process of the group that is still there."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                if (
                    os.getpgid(process.pid) == self.process.pid
                    and process.status() != psutil.STATUS_ZOMBIE
                ):
                    found.append(process)
        return found

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
