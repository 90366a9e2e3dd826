"""Executions watched as a client watches them: a real server, real connections, dropped and taken up again."""

import json
import threading
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from tests import stores
from tests.durability.serving import Served
from tests.servers import free_port
from workflows.services.watching import MOST_OF_A_COMPANY

GRAPH = {
    "nodes": [
        {"id": "start", "type": "input"},
        {
            "id": "call",
            "type": "http",
            "config": {"method": "POST", "url": "{{ input.url }}", "json": 1},
        },
        {"id": "after", "type": "transform", "config": {"set": {"done": True}}},
    ],
    "edges": [
        {"source": "start", "target": "call"},
        {"source": "call", "target": "after"},
    ],
}


class Api:
    def __init__(self, port: int) -> None:
        self.port = port
        self.headers = {"Content-Type": "application/json"}

    def connect(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self.port, timeout=20)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        connection = self.connect()
        try:
            connection.request(method, path, json.dumps(body), self.headers)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def watch(self, path: str, last: int = 0) -> "Watch":
        connection = self.connect()
        headers = {**self.headers, "Last-Event-ID": str(last)} if last else self.headers
        connection.request("GET", path, headers=headers)
        return Watch(connection, connection.getresponse())


class Watch:
    def __init__(self, connection: HTTPConnection, response: HTTPResponse) -> None:
        self.connection, self.response = connection, response
        self.seen: list[tuple[int, str, str]] = []

    def events(self) -> Iterator[str]:
        """Their types, as they come, until the server ends the stream."""
        fields: dict[str, str] = {}
        for raw in self.response:
            name, _, value = raw.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "event" in fields:
                self.seen.append((int(fields["id"]), fields["event"], fields["data"]))
                yield fields["event"]
                fields = {}

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@pytest.fixture
def released() -> threading.Event:
    return threading.Event()


@pytest.fixture
def url(httpserver: HTTPServer, released: threading.Event) -> str:
    def answer(request: Any) -> Any:
        released.wait(30)
        return Response("{}", content_type="application/json")

    httpserver.expect_request("/slow").respond_with_handler(answer)
    return httpserver.url_for("/slow")


@pytest.fixture
def served(tmp_path, httpserver) -> Iterator[Served]:
    allowed = f"127.0.0.1:{httpserver.port}"
    stores.put_sqlite(tmp_path / "var" / "craft.sqlite3")
    served = Served(tmp_path, free_port(), CRAFT_OUTBOUND_ALLOW=allowed)
    yield served.await_ready()
    served.remove()


def test_a_client_that_comes_again_misses_nothing_and_sees_nothing_twice(
    served, url, released
):
    api = Api(served.port)
    person = {
        "email": "a@example.com",
        "password": "correct horse battery staple",
        "full_name": "A",
        "company_name": "A",
    }
    token = api.call("POST", "/api/v1/auth/register", person)["token"]
    api.headers["Authorization"] = f"Bearer {token}"
    made = api.call("POST", "/v1/workflows", {"name": "Slow", **GRAPH})["data"]
    started = api.call(
        "POST", f"/v1/workflows/{made['id']}/execute", {"input": {"url": url}}
    )["data"]
    path = f"/v1/executions/{started['id']}/events"

    # Live: what leads to the effect is shown when the effect begins. Then the line breaks.
    first = api.watch(path)
    assert first.response.getheader("Content-Type") == "text/event-stream"
    for event in first.events():
        if event == "step.started" and '"call"' in first.seen[-1][2]:
            break
    assert [event for _, event, _ in first.seen] == [
        "execution.started",
        "step.started",
        "step.completed",
        "step.started",
    ]
    first.close()

    # As many as a company may have; one more is refused, and nobody else waits for them.
    others = [api.watch(path, last=4) for _ in range(MOST_OF_A_COMPANY)]
    refused = api.watch(path)
    while refused.response.status == 200:  # until the place of the first is noticed
        refused.close()
        refused = api.watch(path)
    assert refused.response.status == 429
    assert refused.response.getheader("Retry-After") == "5"
    assert api.call("GET", "/api/v1/health")["status"] == "ok"
    for other in others[1:]:
        other.close()

    # Taken up again, it goes on behind what was seen, and ends with the execution.
    released.set()
    second = others[0]
    assert list(second.events()) == [
        "step.completed",
        "step.started",
        "step.completed",
        "execution.completed",
    ]
    again = api.watch(path)
    assert list(again.events())[-1] == "execution.completed"
    assert again.seen == first.seen + second.seen
    assert [number for number, _, _ in again.seen] == [1, 2, 3, 4, 5, 6, 7, 8]

    # Who still watches holds up no stop.
    released.clear()
    body = {"input": {"url": url}}
    started = api.call("POST", f"/v1/workflows/{made['id']}/execute", body)["data"]
    left = api.watch(f"/v1/executions/{started['id']}/events")
    assert next(left.events()) == "execution.started"
    released.set()
    assert served.stop() < 10
