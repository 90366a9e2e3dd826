"""Tells people where they talk."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from craft import egress
from integrations.models import Opened
from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.http import SHOWN_OF_AN_ERROR, expect
from workflows.nodes.resolved import choice, is_expression, text

TIMEOUT_SECONDS = 15
WEBHOOK, TOKEN = "webhook_url", "token"


@dataclass(frozen=True)
class Message:
    """What is said, where, and by what right."""

    text: str
    webhook_url: str
    token: str
    channel: str
    api_url: str


@dataclass(frozen=True)
class Post:
    url: str
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Service:
    """One place where people talk. `ways`: what a message can go by."""

    ways: tuple[str, ...]
    most: int
    """How many characters a message may have there."""
    by_webhook: Callable[[Message], Post] | None = None
    by_token: Callable[[Message], Post] | None = None
    api_url: str = ""
    fault_in: Callable[[Any], str] = lambda said: ""
    """What an answer says that went wrong although its status is a success."""


def _slack(message: Message) -> Post:
    body = {"channel": message.channel, "text": message.text}
    return Post(
        f"{message.api_url}/chat.postMessage",
        body,
        {"Authorization": f"Bearer {message.token}"},
    )


def _discord(message: Message) -> Post:
    url = f"{message.api_url}/channels/{quote(message.channel, safe='')}/messages"
    body = {"content": message.text, "allowed_mentions": {"parse": []}}
    return Post(url, body, {"Authorization": f"Bot {message.token}"})


def _telegram(message: Message) -> Post:
    url = f"{message.api_url}/bot{quote(message.token, safe=':')}/sendMessage"
    return Post(url, {"chat_id": message.channel, "text": message.text})


def _said_not_ok(said: Any) -> str:
    """Slack and Telegram: `{"ok": false, "error": …}`, `{"ok": false, "description": …}`."""
    if not isinstance(said, dict) or said.get("ok") is not False:
        return ""
    return str(said.get("error") or said.get("description") or "it did not say why")


SERVICES: Final[dict[str, Service]] = {
    "slack": Service((WEBHOOK, TOKEN), 40_000, lambda m: Post(m.webhook_url, {"text": m.text}), _slack, "https://slack.com/api", _said_not_ok),
    "discord": Service((WEBHOOK, TOKEN), 2_000, lambda m: Post(m.webhook_url, {"content": m.text, "allowed_mentions": {"parse": []}}), _discord, "https://discord.com/api/v10"),
    "telegram": Service((TOKEN,), 4_096, None, _telegram, "https://api.telegram.org", _said_not_ok),
    "teams": Service((WEBHOOK,), 20_000, lambda m: Post(m.webhook_url, _card(m.text))),
    "generic": Service((WEBHOOK,), 100_000, lambda m: Post(m.webhook_url, {"text": m.text})),
}  # fmt: skip


def _card(said: str) -> dict[str, Any]:
    """What the webhooks of Teams' workflows take."""
    content = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [{"type": "TextBlock", "text": said, "wrap": True}],
    }
    attachment = {
        "contentType": "application/vnd.microsoft.card.adaptive",
        "contentUrl": None,
        "content": content,
    }
    return {"type": "message", "attachments": [attachment]}


class Notify(Node):
    type = "notify"
    family = "integrations"
    summary = "Sends a message to Slack, Discord, Telegram, Teams or any webhook."
    effect = "effect"
    config_schema = {
        "type": "object",
        "properties": {
            "service": {
                "enum": list(SERVICES),
                "description": "Where to. generic posts `{\"text\": …}` to any webhook.",
            },
            "text": {
                "type": "string",
                "minLength": 1,
                "description": "What to say, in the service's own markup. Discord takes 2,000 characters, Telegram 4,096.",
            },
            "credential": {
                "type": "string",
                "minLength": 1,
                "x-credential": ["api_key", "bearer"],
                "description": "A credential by its name or id, whose value is the token, or the webhook's URL.",
            },
            "webhook_url": {
                "type": "string",
                "minLength": 1,
                "x-secret": True,
                "description": "The webhook, such as `{{ secrets.team_webhook }}`: who has it may write there.",
            },
            "token": {
                "type": "string",
                "minLength": 1,
                "x-secret": True,
                "description": "A bot's token, for slack, discord and telegram.",
            },
            "channel": {
                "type": ["string", "integer"],
                "minLength": 1,
                "description": "With a token: the channel (slack, discord) or the chat's id (telegram).",
            },
            "api_url": {
                "type": "string",
                "minLength": 1,
                "description": "With a token: another address of the service's API, such as a Telegram bot API server of your own.",
            },
        },
        "required": ["service", "text"],
        "additionalProperties": False,
    }  # fmt: skip
    example = {
        "config": {
            "service": "slack",
            "credential": "Slack Bot Token",
            "channel": "#orders",
            "text": "Order {{ input.id }} came in.",
        },
        "input": {"id": 7},
        "output": {"sent": True, "service": "slack", "status": 200},
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        given = [name for name in ("credential", WEBHOOK, TOKEN) if name in config]
        if len(given) != 1:
            return {
                given[1] if given else "credential": "Give one of credential, webhook_url and token."
            }  # fmt: skip
        if is_expression(config["service"]):
            return {}
        service = SERVICES[config["service"]]
        (way,) = given
        if way != "credential" and way not in service.ways:
            return {way: f"{config['service']} takes {' or '.join(service.ways)}."}
        if way == TOKEN and "channel" not in config:
            return {"channel": "This field is required with a token."}
        for name in (WEBHOOK, "api_url"):
            if name in config and not is_expression(config[name]):
                try:
                    egress.check_url(config[name])
                except egress.EgressError as error:
                    return {name: error.message}
        return {}

    async def run(self, call: Call) -> Output:
        name = choice(call, "service", SERVICES, "")
        service = SERVICES[name]
        message = _message(call, service, call.credential())
        if len(message.text) > service.most:
            raise NodeError(
                f"The text has {len(message.text):,} characters; {name} takes {service.most:,} at most.",
                code="invalid_config",
            )
        post = _post(name, service, message)
        answer = await egress.fetch(
            "POST",
            post.url,
            headers={**post.headers, "Idempotency-Key": call.idempotency_key},
            json=post.body,
            timeout_seconds=TIMEOUT_SECONDS,
        )
        expect(call, answer, [])
        if fault := service.fault_in(_as_json(answer)):
            said = call.redact(fault)[:SHOWN_OF_AN_ERROR]
            raise NodeError(f"{name} did not take it: {said}", code="not_sent")
        return Output({"sent": True, "service": name, "status": answer.status})


def _message(call: Call, service: Service, credential: Opened | None) -> Message:
    webhook_url, token = text(call, WEBHOOK), text(call, TOKEN)
    if credential is not None:
        value = str(credential.value)
        if value.startswith(("https://", "http://")):
            webhook_url = value
        else:
            token = value
    channel = call.config.get("channel", "")
    return Message(
        text(call, "text"),
        webhook_url,
        token,
        str(channel),
        text(call, "api_url", service.api_url).rstrip("/"),
    )


def _post(name: str, service: Service, message: Message) -> Post:
    if message.webhook_url and service.by_webhook:
        return service.by_webhook(message)
    if not message.token or not service.by_token:
        raise NodeError(
            f"{name} takes {' or '.join(service.ways)}, and was given something else.",
            code="invalid_config",
        )
    if not message.channel:
        raise NodeError(
            "channel must be given with a token: nobody knows where to write.",
            code="invalid_config",
        )
    return service.by_token(message)


def _as_json(answer: egress.Fetched) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
