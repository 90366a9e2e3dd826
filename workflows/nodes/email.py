"""Sends mail."""

import hashlib
from email.errors import HeaderParseError
from email.utils import getaddresses, parseaddr
from functools import partial
from typing import Any, cast

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.core.mail.message import SafeMIMEMultipart, SafeMIMEText
from django.core.validators import validate_email

from craft import egress
from integrations.clients import smtp
from integrations.models import Opened
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.resolved import is_expression, kind_of, text

MAX_RECIPIENTS = 50
MAX_SUBJECT = 990
MAX_CHARACTERS = 2_000_000
RECIPIENTS = ("to", "cc", "bcc")
ADDRESSES: dict[str, Any] = {
    "type": ["string", "array"],
    "minLength": 1,
    "items": {"type": "string", "minLength": 1},
}


class Email(Node):
    """A mail goes out at least once. After a crash in flight it is sent again under the same Message-ID, by which mail programs know it for the same: a
    message that came twice is a nuisance, one that nobody got and nobody missed a loss."""

    type = "email"
    family = "integrations"
    summary = "Sends a mail, by an account of your own or by the platform's."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "to": ADDRESSES
            | {
                "description": "Whom to send it to: `ada@example.com`, `Ada <ada@example.com>`, several with commas, or a list.",
            },
            "cc": ADDRESSES | {"description": "Who gets a copy that all see."},
            "bcc": ADDRESSES | {"description": "Who gets a copy that nobody sees."},
            "subject": {"type": "string", "description": "One line."},
            "text": {"type": "string", "description": "The mail as text."},
            "html": {
                "type": "string",
                "description": "The mail as HTML, beside the text or instead of it.",
            },
            "reply_to": ADDRESSES | {"description": "Where answers go."},
            "from": {
                "type": "string",
                "minLength": 1,
                "description": "Whom it is from, with a credential; by default the account's `sender`, or its user name. Without a credential it is from the platform.",
            },
            "credential": {
                "type": "string",
                "minLength": 1,
                "x-credential": ["smtp"],
                "description": "An `smtp` credential by its name or id. Without one, the platform's mail server is used, if the operator has set one up.",
            },
        },
        "required": ["to", "subject"],
        "anyOf": [{"required": ["text"]}, {"required": ["html"]}],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "to": "{{ input.email }}",
            "subject": "Order {{ input.id }} is on its way",
            "text": "Hello {{ input.name }}, your order has left us.",
        },
        "input": {"id": 7, "name": "Ada", "email": "ada@example.com"},
        "output": {
            "message_id": "<fbb7cc2d357df24ca13181f08ae80b19@example.com>",
            "recipients": ["ada@example.com"],
            "refused": [],
        },
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults = {}
        for name in (*RECIPIENTS, "reply_to", "from"):
            given = config.get(name)
            listed = given if isinstance(given, list) else [given]
            if given is not None and not any(map(is_expression, listed)):
                try:
                    _addresses(name, given)
                except NodeError as error:
                    faults[name] = error.message
        if "from" in config and "credential" not in config:
            faults["from"] = (
                "The platform's mail is from the platform: name a credential of your own."
            )
        return faults

    async def run(self, call: Call) -> Output:
        egress.refuse_in_test_mode("Mail")
        account = call.credential()
        message, recipients = _message(call, account)
        refused: list[str] = []
        if account is None:
            await smtp.aside(partial(smtp.send_by_platform, message))
        else:
            written, sender = _written(message), parseaddr(message.from_email)[1]
            send = partial(smtp.send, account, sender=sender, recipients=recipients)
            refused = await smtp.aside(partial(send, message=written))
        return Output(
            {
                "message_id": message.extra_headers["Message-ID"],
                "recipients": [each for each in recipients if each not in refused],
                "refused": refused,
            }
        )


def _message(
    call: Call, account: Opened | None
) -> tuple[EmailMultiAlternatives, list[str]]:
    found = {
        name: _addresses(name, call.config.get(name, []))
        for name in (*RECIPIENTS, "reply_to")
    }
    recipients = list(
        dict.fromkeys(parseaddr(each)[1] for name in RECIPIENTS for each in found[name])
    )
    if not found["to"]:
        raise _bad("to", "it names nobody")
    if len(recipients) > MAX_RECIPIENTS:
        raise _bad(
            "to",
            f"with cc and bcc it names {len(recipients)}, and one mail goes to {MAX_RECIPIENTS} at most",
        )
    sender = _sender(call, account)
    body, html = text(call, "text"), text(call, "html")
    if len(body) + len(html) > MAX_CHARACTERS:
        raise _bad("text", f"a mail may have {MAX_CHARACTERS:,} characters")
    message = EmailMultiAlternatives(
        subject=_subject(call),
        body=body or html,
        from_email=sender,
        to=found["to"],
        cc=found["cc"],
        bcc=found["bcc"],
        reply_to=found["reply_to"],
        headers={"Message-ID": _message_id(call, sender)},
    )
    if html and body:
        message.attach_alternative(html, "text/html")
    elif html:
        message.content_subtype = "html"
    return message, recipients


def _sender(call: Call, account: Opened | None) -> str:
    if account is None:
        if settings.MAIL_IS_KEPT:
            raise NodeError(
                "There is no mail server to send this by: name an smtp credential, or ask the operator to set EMAIL_URL.",
                code="mail_not_configured",
            )
        return str(settings.DEFAULT_FROM_EMAIL)
    fields = account.fields
    said = call.config.get("from") or fields.get("sender") or fields.get("username", "")
    found = _addresses("from", said)
    if len(found) != 1:
        raise _bad("from", "it must be one address")
    return found[0]


def _subject(call: Call) -> str:
    subject = text(call, "subject")
    if len(subject) > MAX_SUBJECT:
        raise _bad("subject", f"it may have {MAX_SUBJECT} characters")
    if any(not character.isprintable() for character in subject):
        raise _bad("subject", "it must be one line, without control characters")
    return subject


def _addresses(name: str, given: Any) -> list[str]:
    """Each as `Name <address>`, checked. A line break would begin another header."""
    listed = [given] if isinstance(given, str) else given
    if not isinstance(listed, list) or not all(
        isinstance(each, str) for each in listed
    ):
        raise _bad(
            name, f"it must be an address or a list of them; it is {kind_of(given)}"
        )
    if not all(each.isprintable() for each in listed):
        raise _bad(name, "an address holds no line breaks and control characters")
    found = []
    for spoken, address in getaddresses(listed):
        try:
            validate_email(address)
        except ValidationError:
            shown = (address or spoken or ", ".join(listed))[:100]
            raise _bad(name, f"{shown!r} is no address") from None
        quoted = spoken.replace("\\", "").replace('"', "")
        found.append(f'"{quoted}" <{address}>' if quoted else address)
    return found


def _message_id(call: Call, sender: str) -> str:
    """The same at every attempt."""
    digest = hashlib.sha256(call.idempotency_key.encode()).hexdigest()[:32]
    return f"<{digest}@{parseaddr(sender)[1].rpartition('@')[2] or 'localhost'}>"


def _written(message: EmailMultiAlternatives) -> bytes:
    try:
        written = cast(SafeMIMEText | SafeMIMEMultipart, message.message())
        return written.as_bytes(linesep="\r\n")
    except (BadHeaderError, HeaderParseError, UnicodeError):
        raise _bad("text", "it holds what no mail can") from None


def _bad(name: str, reason: str) -> NodeError:
    return NodeError(f"{name} can't be used: {reason}.", code="invalid_config")
