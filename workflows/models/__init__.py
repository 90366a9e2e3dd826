from workflows.models.executions import (
    Execution,
    ExecutionQuerySet,
    Step,
    StepOrigin,
    StepStatus,
)
from workflows.models.labels import ExecutionLabel
from workflows.models.payloads import Payload
from workflows.models.schedules import Schedule
from workflows.models.seen import SeenKey
from workflows.models.waits import Approval, ApprovalStatus, Decision, Signal
from workflows.models.workflows import (
    PIPELINE_TRIGGERS,
    Workflow,
    WorkflowQuerySet,
    WorkflowRows,
    WorkflowStatus,
    WorkflowVersion,
    by_api,
    workflow_subject,
)

__all__ = [
    "PIPELINE_TRIGGERS",
    "Approval",
    "ApprovalStatus",
    "Decision",
    "Execution",
    "ExecutionLabel",
    "ExecutionQuerySet",
    "Payload",
    "Schedule",
    "SeenKey",
    "Signal",
    "Step",
    "StepOrigin",
    "StepStatus",
    "Workflow",
    "WorkflowQuerySet",
    "WorkflowRows",
    "WorkflowStatus",
    "WorkflowVersion",
    "by_api",
    "workflow_subject",
]
