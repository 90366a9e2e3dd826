"""What becomes of a person's rows in this app."""

from craft.privacy import Impersonal, Policies, Unlinked
from workflows.models import (
    Approval,
    Decision,
    Execution,
    ExecutionLabel,
    Payload,
    Schedule,
    SeenKey,
    Signal,
    Step,
    Workflow,
    WorkflowVersion,
)

POLICIES: Policies = {
    Workflow: Unlinked(told=("id", "company_id", "name", "created_at")),
    WorkflowVersion: Unlinked(told=("id", "workflow_id", "number", "created_at")),
    Execution: Unlinked(told=("id", "company_id", "workflow_id", "created_at")),
    ExecutionLabel: Impersonal("what the company calls an execution"),
    Schedule: Impersonal("when a workflow fires"),
    Signal: Unlinked(
        by=("sent_by",), told=("id", "execution_id", "name", "created_at")
    ),
    SeenKey: Impersonal("digests of what a workflow has seen"),
    Approval: Impersonal("a question, in the company's own words"),
    Decision: Unlinked(
        by=("user",),
        told=("id", "approval_id", "approves", "comment", "data", "created_at"),
    ),
    Payload: Impersonal(
        "what an execution was given and gave, with the company's data"
    ),
    Step: Impersonal("what a node did, with the company's data"),
}
