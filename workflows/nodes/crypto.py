"""Hashes, signs, encodes and draws lots, by the standard library's means."""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Callable
from typing import Any

from workflows.nodes.base import Call, Node, NodeError, Output
from workflows.nodes.formats import write_json
from workflows.nodes.resolved import choice, is_expression, kind_of, number, text

MAX_CHARACTERS = 5_000_000
MAX_RANDOM = 1_024
HASHES = (
    "sha256",
    "sha384",
    "sha512",
    "sha3_256",
    "sha3_512",
    "blake2b",
    "sha1",
    "md5",
)
ENCODINGS = ("hex", "base64", "base64url")
OPERATIONS = ("hash", "hmac", "compare", "encode", "decode", "random", "uuid")
BELONGS = {
    "value": ("hash", "hmac", "compare", "encode", "decode"),
    "algorithm": ("hash", "hmac"),
    "secret": ("hmac",),
    "secret_encoding": ("hmac",),
    "encoding": ("hash", "hmac", "encode", "decode", "random"),
    "with": ("compare",),
    "bytes": ("random",),
    "version": ("uuid",),
}
NEEDS = {"hmac": ("secret",), "compare": ("with",)}


class Crypto(Node):
    type = "crypto"
    family = "processing"
    summary = "Hashes or signs a text, encodes and decodes it, compares two without telling how long it took, or draws random bytes and ids."
    config_schema = {
        "type": "object",
        "properties": {
            "operation": {
                "enum": list(OPERATIONS),
                "description": "hash: a digest. hmac: a signature with a secret. compare: whether two texts are equal, in constant time. encode, decode: from text and back. random: random bytes. uuid: a new id.",
            },
            "value": {
                "description": "A text; anything else is written as JSON. Without it, the node's input."
            },
            "algorithm": {
                "enum": list(HASHES),
                "default": "sha256",
                "description": "For hash and hmac. sha1 and md5 are there for old systems, not for safety.",
            },
            "secret": {
                "type": "string",
                "minLength": 1,
                "maxLength": 10_000,
                "x-secret": True,
                "description": "For hmac: the key, such as `{{ secrets.signing_key }}`. It is in no record.",
            },
            "secret_encoding": {
                "enum": ["text", *ENCODINGS],
                "default": "text",
                "description": "For hmac: how the secret is written.",
            },
            "encoding": {
                "enum": list(ENCODINGS),
                "default": "hex",
                "description": "How bytes are written. base64url is fit for URLs, without padding.",
            },
            "with": {"type": "string", "description": "For compare: the other text."},
            "bytes": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_RANDOM,
                "default": 32,
                "description": "For random: how many.",
            },
            "version": {
                "enum": [4, 7],
                "default": 4,
                "description": "For uuid: 4 is random, 7 sorts by time.",
            },
        },
        "required": ["operation"],
        "additionalProperties": False,
    }
    example = {
        "config": {
            "operation": "hmac",
            "value": "{{ input.body }}",
            "secret": "example secret",
            "encoding": "base64",
        },
        "input": {"body": '{"order": 7}'},
        "output": "QIiaPezBRrzr1KQL0DA6yIx1oIrGtoj6ezLXFoqmaC4=",
    }

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        operation = config["operation"]
        if is_expression(operation):
            return {}
        faults = {
            name: f"`{name}` goes with {', '.join(belongs)}."
            for name, belongs in BELONGS.items()
            if name in config and operation not in belongs
        }
        for name in NEEDS.get(operation, ()):
            if name not in config:
                faults[name] = f"{operation} needs it."
        return faults

    async def run(self, call: Call) -> Output:
        return Output(_DO[choice(call, "operation", OPERATIONS, "")](call))


def _text(call: Call) -> str:
    value = call.config.get("value", call.input)
    written = value if isinstance(value, str) else write_json(value)
    if len(written) > MAX_CHARACTERS:
        raise NodeError(
            f"The text has more than {MAX_CHARACTERS:,} characters.", code="over_limit"
        )
    return written


def _bytes(call: Call) -> bytes:
    return _text(call).encode(errors="surrogatepass")


def _algorithm(call: Call) -> str:
    return choice(call, "algorithm", HASHES, "sha256")


def _encoded(call: Call, content: bytes) -> str:
    match choice(call, "encoding", ENCODINGS, "hex"):
        case "base64":
            return base64.b64encode(content).decode()
        case "base64url":
            return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    return content.hex()


def _decoded(value: str, encoding: str, what: str) -> bytes:
    try:
        if encoding == "hex":
            return bytes.fromhex(value)
        alphabet = value.replace("-", "+").replace("_", "/")
        padded = "".join(alphabet.split()).rstrip("=")
        return base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True)
    except (ValueError, binascii.Error):
        raise NodeError(f"{what} is not {encoding}.", code="invalid_input") from None


def _hash(call: Call) -> str:
    digest = hashlib.new(_algorithm(call), _bytes(call), usedforsecurity=False)
    return _encoded(call, digest.digest())


def _hmac(call: Call) -> str:
    secret = text(call, "secret")
    encoding = choice(call, "secret_encoding", ("text", *ENCODINGS), "text")
    key = (
        secret.encode()
        if encoding == "text"
        else _decoded(secret, encoding, "The secret")
    )
    if not key:
        raise NodeError("The secret is empty.", code="invalid_config")
    return _encoded(call, hmac.digest(key, _bytes(call), _algorithm(call)))


def _compare(call: Call) -> bool:
    other = text(call, "with").encode(errors="surrogatepass")
    value = call.config.get("value", call.input)
    if not isinstance(value, str):
        raise NodeError(
            f"Two texts are compared; one is {kind_of(value)}.", code="invalid_input"
        )
    return hmac.compare_digest(value.encode(errors="surrogatepass"), other)


def _decode(call: Call) -> str:
    encoding = choice(call, "encoding", ENCODINGS, "hex")
    try:
        return _decoded(_text(call), encoding, "The value").decode()
    except UnicodeDecodeError:
        raise NodeError(
            "What is encoded is no text in UTF-8.", code="invalid_input"
        ) from None


def _random(call: Call) -> str:
    count = number(call, "bytes", at_least=1, at_most=MAX_RANDOM, default=32)
    return _encoded(call, secrets.token_bytes(int(count)))


def _uuid(call: Call) -> str:
    version = number(call, "version", at_least=4, at_most=7, default=4)
    if version == 4:
        return str(uuid.uuid4())
    if version != 7:
        raise NodeError("version must be 4 or 7.", code="invalid_config")
    # RFC 9562: 48 bits of milliseconds, then random bits around the version and the variant.
    bits = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    bits = bits & ~(0xF << 76) | 7 << 76
    return str(uuid.UUID(int=bits & ~(0b11 << 62) | 0b10 << 62))


_DO: dict[str, Callable[[Call], Any]] = {
    "hash": _hash,
    "hmac": _hmac,
    "compare": _compare,
    "encode": lambda call: _encoded(call, _bytes(call)),
    "decode": _decode,
    "random": _random,
    "uuid": _uuid,
}
