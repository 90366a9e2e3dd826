"""The demo's customer: speaks to the API over HTTP like any other.

This is the one outgoing call that does not take `craft.egress`, which rightly refuses this machine's own address.
"""

import json
import secrets
import threading
import time
from http.client import HTTPConnection, HTTPException
from typing import Any

PATIENCE_SECONDS = 10.0  # for a server that is being started again
TIMEOUT_SECONDS = 60


class RefusedError(Exception):
    """The API said no, or nothing."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class Customer:
    """One person's client. Each thread keeps a connection of its own."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self.credential = ""
        self.calls = 0
        self._local = threading.local()

    def get(self, path: str) -> Any:
        return self._call("GET", path, None, {})

    def post(self, path: str, body: Any) -> Any:
        return self._call(
            "POST",
            path,
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )

    def upload(self, path: str, name: str, content: bytes, **fields: str) -> Any:
        boundary = secrets.token_hex(16)
        parts = [
            (f'form-data; name="{field}"', value.encode())
            for field, value in fields.items()
        ]
        parts.append((f'form-data; name="file"; filename="{name}"', content))
        body = b"".join(
            f"--{boundary}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
            + value
            + b"\r\n"
            for disposition, value in parts
        )
        return self._call(
            "POST",
            path,
            body + f"--{boundary}--\r\n".encode(),
            {"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )

    def _call(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> Any:
        if self.credential:
            headers |= {"Authorization": f"Bearer {self.credential}"}
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                status, answer = self._send(method, path, body, headers)
                break
            except (OSError, HTTPException) as error:
                self._connection().close()
                if time.monotonic() > give_up_at:
                    raise RefusedError(
                        0, f"the server does not answer ({type(error).__name__})"
                    ) from error
                time.sleep(0.2)
        self.calls += 1
        if status >= 400:
            raise RefusedError(status, f"{method} {path}: {status} {_message(answer)}")
        return json.loads(answer)

    def _send(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = self._connection()
        connection.request(method, path, body=body, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()

    def _connection(self) -> HTTPConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = HTTPConnection(
                *self.address, timeout=TIMEOUT_SECONDS
            )
        connection: HTTPConnection = self._local.connection
        return connection


def _message(answer: bytes) -> str:
    try:
        body = json.loads(answer)
    except ValueError:
        return answer[:200].decode(errors="replace")
    error = body.get("error")
    return str(error.get("message") if isinstance(error, dict) else body.get("message"))
