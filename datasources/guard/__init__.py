"""The door for SQL from people and models: what comes through is one query, over one source's own tables, made of parts that we know.

`statements.py` judges a statement and prints what may be run in its stead, `execution.py` runs that. Both do so inside the sandbox, where a text that bombs
the parser does no harm: a process of ours needs what stands here, and never loads the parser.
"""

from typing import ClassVar

from craft.exceptions import DomainError

MAX_LENGTH = 20_000


class QueryError(DomainError):
    """A query that may not run, or that the database could not answer. The message says what to mend."""

    code: ClassVar[str] = "invalid_query"

    def __init__(self, message: str, *, details: dict[str, str] | None = None) -> None:
        super().__init__(message, details=details or {"query": message})
