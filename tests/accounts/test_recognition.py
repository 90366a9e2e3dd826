"""Keys that processes remember, on real PostgreSQL and Redis: what one process ends, every other refuses from then on."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from django.conf import settings
from django.db import connection

from accounts.models import ApiKey, Membership, User
from accounts.services.keys import (
    Grantor,
    delete_api_key,
    rotate_api_key,
    update_api_key,
)
from tests.factories import make_key
from tests.servers import private_folder, redis_server

pytestmark = [
    pytest.mark.django_db(transaction=True, serialized_rollback=True),
    pytest.mark.skipif(
        not settings.REDIS_URL or settings.DATABASE_IS_SQLITE,
        reason="needs PostgreSQL and Redis: python -m tests.servers",
    ),
]
ALL = Grantor(frozenset({"read", "write", "admin"}))


class Recogniser:
    """See `recogniser.py`."""

    def __init__(self, redis_url):
        said = connection.settings_dict
        database = (
            f"postgres://{said['USER']}@{said['HOST']}:{said['PORT']}/{said['NAME']}"
        )
        env = {**os.environ, "DATABASE_URL": database, "REDIS_URL": redis_url}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.accounts.recogniser"],
            cwd=settings.BASE_DIR,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def receive(self):
        return json.loads(self.process.stdout.readline())

    def ask(self, secret):
        self.send(secret)
        return self.receive()

    def learn(self, secret):
        """Ask until it remembers."""
        for _ in range(3):
            answer = self.ask(secret)
        assert answer["found"]
        assert answer["queries"] == 0
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


@contextmanager
def recogniser(redis_url=None):
    made = Recogniser(redis_url or settings.REDIS_URL)
    try:
        yield made
    finally:
        made.close()


CHANGES = {
    "revoked": lambda bob: delete_api_key(ApiKey.unscoped.get()),
    "rotated": lambda bob: rotate_api_key(
        ApiKey.unscoped.get(), by=ALL, overlap_seconds=0
    ),
    "narrowed": lambda bob: update_api_key(
        ApiKey.unscoped.get(), by=ALL, permissions=["read"]
    ),
    "role": lambda bob: Membership.objects.filter(pk=bob.membership.pk).update(
        role="viewer"
    ),
    "removed": lambda bob: bob.membership.delete(),
    "deactivated": lambda bob: User.objects.filter(pk=bob.user.pk).update(
        is_active=False
    ),
}


def test_what_one_process_ends_two_others_refuse_at_once(alice, bob):
    with recogniser() as first, recogniser() as second:
        for name, change in CHANGES.items():
            ApiKey.unscoped.all().delete()
            secret = make_key(bob, "read", "write")
            assert first.learn(secret)["may"] == ["read", "write"]
            second.learn(secret)
            change(bob)
            for process in (first, second):
                answer = process.ask(secret)
                assert "write" not in answer["may"], name
            Membership.objects.filter(user=bob.user).update(role="member")
            User.objects.filter(pk=bob.user.pk).update(is_active=True)
            if name == "removed":
                bob.membership.save(force_insert=True)


def test_no_call_that_begins_after_a_revocation_is_let_in(alice):
    """Two processes ask as fast as they can while a third revokes."""
    asked = 0
    with recogniser() as first, recogniser() as second:
        for _ in range(20):
            secret = make_key(alice)
            for process in (first, second):
                process.learn(secret)
                process.send(f"!{secret}")
            time.sleep(0.02)  # let them be in the middle of it
            delete_api_key(ApiKey.unscoped.get())
            revoked = time.monotonic()
            for process in (first, second):
                answer = process.receive()
                assert answer["last"] < revoked
                asked += answer["count"]
    assert asked > 100


def test_without_redis_the_database_is_asked_and_nothing_stale_is_served(alice):
    with (
        private_folder() as folder,
        redis_server(folder) as redis,
        recogniser(redis.url) as process,
    ):
        secret = make_key(alice)
        process.learn(secret)
        redis.stop()
        assert process.ask(secret) == {
            "found": True,
            "may": ["admin", "read", "write"],
            "queries": 1,
        }
        delete_api_key(ApiKey.unscoped.get())
        assert process.ask(secret)["found"] is False
