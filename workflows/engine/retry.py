"""How often, and after how long, a failed node is tried again."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Literal

MAX_ATTEMPTS = 100
LONGEST_DELAY_SECONDS = 86_400.0
DEFAULT_JITTER = 0.2
ANY_ERROR = "any"

RETRY_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "description": "How a failed node is tried again.",
    "properties": {
        "max_attempts": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_ATTEMPTS,
            "default": 3,
            "description": "How often it is tried in all, the first time included.",
        },
        "backoff": {
            "enum": ["fixed", "exponential"],
            "default": "exponential",
        },
        "initial_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": LONGEST_DELAY_SECONDS,
            "default": 1,
            "description": "The wait before the second attempt.",
        },
        "factor": {
            "type": "number",
            "minimum": 1,
            "maximum": 100,
            "default": 2,
            "description": "By how much each further wait is longer, with exponential backoff.",
        },
        "max_seconds": {
            "type": "number",
            "minimum": 0,
            "maximum": LONGEST_DELAY_SECONDS,
            "default": 60,
            "description": "No wait is longer.",
        },
        "jitter": {
            "type": ["boolean", "number"],
            "minimum": 0,
            "maximum": 1,
            "default": DEFAULT_JITTER,
            "description": "The share of a wait that is left to chance, so that many failures don't all come back at once; true is the default.",
        },
        "on": {
            "type": "array",
            "items": {"type": "string", "minLength": 1},
            "maxItems": 100,
            "description": f"The error codes that are tried again; '{ANY_ERROR}' stands for all. Without it, the errors that the node itself holds to be passing.",
        },
    },
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    max_attempts: int = 3
    backoff: Literal["fixed", "exponential"] = "exponential"
    initial_seconds: float = 1.0
    factor: float = 2.0
    max_seconds: float = 60.0
    jitter: float = DEFAULT_JITTER
    on: frozenset[str] = frozenset()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "RetryPolicy":
        """From what `RETRY_SCHEMA` describes."""
        given = dict(config)
        if "on" in given:
            given["on"] = frozenset(given["on"])
        if isinstance(given.get("jitter"), bool):
            given["jitter"] = DEFAULT_JITTER if given["jitter"] else 0.0
        return cls(**given)

    def delay_before(self, attempt: int, *, key: str) -> float:
        """Seconds to wait before this attempt; the second is the first to wait for. The same key always waits as long, in any process."""
        if attempt <= 1:
            return 0.0
        delay = min(self._plain_delay(attempt - 2), self.max_seconds)
        return delay * (1.0 - self.jitter * _chance(f"{key}:{attempt}"))

    def _plain_delay(self, waits: int) -> float:
        if self.backoff == "fixed":
            return self.initial_seconds
        try:
            return self.initial_seconds * self.factor**waits
        except OverflowError:
            return self.max_seconds

    def allows(self, attempt: int, error_code: str, retryable: bool) -> bool:
        """Whether there is another attempt after this one has failed."""
        if attempt >= self.max_attempts:
            return False
        if not self.on:
            return retryable
        return error_code in self.on or ANY_ERROR in self.on


def _chance(key: str) -> float:
    """From 0 up to 1."""
    return int.from_bytes(sha256(key.encode()).digest()[:6]) / 2**48
