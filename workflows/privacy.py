"""What becomes of a person's rows in this app."""

from craft.privacy import Impersonal, Policies, Unlinked
from workflows.models import (
    Approval,
    Decision,
    Execution,
    ExecutionLabel,
    Firing,
    GuestUse,
    Payload,
    Rating,
    Schedule,
    SeenKey,
    Signal,
    Step,
    TriggerSecret,
    Workflow,
    WorkflowTest,
    WorkflowVersion,
)

POLICIES: Policies = {
    Workflow: Unlinked(told=("id", "company_id", "name", "created_at")),
    WorkflowVersion: Unlinked(
        by=("created_by", "published_by"),
        told=("id", "workflow_id", "number", "created_at", "published_at"),
    ),
    WorkflowTest: Unlinked(told=("id", "workflow_id", "name", "created_at")),
    Rating: Unlinked(told=("workflow_id", "stars", "created_at")),
    GuestUse: Impersonal("how often a company ran another's workflow"),
    Execution: Unlinked(told=("id", "company_id", "workflow_id", "created_at")),
    ExecutionLabel: Impersonal("what the company calls an execution"),
    Signal: Unlinked(
        by=("sent_by",), told=("id", "execution_id", "name", "created_at")
    ),
    SeenKey: Impersonal("digests of what a workflow has seen"),
    Approval: Impersonal("a question, in the company's own words"),
    Decision: Unlinked(
        by=("user",),
        told=("id", "approval_id", "approves", "comment", "data", "created_at"),
    ),
    Schedule: Unlinked(by=("paused_by",), told=("workflow_id", "paused_at")),
    Firing: Impersonal("a due time that waits"),
    TriggerSecret: Unlinked(told=("workflow_id", "created_at")),
    Payload: Impersonal(
        "what an execution was given and gave, with the company's data"
    ),
    Step: Impersonal("what a node did, with the company's data"),
}
