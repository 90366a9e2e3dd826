"""A process that makes calls as its parent orders them, one line of JSON after the other. For each order it forks a process that makes the calls, several at
once; with `die` that one kills itself at that moment of its first call, as SIGKILL does it. Forked, it need not load Django again.
"""

import base64
import json
import os
import signal
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from threading import local

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connections
from rest_framework.test import APIClient

from craft.api import idempotency
from datasources import services as datasources


def main() -> None:
    """Answers each line, a list of orders for processes at the same time, with one: a list of `[exit code, answers]`."""
    import_module(settings.ROOT_URLCONF)  # what every call needs is loaded once
    datasources.warm_up()
    for line in sys.stdin:
        connections.close_all()  # a connection must not be shared by a fork
        begun = [begin(orders) for orders in json.loads(line)]
        sys.stdout.write(json.dumps([end(*process) for process in begun]) + "\n")
        sys.stdout.flush()


def begin(orders: dict) -> tuple[int, str]:
    handle, path = tempfile.mkstemp()
    pid = os.fork()
    if pid == 0:
        with os.fdopen(handle, "w") as answers:
            obey(orders, answers)
        os._exit(0)
    os.close(handle)
    return pid, path


def end(pid: int, path: str) -> tuple[int, list[dict]]:
    _, status = os.waitpid(pid, 0)
    found = [json.loads(line) for line in Path(path).read_text().splitlines()]
    Path(path).unlink()
    return os.waitstatus_to_exitcode(status), found


def obey(orders: dict, answers) -> None:
    die_at(orders.get("die"))
    with ThreadPoolExecutor(orders.get("threads", 1)) as pool:
        for answer in pool.map(
            lambda call: send(orders["bearer"], call), orders["calls"]
        ):
            answers.write(json.dumps(answer) + "\n")


def die(*args: object, **kwargs: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(moment: str | None) -> None:
    if moment == "before the answer is kept":
        idempotency._sealed = die
    elif moment == "before the answer is sent":
        for name in ("_run_held", "_run_unheld"):
            setattr(idempotency, name, and_die(getattr(idempotency, name)))


def and_die(call):
    def dying(*args):
        call(*args)
        die()

    return dying


own = local()


def send(bearer: str, call: dict) -> dict:
    if not hasattr(own, "client"):
        own.client = APIClient()
        own.client.credentials(HTTP_AUTHORIZATION=f"Bearer {bearer}")
    body, form = call.get("body", {}), "json"
    if "file" in call:
        body = {"file": SimpleUploadedFile("orders.csv", call["file"].encode())}
        form = "multipart"
    answer = own.client.post(
        call["path"],
        body,
        format=form,
        HTTP_HOST="127.0.0.1",
        HTTP_IDEMPOTENCY_KEY=call["key"],
    )
    return {
        "key": call["key"],
        "status": answer.status_code,
        "body": base64.b64encode(answer.content).decode(),
        "location": answer.get("Location"),
        "replayed": answer.get("Idempotent-Replayed") == "true",
    }
