"""One installation for all tests of a file: on SQLite, or, where the run has PostgreSQL and Redis (`tests/servers.py`), on a database of its own there."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests import stores
from tests.durability.installation import Installation
from tests.durability.outside import Outside


@pytest.fixture(scope="module")
def seed() -> int:
    """Printed where a test fails; CRAFT_TEST_SEED repeats it."""
    return int(os.environ.get("CRAFT_TEST_SEED") or secrets.randbelow(10**6))


@pytest.fixture(scope="module")
def outside(seed) -> Iterator[Outside]:
    server = Outside(seed=seed)
    yield server
    server.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory, outside) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with own_stores(migrated=True) as own:
        made = Installation(folder, CRAFT_OUTBOUND_ALLOW=outside.address, **own)
        if made.is_embedded:
            stores.put_sqlite(folder / "craft.sqlite3")
        try:
            made.set_up()
            yield made
        finally:
            made.kill_all()


@contextmanager
def own_stores(*, migrated: bool = False) -> Iterator[dict[str, str]]:
    shared = os.environ.get("DATABASE_URL", "")
    if not shared.startswith("postgres"):
        yield {}
        return
    name = f"rig_{secrets.token_hex(4)}"
    template = stores.postgres_template() if migrated else "template1"
    with psycopg.connect(shared, autocommit=True) as postgres:
        postgres.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield {
                "database_url": f"{shared.rpartition('/')[0]}/{name}",
                "redis_url": own_redis(os.environ["REDIS_URL"]),
            }
        finally:
            postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


def own_redis(url: str) -> str:
    """A number that no process of this run has: see `tests/conftest.py`."""
    base, _, number = url.rpartition("/")
    return f"{base}/{8 + int(number) % 8}"


@pytest.fixture
def rig(installation, outside) -> Iterator[Installation]:
    outside.forget()
    yield installation
    installation.kill_workers()
