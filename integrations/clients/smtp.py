"""Mail by a company's own account. The connection goes to an address that `craft.egress` has judged."""

from __future__ import annotations

import asyncio
import os
import smtplib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.utils import DNS_NAME

from craft import egress
from craft.exceptions import DomainError
from integrations.models import Opened

T = TypeVar("T")

TIMEOUT_SECONDS = 20
MAX_AT_ONCE = 16


class MailRefusedError(DomainError):
    """The server will not have it, now or later."""

    code: ClassVar[str] = "mail_refused"


class MailServerError(DomainError):
    """The server can't be had, or asks to come again."""

    code: ClassVar[str] = "mail_failed"
    status_code = 502


class _Connection(smtplib.SMTP):
    """Dials what was judged, and checks the certificate against the name."""

    is_encrypted = False

    def _get_socket(self, host: str, port: int, timeout: float | None) -> Any:
        return egress.connect_blocking(
            host,
            port,
            timeout_seconds=timeout or TIMEOUT_SECONDS,
            with_tls=self.is_encrypted,
        )


class _EncryptedConnection(_Connection):
    is_encrypted = True


def send(
    account: Opened, *, sender: str, recipients: Sequence[str], message: bytes
) -> list[str]:
    """Hand one message over; the recipients that the server took it for not. Raises MailRefusedError where it is all of them."""
    with _logged_in(account) as server:
        return sorted(server.sendmail(sender, list(recipients), message))


def log_in(account: Opened) -> None:
    with _logged_in(account):
        pass


@contextmanager
def _logged_in(account: Opened) -> Iterator[smtplib.SMTP]:
    fields = account.fields
    host, port, security = fields["host"], fields["port"], fields["security"]
    kind = _EncryptedConnection if security == "tls" else _Connection
    with _plain_errors(host, port):
        if security == "none":
            egress.refuse_unencrypted(host, port)
        with kind(host, port, str(DNS_NAME), TIMEOUT_SECONDS) as server:
            if security == "starttls":
                server.starttls(context=egress.tls_context())
            if "username" in fields:
                server.login(fields["username"], fields.get("password", ""))
            yield server


@contextmanager
def _plain_errors(host: str, port: int) -> Iterator[None]:
    """As sentences that hold nothing of what was sent."""
    try:
        yield
    except smtplib.SMTPAuthenticationError as error:
        raise MailRefusedError(
            f"{host} does not take this user name and password (code {error.smtp_code})."
        ) from None
    except smtplib.SMTPNotSupportedError:
        raise MailRefusedError(
            f"{host} offers no STARTTLS, or no way to log in that Craft knows. Look at `security` and `port`."
        ) from None
    except smtplib.SMTPRecipientsRefused as error:
        raise _refused(
            host, max(code for code, _ in error.recipients.values())
        ) from None
    except smtplib.SMTPResponseException as error:
        raise _refused(host, error.smtp_code) from None
    except smtplib.SMTPException:
        raise MailServerError(
            f"The connection to {host} broke off, or what answers there is no mail server."
        ) from None
    except egress.TLSError:
        raise MailServerError(
            f"No encrypted connection to {host}: its certificate is not valid, or it does not speak TLS on port {port}. Look at `security` and `port`."
        ) from None
    except OSError:
        raise MailServerError(
            f"Could not connect to {host} on port {port}. Check that it is up."
        ) from None


def _refused(host: str, code: int) -> DomainError:
    if 500 <= code < 600:
        return MailRefusedError(f"{host} refused the mail (code {code}).")
    return MailServerError(f"{host} asks to try again later (code {code}).")


def send_by_platform(message: EmailMessage) -> None:
    """By the mail server that the operator has set up (EMAIL_URL)."""
    host, port = settings.EMAIL_HOST, settings.EMAIL_PORT
    message.connection = get_connection()
    with _plain_errors(host, port):
        message.send()


@lru_cache(maxsize=1)
def _threads(process: int) -> ThreadPoolExecutor:
    """Threads of their own, so that one company's slow mail server holds up nothing but mail. By process: threads don't survive a fork."""
    return ThreadPoolExecutor(MAX_AT_ONCE, thread_name_prefix="mail")


async def aside(work: Callable[[], T]) -> T:
    """Do it beside the loop, as whoever asks."""
    return await asyncio.get_running_loop().run_in_executor(
        _threads(os.getpid()), copy_context().run, work
    )
