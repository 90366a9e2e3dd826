"""Calls that come at the same time, answered together by one thread: who waits, for whom, and what becomes of each."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import pytest

from craft.api import light
from craft.api.envelopes import dialect_for
from craft.api.light import Answer, Call, Group, LightCall

PATH = "/v1/things"
SECONDS = 10


class Kitchen:
    """Answers each call with how many it was answered with, once the door is open."""

    def __init__(self):
        self.sizes = []
        self.door = threading.Event()
        self.door.set()
        self.fault = None
        self.group = Group(LightCall("GET", re.compile(PATH), "GET", self.answer))
        self.group.begin()

    def answer(self, calls):
        self.sizes.append(len(calls))
        assert self.door.wait(SECONDS)
        if self.fault:
            raise self.fault
        for call in calls:
            call.answer = Answer(200, len(calls))

    def call(self):
        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": PATH,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "wsgi.input": BytesIO(),
        }
        found = re.fullmatch(PATH, PATH)
        return self.group.answer(Call(environ, found, dialect_for(PATH), "req_1"))

    def together(self, pool, number):
        """Calls that come while one is being answered."""
        self.door.clear()
        first = pool.submit(self.call)
        self.wait_for(lambda: self.sizes)
        others = [pool.submit(self.call) for _ in range(number)]
        self.wait_for(lambda: len(self.group._waiting) == number)
        self.door.set()
        return [each.result(SECONDS) for each in (first, *others)]

    @staticmethod
    def wait_for(holds):
        until = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < until
            time.sleep(0.001)


@pytest.fixture
def kitchen():
    return Kitchen()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(20) as pool:
        yield pool


@pytest.fixture
def patience(monkeypatch):
    """From when it is called, who waits for others waits so long that it can't be overlooked."""
    return lambda: monkeypatch.setattr(light, "GATHER_SECONDS", SECONDS)


def test_a_lone_caller_waits_for_nobody(kitchen, patience):
    patience()
    began = time.perf_counter()
    for _ in range(50):
        assert kitchen.call().data == 1
    assert kitchen.sizes == [1] * 50
    assert time.perf_counter() - began < SECONDS


def test_who_comes_while_others_are_answered_is_answered_with_those_who_wait(
    kitchen, pool
):
    answers = kitchen.together(pool, 9)
    assert [answer.data for answer in answers] == [1] + [9] * 9


def test_who_was_told_together_comes_back_together(kitchen, pool, patience):
    """Also those who come a moment later than the first."""
    kitchen.together(pool, 9)
    patience()
    again = []
    for _ in range(9):
        again.append(pool.submit(kitchen.call))
        time.sleep(0.001)
    assert [each.result(SECONDS).data for each in again] == [9] * 9


def test_nobody_waits_for_those_who_never_come_back(kitchen, pool, patience):
    kitchen.together(pool, 9)
    began = time.perf_counter()
    assert kitchen.call().data == 1, "when the others have been waited for"
    patience()
    for _ in range(20):
        kitchen.call()
    assert time.perf_counter() - began < SECONDS, "they are forgotten"


def test_whoever_can_not_be_told_is_answered_all_the_same(kitchen, monkeypatch):
    kitchen.fault = RuntimeError("the database is gone")
    monkeypatch.setattr(light, "failed", None)
    assert kitchen.call().status == 500
    kitchen.fault = None
    assert kitchen.call().status == 200


def test_what_goes_wrong_is_told_to_each_and_ends_nothing(kitchen, pool):
    kitchen.fault = RuntimeError("the database is gone")
    answers = kitchen.together(pool, 5)
    assert [answer.status for answer in answers] == [500] * 6
    kitchen.fault = None
    assert kitchen.call().status == 200
