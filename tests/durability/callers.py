"""A process that makes calls, several at once, with its orders on standard input as JSON. With `die` it kills itself at that moment of its first call, as
SIGKILL does it.
"""

import base64
import json
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import local

from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from craft.api import idempotency


def main() -> None:
    orders = json.load(sys.stdin)
    die_at(orders.get("die"))
    with ThreadPoolExecutor(orders.get("threads", 1)) as pool:
        for answer in pool.map(
            lambda call: send(orders["bearer"], call), orders["calls"]
        ):
            sys.stdout.write(json.dumps(answer) + "\n")


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
