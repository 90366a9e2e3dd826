"""A mail server on loopback, and what it was given."""

import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from tests.servers import free_port

PASSWORD = b"a-mail-password"


class Postman:
    def __init__(self) -> None:
        self.received: list[Any] = []
        self.envelopes: list[list[str]] = []
        self.logins = 0
        self.refused: set[str] = set()
        self.answer = "250 OK"
        self.port = 0

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address in self.refused:
            return "550 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        if self.answer.startswith("250"):
            content = email.message_from_bytes(
                envelope.content, policy=email.policy.default
            )
            self.received.append(content)
            self.envelopes.append(list(envelope.rcpt_tos))
        return self.answer

    def authenticate(self, server, session, envelope, mechanism, data) -> AuthResult:
        self.logins += 1
        return AuthResult(success=data.password == PASSWORD, handled=False)


@contextmanager
def postman_on_loopback(tls: ssl.SSLContext | None = None) -> Iterator[Postman]:
    """With `tls`: by STARTTLS, and nobody is served without."""
    handler = Postman()

    class Server(Controller):
        def factory(self) -> SMTP:
            return SMTP(
                handler,
                authenticator=handler.authenticate,
                auth_require_tls=tls is not None,
                require_starttls=tls is not None,
                tls_context=tls,
            )

    controller = Server(handler, hostname="127.0.0.1", port=free_port())
    controller.start()
    handler.port = controller.port
    try:
        yield handler
    finally:
        controller.stop()
