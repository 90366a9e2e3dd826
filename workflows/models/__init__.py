from workflows.models.executions import (
    MOST_STEPS,
    Execution,
    ExecutionQuerySet,
    Step,
    StepStatus,
)
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
    "MOST_STEPS",
    "PIPELINE_TRIGGERS",
    "Approval",
    "ApprovalStatus",
    "Decision",
    "Execution",
    "ExecutionQuerySet",
    "Schedule",
    "SeenKey",
    "Signal",
    "Step",
    "StepStatus",
    "Workflow",
    "WorkflowQuerySet",
    "WorkflowRows",
    "WorkflowStatus",
    "WorkflowVersion",
    "by_api",
    "workflow_subject",
]
