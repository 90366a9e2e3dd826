from workflows.models.executions import Execution, ExecutionQuerySet, Step, StepStatus
from workflows.models.library import GuestUse, Rating
from workflows.models.schedules import Schedule
from workflows.models.seen import SeenKey
from workflows.models.tests import WorkflowTest
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
    "ExecutionQuerySet",
    "GuestUse",
    "Rating",
    "Schedule",
    "SeenKey",
    "Signal",
    "Step",
    "StepStatus",
    "Workflow",
    "WorkflowQuerySet",
    "WorkflowRows",
    "WorkflowStatus",
    "WorkflowTest",
    "WorkflowVersion",
    "by_api",
    "workflow_subject",
]
