"""What a tool is: something that an agent's model may call while it answers.

A tool is one file in this folder and one line in `agents/tools/__init__.py`; apps above this one add theirs to `TOOLS` in their `apps.py`. It runs in
the caller's own thread and with the caller's rights. What it hands back is data and not instructions, and is quoted as such.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder

from accounts.models import Company
from datasources.models import DataSource

MAX_RESULT_CHARACTERS = 60_000


@dataclass
class ToolContext:
    """One turn of an agent, as its tools see it, and what they leave behind."""

    company: Company
    sources: dict[str, DataSource]
    """The agent's own, by id. No tool reaches any other."""
    citations: list[dict[str, Any]] = field(default_factory=list)
    queried: list[str] = field(default_factory=list)
    has_read_data: bool = False
    """Text that came from outside is in the conversation: from now on nothing may be written or sent on its word alone."""

    def source(self, source_id: Any) -> DataSource:
        """Raises `ToolError` for any that is not the agent's own."""
        if isinstance(source_id, str) and source_id in self.sources:
            return self.sources[source_id]
        known = ", ".join(self.sources) or "none"
        raise ToolError(f"There is no data source {source_id!r}. Known are: {known}.")

    def note_query(self, source: DataSource) -> None:
        if source.pk not in self.queried:
            self.queried.append(source.pk)


class ToolError(Exception):
    """The call can't be done so; the model is told and may try again."""


class AgentTool:
    name: ClassVar[str]
    description: ClassVar[str]
    """For the model: what it does, and when to call it."""
    parameters: ClassVar[dict[str, Any]]
    """JSON Schema of the arguments."""
    acts: ClassVar[bool] = False
    """Whether it writes or sends. A turn that has read outside text may not call it."""

    def run(self, context: ToolContext, **arguments: Any) -> Any:
        raise NotImplementedError


def quote(value: Any, origin: str, *, most: int = MAX_RESULT_CHARACTERS) -> str:
    """A tool's answer as text that can't end its own quotation, whatever the data says."""
    text = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
    if len(text) > most:
        text = json.dumps({"error": "The answer is too large. Ask for less."})
    safe = text.replace("<", "\\u003c")
    return f'<data origin="{origin}">\n{safe}\n</data>'
