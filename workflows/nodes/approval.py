"""People decide."""

from datetime import UTC, datetime, timedelta
from typing import Any

from workflows.nodes.base import (
    Call,
    Node,
    NodeError,
    Opening,
    Outcome,
    Output,
    Waiting,
)
from workflows.nodes.delay import MAX_SECONDS
from workflows.nodes.resolved import flag, listing, number, text

MAX_NEEDED = 20
MAX_PEOPLE = 100
ROLES = ("admin", "member", "viewer")
KINDS = ("text", "textarea", "number", "boolean", "choice", "date")
SLACK = timedelta(seconds=1)
"""When the execution goes on without them, nobody can decide any more by any machine's clock."""


class Approval(Node):
    type = "approval"
    family = "flow"
    summary = "Asks people, and goes on by `approved` or `rejected` once enough of them have answered, or by `timeout`. They answer by a link in a mail, on the page, or through the API. Waiting holds no worker."
    may_wait = True
    opens = True
    handles = ("approved", "rejected", "timeout")
    config_schema = {
        "type": "object",
        "properties": {
            "title": {
                "type": "string",
                "minLength": 1,
                "maxLength": 200,
                "description": "What is asked, in one line.",
            },
            "message": {
                "type": "string",
                "maxLength": 10_000,
                "description": "What they should know to decide.",
            },
            "people": {
                "type": "array",
                "items": {"type": "string", "minLength": 1, "maxLength": 254},
                "maxItems": MAX_PEOPLE,
                "description": "Members of the company who may answer, by e-mail address or id.",
            },
            "roles": {
                "type": "array",
                "items": {"enum": list(ROLES)},
                "description": "Members of these roles may answer too. With neither people nor roles: every admin and member.",
            },
            "needed": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_NEEDED,
                "default": 1,
                "description": "So many have to approve. One who rejects is enough to reject.",
            },
            "excludes_starter": {
                "type": "boolean",
                "default": True,
                "description": "Whoever started the execution may not answer.",
            },
            "fields": {
                "type": "array",
                "maxItems": 30,
                "description": "What they fill in when they answer.",
                "items": {
                    "type": "object",
                    "properties": {
                        "name": {
                            "type": "string",
                            "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$",
                        },
                        "label": {"type": "string", "maxLength": 200},
                        "type": {"enum": list(KINDS)},
                        "required": {"type": "boolean"},
                        "options": {
                            "type": "array",
                            "items": {"type": "string"},
                            "minItems": 1,
                            "maxItems": 100,
                        },
                    },
                    "required": ["name"],
                    "additionalProperties": False,
                },
            },
            "expires_in_seconds": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": MAX_SECONDS,
                "description": "After so long without a decision it goes on by the handle `timeout`; at most 365 days. Without it, it waits as long as it takes.",
            },
        },
        "required": ["title"],
        "additionalProperties": False,
    }
    example = {
        "config": {"title": "Refund order {{ input.order }}?", "needed": 1},
        "input": {"order": 7},
        "answer": {
            "approval_id": "appr_1",
            "status": "approved",
            "data": {},
            "decisions": [],
        },
        "output": {
            "approval_id": "appr_1",
            "status": "approved",
            "data": {},
            "decisions": [],
        },
        "handles": ["approved"],
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        faults, seen = {}, set()
        fields = config.get("fields")
        for place, field in enumerate(fields if isinstance(fields, list) else []):
            if field["name"] in seen:
                faults[f"fields.{place}.name"] = (
                    f"'{field['name']}' is the name of another field already."
                )
            seen.add(field["name"])
            if (field.get("type") == "choice") != ("options" in field):
                faults[f"fields.{place}.options"] = (
                    "A choice has options, and nothing else has."
                )
        return faults

    async def run(self, call: Call) -> Outcome:
        if answer := call.answer:
            return Output(answer, (str(answer["status"]),))
        until = None
        if "expires_in_seconds" in call.config:
            seconds = number(
                call, "expires_in_seconds", at_least=0, at_most=MAX_SECONDS
            )
            until = call.started_at + timedelta(seconds=seconds)
            if datetime.now(UTC) >= until + SLACK:
                return Output({"status": "expired", "decisions": []}, ("timeout",))
        return Waiting(
            until and until + SLACK, Opening("approval", _question(call, until))
        )


def _question(call: Call, until: datetime | None) -> dict[str, Any]:
    title = text(call, "title")[:200]
    if not title.strip():
        raise NodeError("title is empty.", code="invalid_config")
    return {
        "title": title,
        "message": text(call, "message")[:10_000],
        "people": [str(each).strip().lower() for each in listing(call, "people")],
        "roles": [str(each) for each in listing(call, "roles")],
        "needed": int(
            number(call, "needed", at_least=1, at_most=MAX_NEEDED, default=1)
        ),
        "fields": listing(call, "fields"),
        "excludes_starter": flag(call, "excludes_starter", default=True),
        "expires_at": until,
    }
