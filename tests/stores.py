"""Databases that are up to date, migrated once for a run of the tests: who wants one of its own copies it, which takes a moment where the migrations take
ten seconds.

The process that begins the run makes the folder and, where it has workers, begins to migrate while they collect. Whoever needs the database waits for
that, or makes it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "CRAFT_TEST_STORES"
SERVICES = ("DATABASE_URL", "REDIS_URL")


@contextmanager
def of_this_run(*, has_workers: bool) -> Iterator[None]:
    folder = Path(tempfile.mkdtemp(prefix="craft-stores-"))
    os.environ[FOLDER] = str(folder)
    preparing = _begin_to_prepare() if has_workers else None
    try:
        yield
    finally:
        if preparing is not None and preparing.poll() is None:
            os.killpg(preparing.pid, signal.SIGKILL)
            preparing.wait()
        if is_on_postgres():
            with psycopg.connect(
                os.environ["DATABASE_URL"], autocommit=True
            ) as postgres:
                postgres.execute(f"DROP DATABASE IF EXISTS {_template()} WITH (FORCE)")
        del os.environ[FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


def _begin_to_prepare() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.stores"], cwd=ROOT, start_new_session=True
    )


def is_on_postgres() -> bool:
    return os.environ.get("DATABASE_URL", "").startswith("postgres")


def prepare() -> None:
    if is_on_postgres():
        postgres_template()
    else:
        put_sqlite(Path(os.environ[FOLDER]) / "unused.sqlite3")


@contextmanager
def _alone(name: str) -> Iterator[Path]:
    """The folder, for one process at a time."""
    folder = Path(os.environ[FOLDER])
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def put_sqlite(path: Path) -> None:
    with _alone("sqlite") as folder:
        made = folder / "migrated" / "craft.sqlite3"
        if not made.exists():
            making = folder / "making"
            _migrate(CRAFT_VAR_DIR=str(making))
            making.rename(made.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(made, path)


def postgres_template() -> str:
    """The name of a database, on the run's server, to be the template of others."""
    url, name = os.environ["DATABASE_URL"], _template()
    with _alone("postgres") as folder:
        done = folder / "postgres.done"
        if not done.exists():
            with psycopg.connect(url, autocommit=True) as postgres:
                postgres.execute(f"DROP DATABASE IF EXISTS {name}")
                postgres.execute(f"CREATE DATABASE {name}")
            _migrate(
                CRAFT_VAR_DIR=str(folder / "var"),
                DATABASE_URL=f"{url.rpartition('/')[0]}/{name}",
                REDIS_URL=os.environ.get("REDIS_URL", ""),
            )
            done.touch()
    return name


def _template() -> str:
    return Path(os.environ[FOLDER]).name.replace("-", "_").lower()


def _migrate(**settings: str) -> None:
    inherited = {
        name: value for name, value in os.environ.items() if name not in SERVICES
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity=0"],
        cwd=ROOT,
        env=inherited | settings,
        check=True,
    )


if __name__ == "__main__":
    prepare()
