"""Jobs that `test_sandbox.py` has run: each tries one thing that a job might."""

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from craft.exceptions import ConflictError, InvalidError


def echo(payload):
    return payload


def add(payload):
    return payload["a"] + payload["b"]


def surroundings(_):
    return {
        "environment": dict(os.environ),
        "folder": [path.name for path in Path().iterdir()],
        "cwd": str(Path.cwd()),
        "pid": os.getpid(),
        "parent": os.getppid(),
        "group": os.getpgid(0),
        "django": "django.apps" in sys.modules
        and sys.modules["django.apps"].apps.ready,
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }


def read(path):
    return Path(path).read_text()


def write(payload):
    Path(payload["path"]).write_text(payload["text"])
    return Path(payload["path"]).stat().st_size


def spin(_):
    while True:
        pass


def sleep(seconds):
    time.sleep(seconds)
    return "slept"


def write_pid_and_sleep(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)


def eat_memory(megabytes):
    return len(bytearray(megabytes * 1024 * 1024))


def answer_much(size):
    return "x" * size


def refuse(_):
    raise ConflictError("It is taken.", details={"name": "taken"})


def refuse_as_invalid(_):
    raise InvalidError("It is wrong.")


def fail(_):
    raise ZeroDivisionError("a bug")


def exit_early(_):
    os._exit(3)


def crash(_):
    os.abort()


def connect(address):
    try:
        socket.create_connection(tuple(address), timeout=2)
    except OSError as error:
        return type(error).__name__
    return "connected"


def start_process(_):
    try:
        subprocess.run(["/bin/true"])
    except OSError as error:
        return type(error).__name__
    return "started"


def fork(_):
    try:
        pid = os.fork()
    except OSError as error:
        return type(error).__name__
    if pid == 0:
        os._exit(0)
    return "forked"


def start_thread(_):
    try:
        threading.Thread(target=lambda: None).start()
    except RuntimeError as error:
        return type(error).__name__
    return "started"


def kill(pid):
    try:
        os.kill(pid, 9)
    except OSError as error:
        return type(error).__name__
    return "killed"


def widen_limits(_):
    try:
        resource.setrlimit(
            resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        )
    except (ValueError, OSError) as error:
        return type(error).__name__
    return "widened"
