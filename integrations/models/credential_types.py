"""The kinds of credentials, and what each consists of. A new one is a line in TYPES."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

HEADER_NAME = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"
FIELD_NAME = "^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
MAX_OWN_FIELDS = 30


@dataclass(frozen=True)
class CredentialType:
    summary: str
    schema: dict[str, Any]
    """JSON Schema of its fields. Those marked `x-secret` are sealed and never shown."""
    single: str = ""
    """The field that `value` stands for, and that `secrets.<name>` gives."""

    @property
    def has_own_fields(self) -> bool:
        """Whether its fields are the customer's own, and all of them secret."""
        return bool(self.schema["additionalProperties"])

    @property
    def fields(self) -> dict[str, Any]:
        found: dict[str, Any] = self.schema["properties"]
        return found

    def is_secret(self, field: str) -> bool:
        return self.has_own_fields or bool(self.fields.get(field, {}).get("x-secret"))

    def needed_secrets(self, given: Collection[str]) -> set[str]:
        """With these other fields."""
        together = self.schema.get("dependentRequired", {})
        needed = {*self.schema["required"]}.union(
            *(others for name, others in together.items() if name in given)
        )
        return {name for name in needed if self.is_secret(name)}

    @property
    def defaults(self) -> dict[str, Any]:
        return {
            name: field["default"]
            for name, field in self.fields.items()
            if "default" in field
        }


def _secret(description: str) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": 20_000,
        "x-secret": True,
        "description": description,
    }


def _plain(description: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "string",
        "minLength": 1,
        "maxLength": 2_000,
        "description": description,
        **more,
    }


def _type(
    summary: str,
    required: str,
    *,
    single: str = "",
    own: dict[str, Any] | bool = False,
    together: dict[str, list[str]] | None = None,
    **fields: dict[str, Any],
) -> CredentialType:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": fields,
        "required": required.split(),
        "additionalProperties": own,
    }
    if together:
        schema["dependentRequired"] = together
    if own:
        schema |= {
            "propertyNames": {"pattern": FIELD_NAME},
            "minProperties": 1,
            "maxProperties": MAX_OWN_FIELDS,
        }
    return CredentialType(summary, schema, single)


_TEST_URL = _plain("A URL to call for a test, with GET: below 400 is a success.")
_HEADER = _plain(
    "The header that carries the key.", pattern=HEADER_NAME, default="X-API-Key"
)
_QUERY = _plain(
    "The query parameter that carries the key, where it is no header.", maxLength=100
)
_PREFIX = _plain("What stands before the key, such as `Token `.", maxLength=100)
_SCOPE = _plain("The scopes to ask for, with spaces.")
_AUDIENCE = _plain("For whom the token is to be, where the server asks.")
_SEND_AS = {
    "enum": ["basic", "body"],
    "default": "basic",
    "description": "How the client shows itself: in the Authorization header, or in the body.",
}
_PORT = {
    "type": "integer",
    "minimum": 1,
    "maximum": 65_535,
    "default": 587,
    "description": "The port.",
}
_SECURITY = {
    "enum": ["starttls", "tls", "none"],
    "default": "starttls",
    "description": "`tls` from the first byte (port 465), `starttls` (port 587), or `none`, which the operator has to allow for the host.",
}

TYPES: Final[dict[str, CredentialType]] = {
    "api_key": _type("A key that is sent in a header, or as a query parameter.", "value", single="value", value=_secret("The key."), header=_HEADER, query=_QUERY, prefix=_PREFIX, test_url=_TEST_URL),
    "bearer": _type("A token that is sent as `Authorization: Bearer …`.", "value", single="value", value=_secret("The token."), test_url=_TEST_URL),
    "basic": _type("A user name and a password, for HTTP's basic authentication.", "username password", username=_plain("The user name."), password=_secret("The password."), test_url=_TEST_URL),
    "oauth2_client": _type("An OAuth 2 client, whose tokens Craft fetches (client credentials) and renews.", "token_url client_id client_secret", token_url=_plain("Where tokens are given out."), client_id=_plain("The client's id."), client_secret=_secret("The client's secret."), scope=_SCOPE, audience=_AUDIENCE, send_as=_SEND_AS, test_url=_TEST_URL),
    "aws": _type("An access key of AWS, or of any store that speaks S3.", "access_key_id secret_access_key", access_key_id=_plain("The key's id."), secret_access_key=_secret("The key."), session_token=_secret("The session token of a temporary key."), region=_plain("The region.", default="us-east-1"), endpoint_url=_plain("Where the store is, if it is not AWS."), bucket=_plain("A bucket to list for a test.")),
    "smtp": _type("An account at a mail server.", "host", together={"username": ["password"]}, host=_plain("The server's name."), port=_PORT, security=_SECURITY, username=_plain("The user name, if the server asks for one."), password=_secret("The password."), sender=_plain("Whom mail is from, where a node does not say.")),
    "custom": _type("Fields of your own. A node that sends requests sends each as the header of its name.", "", own=_secret("A field of your own.")),
}  # fmt: skip
"""One line a type."""
