from typing import Any, ClassVar


class DomainError(Exception):
    """Something that a caller did, or must mend. Its message is shown to them.

    `code` is stable and for programs, `status_code` is the one HTTP word that the domain knows, `details` maps a field (a dotted path for a nested
    one) to one sentence.
    """

    code: ClassVar[str] = "invalid"
    status_code: ClassVar[int] = 400
    is_told: ClassVar[bool] = False
    """Whether the API answers with this `code`, where a program has to act on it, and not with the one that every error of this status has."""

    def __init__(self, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details or {}


class InvalidError(DomainError):
    """The input breaks a rule; `details` names the fields."""


class ConflictError(DomainError):
    code = "conflict"
    status_code = 409


class InProgressError(ConflictError):
    """The same was asked for before and is still being done. `wait` says in how many seconds to ask again."""

    code = "in_progress"
    wait = 2


class NotFoundError(DomainError):
    code = "not_found"
    status_code = 404


class UnavailableError(DomainError):
    """Something that this installation has not been given: a key, a service."""

    code = "unavailable"
    status_code = 503
