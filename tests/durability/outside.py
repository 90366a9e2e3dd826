"""The world that effects reach: an HTTP server that writes down every call by its `Idempotency-Key`, in rounds."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Seen:
    key: str
    path: str
    round: int
    port: int
    """The caller's."""
    at: float = 0.0
    """Monotonic."""


class Outside:
    """`/effect` takes a moment, `/slow` as long as `hold` says or until the caller goes away, `/deadly` calls `on_deadly` with the caller's port."""

    def __init__(self, *, seed: int = 0) -> None:
        self.calls: list[Seen] = []
        self._numbers: Counter[str] = Counter()
        self._noting = threading.Lock()
        self.left_at: dict[str, float] = {}
        """When the caller of a slow call hung up, by key (monotonic)."""
        self.round = 0
        self.hold = threading.Event()
        self.on_deadly: Callable[[int], None] = lambda port: None
        self._random = random.Random(seed)  # noqa: S311
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        return f"http://{self.address}{path}"

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()

    def forget(self) -> None:
        self.calls, self.left_at, self.round = [], {}, 0
        self._numbers = Counter()
        self.hold.clear()

    def times(self, key: str) -> int:
        return self._numbers[key]

    def in_round(self, number: int) -> Counter[str]:
        return Counter(call.key for call in self.calls if call.round == number)

    def has_seen(self, calls: int, number: int) -> bool:
        return sum(call.round == number for call in self.calls) >= calls

    def settle(self) -> None:
        """Until nothing new has come in for a moment: what a killed process had sent is then written down."""
        known = -1
        while known != len(self.calls):
            known = len(self.calls)
            time.sleep(0.1)

    def answer(self, handler: BaseHTTPRequestHandler) -> dict[str, Any]:
        key = handler.headers.get("Idempotency-Key", "")
        port = int(handler.client_address[1])
        with self._noting:
            now = time.monotonic()
            self.calls.append(Seen(key, handler.path, self.round, port, now))
            self._numbers[key] += 1
            number = self._numbers[key]
        match handler.path:
            case "/effect":
                time.sleep(self._random.uniform(0.01, 0.12))
            case "/slow":
                self._hold(handler, key)
            case "/deadly":
                self.on_deadly(port)
        return {"key": key, "call": number}

    def _hold(self, handler: BaseHTTPRequestHandler, key: str) -> None:
        handler.connection.settimeout(0.02)
        while not self.hold.is_set():
            try:
                if handler.connection.recv(1) == b"":
                    self.left_at[key] = time.monotonic()
                    return
            except TimeoutError:
                continue
        handler.connection.settimeout(None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 4_096

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that was killed can't be answered."""


def _handler(outside: Outside) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.dumps(outside.answer(self)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
