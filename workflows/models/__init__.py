from workflows.models.executions import (
    MOST_STEPS,
    Execution,
    ExecutionQuerySet,
    Step,
    StepStatus,
)
from workflows.models.library import GuestUse, Rating
from workflows.models.schedules import Firing, Schedule
from workflows.models.seen import SeenKey
from workflows.models.tests import WorkflowTest
from workflows.models.triggers import TriggerSecret
from workflows.models.waits import Approval, ApprovalStatus, Decision, Signal
from workflows.models.workflows import (
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
    "Approval",
    "ApprovalStatus",
    "Decision",
    "Execution",
    "ExecutionQuerySet",
    "Firing",
    "GuestUse",
    "Rating",
    "Schedule",
    "SeenKey",
    "Signal",
    "Step",
    "StepStatus",
    "TriggerSecret",
    "Workflow",
    "WorkflowQuerySet",
    "WorkflowRows",
    "WorkflowStatus",
    "WorkflowTest",
    "WorkflowVersion",
    "by_api",
    "workflow_subject",
]
