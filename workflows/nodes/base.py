"""What a node type is.

A node type is one file in this folder and one line in `workflows/nodes/__init__.py`. It declares its config as a JSON Schema, the handles its edges may
leave from, an example that the tests run, and its effect class; the engine hands it its config resolved, and a `Call` that stands for everything else:

    class Limit(Node):
        type = "limit"
        family = "processing"
        summary = "Keeps the first items of a list."
        config_schema = {"type": "object", "properties": {"count": {"type": "integer", "minimum": 0, "description": "How many."}}, "required": ["count"], "additionalProperties": False}
        example = {"config": {"count": 1}, "input": [1, 2], "output": [1]}

        async def run(self, call):
            return Output(call.input[: call.config["count"]])

**Effect class.** A *pure* node costs nothing and touches nothing outside: after a crash it may run again, and its record is only buffered. An *effect*
node reaches outside: its intent is committed before it runs and its result after, so a finished one never repeats, and the one in flight at a crash
repeats with the same `call.idempotency_key`. One that is *at_most_once* never repeats: in flight at a crash, it ends as `unknown`, for a person to decide.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from integrations.models import Opened

Family = Literal[
    "input", "ai", "processing", "conditional", "flow", "integrations", "output"
]
Effect = Literal["pure", "effect", "at_most_once"]


Usage = dict[str, Any]
"""`input_tokens`, `output_tokens`, `cost_micros` (None where no price is known) and `model`: what calls of models took."""


@dataclass(frozen=True)
class Output:
    """The node is done: its value goes along the edges that leave from these handles. `took` is the signal that it consumed.

    `news` are events of the company, each its type and data: they are published in the very transaction that writes the step down as done.
    """

    value: Any
    handles: tuple[str, ...] = ("main",)
    took: str = ""
    opening: Opening | None = None
    usage: Usage | None = None
    news: tuple[tuple[str, dict[str, Any]], ...] = ()

    @property
    def is_repeatable(self) -> bool:
        """Whether a value that is kept may stand for the call: nothing else came of it."""
        return not (self.took or self.opening or self.news)


@dataclass(frozen=True)
class Opening:
    """What a node has opened for others to answer: `approval` for people, `execution` for another workflow. It is opened in the transaction in which the
    step is written down as waiting, once; the answer is `call.answer` when the node runs again."""

    kind: Literal["approval", "execution"]
    details: dict[str, Any]


@dataclass(frozen=True)
class Waiting:
    """The node goes on at `until`, or when something comes for it: it is then run again with `call.started_at` unchanged. A short wait is slept on the loop;
    a longer one holds no worker."""

    until: datetime | None
    opening: Opening | None = None


class Turns(ABC):
    """What a node of the types `map` and `loop` repeats, turn by turn: the engine begins one as long as `begin` gives an item and fewer than `at_once` are
    under way, and hands the result of each back, in whatever order they end."""

    at_once: int = 1

    @abstractmethod
    def begin(self) -> tuple[Any] | None:
        """The item of the next turn, or None when there is none now. Raises NodeError."""

    @abstractmethod
    def finish(self, index: int, value: Any) -> None:
        """The turn of this index ended with this value."""

    @abstractmethod
    def fail(self, index: int, error: dict[str, Any]) -> bool:
        """The turn failed. False where the node fails with it."""

    @abstractmethod
    def result(self) -> Any:
        """The node's output, once no turn is left."""


@dataclass(frozen=True)
class Iterating:
    """The part of the graph behind the handle `item` runs once for each turn; then the node goes on by `done`."""

    turns: Turns


@dataclass(frozen=True)
class Signal:
    """Something that was sent to the execution by a name. It is consumed once."""

    id: str
    name: str
    data: Any
    at: datetime


@dataclass(frozen=True)
class Stop:
    """The whole execution ends here: completed with `output`, or failed where an error is given."""

    output: Any = None
    error: NodeError | None = None


Outcome = Output | Waiting | Iterating | Stop


class NodeError(Exception):
    """What went wrong in a node, for the person who built the workflow. `retryable` says whether trying again may help; `retry_after` is in seconds.
    What a call had taken before it failed is its `usage`."""

    def __init__(
        self,
        message: str,
        *,
        code: str = "node_failed",
        retryable: bool = False,
        retry_after: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
        self.retry_after = retry_after
        self.usage = usage


class Call(Protocol):
    """One run of a node."""

    config: dict[str, Any]
    """Resolved: every `{{ … }}` has been evaluated, but in the node's `raw_fields`."""
    input: Any
    idempotency_key: str
    """The same for every attempt at this node in this execution."""
    attempt: int
    started_at: datetime
    """When this node was first begun in this execution, before any restart."""
    is_dry: bool
    """Nothing may be left behind, not even in rows of our own."""
    company_id: int
    execution_id: str
    workflow_id: str
    node_id: str
    depth: int
    """How many executions stand above this one."""

    @property
    def inputs(self) -> dict[str, Any]:
        """What each taken edge brought, by the node that it left; `input` alone can't tell one object from several outputs."""

    @property
    def leaving(self) -> frozenset[str]:
        """The handles that edges leave this node from."""

    @property
    def answer(self) -> dict[str, Any] | None:
        """What came for the opening of this very step; None as long as nothing has."""

    def signal(self, name: str) -> Signal | None:
        """The first signal of this name that nobody has consumed."""

    def evaluate(self, value: Any, **names: Any) -> Any:
        """Resolve the expressions in a raw value, with more names in scope."""

    def render(self, text: str, escape: Callable[[str], str], **names: Any) -> str:
        """The text with its expressions replaced by their values as text, each of them escaped."""

    def matches(
        self, conditions: list[dict[str, Any]], combine: str = "all", *, data: Any = ...
    ) -> bool:
        """Whether the conditions hold for `data`, by default the node's input."""

    def matcher(
        self, conditions: list[dict[str, Any]], combine: str = "all"
    ) -> Callable[..., bool]:
        """For many values: `matcher(…)(value, item=…)` says whether the conditions hold for it, with more names in scope."""

    def log(self, message: str, **details: Any) -> None:
        """A line in the execution's log."""

    def credential(self, field: str = "credential") -> Opened | None:
        """The credential that this field of the config names, or None where it names none. The field is marked `x-credential` in the schema."""

    def hide(self, text: str) -> None:
        """Keep a text out of all that is written down of this run, such as a token that a credential was exchanged for."""

    def redact(self, text: str) -> str:
        """The text with stars for what is hidden: of use before it is cut, for half a secret is not known for one."""


class Node:
    """The base of every node type. An instance holds no state: one serves all executions."""

    type: ClassVar[str]
    family: ClassVar[Family]
    summary: ClassVar[str]
    effect: ClassVar[Effect] = "pure"
    config_schema: ClassVar[dict[str, Any]]
    """JSON Schema 2020-12 of `config`, with `additionalProperties: false`. A string that holds an expression is accepted wherever any type is. A field marked
    `x-secret` may name secrets; one marked `x-credential`, with a list of types, names a credential of one of them."""
    refers_to: ClassVar[dict[str, str]] = {}
    """Config keys that hold ids of the company's own rows, by their models (`agents.Agent`): looked up when a workflow is saved."""
    raw_fields: ClassVar[frozenset[str]] = frozenset()
    """Config keys that the node evaluates itself, such as conditions."""
    handles: ClassVar[tuple[str, ...]] = ("main",)
    may_wait: ClassVar[bool] = False
    """Whether it may answer Waiting."""
    opens: ClassVar[bool] = False
    """Whether it may open something for others to answer."""
    repeats: ClassVar[bool] = False
    """Whether it may answer Iterating. What stands behind its handle `item` is its body, which no edge joins to the rest of the graph."""
    example: ClassVar[dict[str, Any]]
    """`{"config": …, "input": …, "output": …}`, and `handles` where not main: run by the tests and shown in the catalogue."""

    def handles_for(self, config: dict[str, Any]) -> tuple[str, ...]:
        """The handles that edges may leave from, where they depend on the config. `error` is the engine's own."""
        return self.handles

    def check(self, config: dict[str, Any]) -> dict[str, str]:
        """Faults that a schema can't find, each by its path within the config. Called when a workflow is saved, after the schema has passed."""
        return {}

    def default_retry(self, config: dict[str, Any]) -> dict[str, Any] | None:
        """How it is tried again where its node says nothing of `retry`."""
        return None

    def suspends(self, config: dict[str, Any]) -> bool:
        """Whether a pure node hands its work to a thread or a child process: it then runs beside the others, and has a time-out."""
        return False

    async def run(self, call: Call) -> Outcome:
        raise NotImplementedError
