"""Another workflow, as a step of this one."""

from typing import Any

from craft.fields import new_id
from workflows.models import Workflow, WorkflowVersion
from workflows.nodes.base import (
    Call,
    Node,
    NodeError,
    Opening,
    Outcome,
    Output,
    Waiting,
)
from workflows.nodes.resolved import flag, kind_of, text
from workflows.nodes.threads import in_thread

MAX_DEPTH = 8
LATEST = "latest"


class Subworkflow(Node):
    type = "subworkflow"
    family = "flow"
    summary = "Runs another workflow of the company and goes on with its output. It is an execution of its own, which goes on whatever becomes of this process."
    may_wait = True
    opens = True
    refers_to = {"workflow": "workflows.Workflow"}
    config_schema = {
        "type": "object",
        "properties": {
            "workflow": {
                "type": "string",
                "minLength": 1,
                "maxLength": 64,
                "description": "The workflow's id.",
            },
            "version": {
                "type": ["integer", "string"],
                "default": LATEST,
                "description": "A version's number, or `latest`: the one that is live when the node is reached.",
            },
            "input": {
                "description": "What it gets. Without it, the node's input.",
            },
            "wait": {
                "type": "boolean",
                "default": True,
                "description": "Whether the node goes on only when it has ended. Otherwise it goes on at once, with `{execution_id}`.",
            },
        },
        "required": ["workflow"],
        "additionalProperties": False,
    }
    example = {
        "config": {"workflow": "wf_01hqx0example"},
        "input": {"order": 7},
        "answer": {
            "execution_id": "exec_1",
            "status": "completed",
            "output": {"invoice": 12},
            "error": None,
        },
        "output": {"invoice": 12},
    }

    async def run(self, call: Call) -> Outcome:
        if (answer := call.answer) is not None:
            return _ended(answer)
        if call.depth >= MAX_DEPTH:
            raise NodeError(
                f"Workflows can stand {MAX_DEPTH} deep in each other, no deeper.",
                code="too_deep",
            )
        waits = flag(call, "wait", default=True)
        workflow_id, number = text(call, "workflow"), _wanted(call)
        version = await in_thread(lambda: _find(call.company_id, workflow_id, number))
        opening = Opening(
            "execution",
            {
                "id": new_id("exec"),
                "workflow_id": version.workflow_id,
                "version_id": version.pk,
                "input": call.config.get("input", call.input),
                "is_awaited": waits,
            },
        )
        if waits:
            return Waiting(None, opening)
        return Output({"execution_id": opening.details["id"]}, opening=opening)


def _ended(answer: dict[str, Any]) -> Output:
    if answer["status"] == "completed":
        return Output(answer["output"])
    error = answer["error"] or {}
    reason = error.get("message") or f"It was {answer['status']}."
    raise NodeError(
        f"Its execution {answer['execution_id']} {answer['status']}: {reason}",
        code="subworkflow_failed",
        retryable=True,
    )


def _wanted(call: Call) -> int | None:
    version = call.config.get("version", LATEST)
    if version == LATEST:
        return None
    if isinstance(version, bool) or not isinstance(version, int):
        raise NodeError(
            f"version must be a number or '{LATEST}'; it is {kind_of(version)}.",
            code="invalid_config",
        )
    return version


def _find(company_id: int, workflow_id: str, number: int | None) -> WorkflowVersion:
    own = Workflow.objects.for_company(company_id)
    found = own.select_related("version", "published_version")
    workflow = found.filter(pk=workflow_id).first()
    if workflow is None or workflow.live_version is None:
        raise NodeError(
            f"There is no workflow {workflow_id[:64]!r}.", code="invalid_config"
        )
    if number is None:
        return workflow.live_version
    version = workflow.versions.filter(number=number).first()
    if version is None:
        raise NodeError(
            f"{workflow.name!r} has no version {number}.", code="invalid_config"
        )
    return version
