"""Providers that speak the real wires on this machine, and an agent with data to ask."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from agents import services
from agents.models import Agent
from datasources.models import DataSource
from datasources.services import create_file_source
from datasources.uploads import Upload
from tests.agents.desk import ORDERS
from tests.factories import Person

Reply = dict[str, Any] | Response


class Provider:
    """Answers each request with the next of its replies, and keeps what it was sent."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    def __call__(self, request: Request) -> Response:
        asked = json.loads(request.data)
        self.requests.append(asked)
        self.headers.append({key.lower(): value for key, value in request.headers})
        reply = self.replies.pop(0)
        if isinstance(reply, Response):
            return reply
        reply["model"] = asked["model"]
        if asked.get("stream"):
            return Response(self.stream(reply), content_type="text/event-stream")
        return Response(json.dumps(reply), content_type="application/json")

    def stream(self, reply: dict[str, Any]) -> str:
        raise NotImplementedError


class OpenAIWire(Provider):
    def says(self, text: str) -> None:
        self.replies.append(self._reply({"role": "assistant", "content": text}, "stop"))

    def calls(self, tool: str, **arguments: Any) -> None:
        call = {
            "id": f"call_{len(self.replies)}",
            "type": "function",
            "function": {"name": tool, "arguments": json.dumps(arguments)},
        }
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        self.replies.append(self._reply(message, "tool_calls"))

    def fails(self, status: int, **headers: str) -> None:
        body = {
            "error": {"message": "secret detail sk-123", "type": "error", "code": None}
        }
        self.replies.append(
            Response(
                json.dumps(body),
                status=status,
                headers=headers,
                content_type="application/json",
            )
        )

    @staticmethod
    def _reply(message: dict[str, Any], finish: str) -> Reply:
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_700_000_000,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}],
            "usage": {
                "prompt_tokens": 100,
                "completion_tokens": 20,
                "total_tokens": 120,
            },
        }


class AnthropicWire(Provider):
    def says(self, text: str) -> None:
        self.replies.append(self._reply([{"type": "text", "text": text}], "end_turn"))

    def calls(self, tool: str, **arguments: Any) -> None:
        block = {
            "type": "tool_use",
            "id": f"toolu_{len(self.replies)}",
            "name": tool,
            "input": arguments,
        }
        self.replies.append(self._reply([block], "tool_use"))

    def fails(self, status: int, **headers: str) -> None:
        body = {
            "type": "error",
            "error": {"type": "api_error", "message": "secret detail sk-123"},
        }
        self.replies.append(
            Response(
                json.dumps(body),
                status=status,
                headers=headers,
                content_type="application/json",
            )
        )

    def stream(self, reply: dict[str, Any]) -> str:
        """The same as server-sent events, which the library asks for where the answer may be long."""
        content, usage = reply.pop("content"), reply.pop("usage")
        reason = reply.pop("stop_reason")
        started = {"input_tokens": usage["input_tokens"], "output_tokens": 0}
        events: list[dict[str, Any]] = [
            {
                "type": "message_start",
                "message": {
                    **reply,
                    "content": [],
                    "stop_reason": None,
                    "usage": started,
                },
            }
        ]
        for index, block in enumerate(content):
            if block["type"] == "text":
                empty, delta = (
                    {**block, "text": ""},
                    {"type": "text_delta", "text": block["text"]},
                )
            else:
                empty, delta = (
                    {**block, "input": {}},
                    {
                        "type": "input_json_delta",
                        "partial_json": json.dumps(block["input"]),
                    },
                )
            events += [
                {"type": "content_block_start", "index": index, "content_block": empty},
                {"type": "content_block_delta", "index": index, "delta": delta},
                {"type": "content_block_stop", "index": index},
            ]
        ended = {"stop_reason": reason, "stop_sequence": None}
        events += [
            {
                "type": "message_delta",
                "delta": ended,
                "usage": {"output_tokens": usage["output_tokens"]},
            },
            {"type": "message_stop"},
        ]
        return "".join(
            f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events
        )

    @staticmethod
    def _reply(content: list[dict[str, Any]], reason: str) -> Reply:
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 20},
        }


@pytest.fixture
def openai(httpserver: HTTPServer, settings: Any) -> OpenAIWire:
    wire = OpenAIWire()
    httpserver.expect_request(
        "/v1/chat/completions", method="POST"
    ).respond_with_handler(wire)
    settings.OPENAI_API_KEY = "sk-test-openai"
    settings.OPENAI_BASE_URL = httpserver.url_for("/v1")
    settings.OUTBOUND_ALLOW = [
        f"127.0.0.1:{httpserver.port}",
        f"localhost:{httpserver.port}",
    ]
    return wire


@pytest.fixture
def anthropic(httpserver: HTTPServer, settings: Any) -> AnthropicWire:
    wire = AnthropicWire()
    httpserver.expect_request("/v1/messages", method="POST").respond_with_handler(wire)
    settings.ANTHROPIC_API_KEY = "sk-test-anthropic"
    settings.ANTHROPIC_BASE_URL = httpserver.url_for("").rstrip("/")
    settings.OUTBOUND_ALLOW = [
        f"127.0.0.1:{httpserver.port}",
        f"localhost:{httpserver.port}",
    ]
    return wire


@pytest.fixture
def make_source(tmp_path: Path) -> Callable[..., DataSource]:
    """A file source of a person's company: by default the orders of `desk`."""

    def make(
        person: Person, name: str = "orders", rows: list[dict[str, Any]] | None = None
    ) -> DataSource:
        path = tmp_path / f"{name}.csv"
        rows = ORDERS if rows is None else rows
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return create_file_source(
            company=person.company,
            user=person.user,
            files=[Upload(f"{name}.csv", path)],
            source_name=name,
        )

    return make


@pytest.fixture
def source(alice: Person, make_source: Callable[..., DataSource]) -> DataSource:
    return make_source(alice)


@pytest.fixture
def make_agent() -> Callable[..., Agent]:
    def make(person: Person, *sources: DataSource, **fields: Any) -> Agent:
        return services.create_agent(
            company=person.company,
            user=person.user,
            data_sources=sources,
            **{"name": "Helper", "type": "support", **fields},
        )

    return make


@pytest.fixture
def agent(alice: Person, source: DataSource, make_agent: Callable[..., Agent]) -> Agent:
    return make_agent(alice, source)
