"""Calls that come by the thousand, answered without the machinery that other calls need, and together.

A light call answers what is plain: a known key, a body that is right, a row that is there. Everything else it leaves to the view at the same address: so no
refusal and no rule is written twice, and what a light call does not know it can't do wrong.

Calls that arrive while others are being answered are answered together: they share a look at the stamps, a count against the limit, a commit. A lone
caller waits for nobody.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from http import HTTPStatus
from io import BytesIO
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.core.handlers.wsgi import WSGIRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string
from rest_framework.exceptions import ParseError

from craft.api.envelopes import Dialect, dialect_for
from craft.api.exceptions import describe, note_unexpected
from craft.api.idempotency import HEADER
from craft.api.limits import CHARGED, headers_of
from craft.api.parsers import read_json
from craft.encoding import to_json
from craft.events import Actor, acting
from craft.fields import new_id
from craft.middleware import REQUEST_ID_HEADER

logger = logging.getLogger("craft.api")

LARGEST_BODY = 100_000
"""Of bytes: what is larger costs so much anyway that it may go the long way."""
GATHER_SECONDS = 0.006
"""Who were answered together mostly come back together: they wait so long for the last of them."""
IDLE_SECONDS = 1.0
"""A connection to the database that was not used for so long may have ended, and is looked at first."""
MOST_PASSAGES = 200
IDEMPOTENCY = "HTTP_" + HEADER.upper().replace("-", "_")
ODD_HEADERS = (IDEMPOTENCY, "HTTP_ORIGIN", "HTTP_X_FORWARDED_HOST", "HTTP_TRANSFER_ENCODING")  # fmt: skip


class NotPlainError(Exception):
    """The view has to look at this."""


@dataclass(eq=False)
class Call:
    """One of those that are answered together. Whatever of them has no `answer` afterwards goes to the view."""

    environ: dict[str, Any]
    found: re.Match[str]
    dialect: Dialect
    request_id: str
    raw: bytes = b""
    body: Any = None
    answer: Answer | None = None

    @cached_property
    def request(self) -> HttpRequest:
        """As the view would find it. To make one takes as long as all else that is done with a plain call here."""
        request: Any = WSGIRequest(self.environ)
        request.request_id = self.request_id  # as craft.middleware does it
        # Django's own; the stream is left to whoever comes next.
        request._body = self.raw
        return request  # type: ignore[no-any-return]  # an HttpRequest with more


@dataclass(frozen=True)
class Answer:
    status: int
    data: Any
    """JSON, or what `orjson` takes for it."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LightCall:
    """`answer` gets the calls with what the pattern found in each path, and answers those that are plain. `allow` is what the view's address takes.

    What `answer` raises is answered as a view's error would be: it raises nothing after which a view may not try again, unless it is that.
    """

    method: str
    path: re.Pattern[str]
    allow: str
    answer: Callable[[Sequence[Call]], None]


class LightLane:
    """The WSGI application: light calls are answered here, all others by Django."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._groups: dict[str, list[tuple[LightCall, Group]]] = {}
        for dotted in settings.CRAFT_LIGHT_CALLS:
            light: LightCall = import_string(dotted)
            self._groups.setdefault(light.method, []).append((light, Group(light)))

    def gather(self) -> None:
        """From now on, in this process, answer calls together that come at the same time."""
        for groups in self._groups.values():
            for _, group in groups:
                group.begin()

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        told = self.answer(environ)
        if told is None:
            return self._application(environ, start_response)
        status, headers, body = told
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def answer(
        self, environ: dict[str, Any]
    ) -> tuple[int, list[tuple[str, str]], bytes] | None:
        """None where it is for Django, which finds the request as it was."""
        path = environ["PATH_INFO"]
        for light, group in self._groups.get(environ["REQUEST_METHOD"], ()):
            if found := light.path.fullmatch(path):
                passage = passage_for(environ)
                if passage is None:
                    return None
                try:
                    call = _plain_call(environ, found)
                except NotPlainError:
                    return None
                answer = group.answer(call)
                return None if answer is None else _told(light, call, answer, passage)
        return None


def _plain_call(environ: dict[str, Any], found: re.Match[str]) -> Call:
    """Raises NotPlainError for whatever asks for something special."""
    if (
        environ.get("QUERY_STRING")
        or environ.get("SCRIPT_NAME")
        or environ.get("HTTP_ACCEPT", "*/*") not in {"*/*", "application/json"}
        or any(name in environ for name in ODD_HEADERS)
    ):
        raise NotPlainError
    raw = _raw_body(environ) if environ["REQUEST_METHOD"] == "POST" else b""
    try:
        body = read_json(raw)
    except ParseError:
        raise NotPlainError from None
    dialect = dialect_for(environ["PATH_INFO"])
    return Call(environ, found, dialect, new_id("req"), raw, body)


def _raw_body(environ: dict[str, Any]) -> bytes:
    length = environ.get("CONTENT_LENGTH") or ""
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0]
    if kind != "application/json" or not length.isdigit() or len(length) > 6:
        raise NotPlainError
    if int(length) > LARGEST_BODY:
        raise NotPlainError
    raw: bytes = environ["wsgi.input"].read(int(length))
    environ["wsgi.input"] = BytesIO(raw)
    return raw


def _told(
    light: LightCall, call: Call, answer: Answer, passage: tuple[tuple[str, str], ...]
) -> tuple[int, list[tuple[str, str]], bytes]:
    body = to_json(answer.data)
    headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Allow", light.allow),  # as DRF says it on every answer
        (REQUEST_ID_HEADER, call.request_id),
        *headers_of(call.environ.get(CHARGED)),
        *answer.headers.items(),
        *passage,
    ]
    return answer.status, headers, body


# --- Together ---


@dataclass(eq=False)
class _Place:
    """Of a call among those that wait. Its thread wakes the one behind it: woken all at once they would only fight for the interpreter, for a tenth of the
    throughput."""

    call: Call
    turn: threading.Lock = field(default_factory=threading.Lock)
    behind: _Place | None = None

    def wait(self) -> None:
        self.turn.acquire()
        if self.behind is not None:
            self.behind.turn.release()


class Group:
    """The calls of one kind. Once it gathers, a thread of its own answers them; before that each is answered where it is made."""

    def __init__(self, light: LightCall) -> None:
        self._light = light
        self._lock = threading.Lock()
        self._has_some = threading.Event()
        self._has_all = threading.Event()
        self._waiting: list[_Place] = []
        self._expected = 1
        self._gathers = False

    def begin(self) -> None:
        self._gathers = True
        threading.Thread(target=self._serve, name="light", daemon=True).start()

    def answer(self, call: Call) -> Answer | None:
        if not self._gathers:
            self._answer([call])
            return call.answer
        place = _Place(call)
        place.turn.acquire()
        with self._lock:
            self._waiting.append(place)
            if len(self._waiting) == 1:
                self._has_some.set()
            if len(self._waiting) >= self._expected:
                self._has_all.set()
        place.wait()
        return call.answer

    def _serve(self) -> None:
        while True:
            self._has_some.wait()
            self._has_all.wait(GATHER_SECONDS)
            with self._lock:
                taken, self._waiting = self._waiting, []
                self._has_some.clear()
                self._has_all.clear()
            try:
                self._answer([place.call for place in taken])
            except Exception:  # this thread is the only one that they have
                logger.exception("light calls could not even be told what went wrong")
                for place in taken:
                    place.call.answer = place.call.answer or Answer(500, {})
            with self._lock:
                # who is told now comes back to those who came meanwhile
                self._expected = len(taken) + len(self._waiting)
            for place, behind in pairwise(taken):
                place.behind = behind
            taken[0].turn.release()

    def _answer(self, calls: Sequence[Call]) -> None:
        try:
            _look_after_connection()
            with acting(Actor()):  # what they do is theirs together
                self._light.answer(calls)
        except Exception as error:
            note_unexpected(error)
            for call in calls:
                call.answer = call.answer or failed(call, error)


def failed(call: Call, error: Exception) -> Answer:
    """As a view's error is told."""
    problem, headers = describe(error, call.request)
    return Answer(problem.status, call.dialect.problem(problem), headers)


_used = threading.local()


def _look_after_connection() -> None:
    """What Django does before each request, where there is something to do."""
    now = time.monotonic()
    is_idle = now - getattr(_used, "at", 0.0) > IDLE_SECONDS
    if (is_idle or connection.errors_occurred) and not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    _used.at = now


# --- What all answers say ---


def passage_for(environ: dict[str, Any]) -> tuple[tuple[str, str], ...] | None:
    """The headers that the middleware gives every answer at this host; None where it would answer by itself."""
    proxy = settings.SECURE_PROXY_SSL_HEADER
    return _passage(
        dialect_for(environ["PATH_INFO"]).prefix,
        environ["wsgi.url_scheme"],
        environ.get("HTTP_HOST"),
        environ.get(proxy[0], "") if proxy else "",
        environ["SERVER_NAME"],
        environ["SERVER_PORT"],
    )


@lru_cache(MOST_PASSAGES)
def _passage(
    base: str, scheme: str, host: str | None, forwarded: str, server: str, port: str
) -> tuple[tuple[str, str], ...] | None:
    proxy = settings.SECURE_PROXY_SSL_HEADER
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": f"{base}/",
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "wsgi.url_scheme": scheme,
        "wsgi.input": BytesIO(),
        **({} if host is None else {"HTTP_HOST": host}),
        **({proxy[0]: forwarded} if proxy and forwarded else {}),
    }
    request = WSGIRequest(environ)
    request.rate = None  # type: ignore[attr-defined]  # nothing is counted
    blank = HttpResponse()

    def walk(_: HttpRequest) -> HttpResponse:
        return blank

    for dotted in reversed(settings.CRAFT_LIGHT_MIDDLEWARE):
        walk = import_string(dotted)(walk)
    try:
        is_let_through = walk(request) is blank
    except SuspiciousOperation:  # a host that is not ours
        is_let_through = False
    if not is_let_through:
        return None
    own = {"Content-Type", "Content-Length", REQUEST_ID_HEADER}
    return tuple((name, value) for name, value in blank.items() if name not in own)
