from workflows.models.executions import (
    MOST_STEPS,
    Execution,
    ExecutionQuerySet,
    Step,
    StepOrigin,
    StepStatus,
)
from workflows.models.labels import ExecutionLabel
from workflows.models.library import GuestUse, Rating
from workflows.models.payloads import Payload
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
    "ExecutionLabel",
    "ExecutionQuerySet",
    "Firing",
    "GuestUse",
    "Payload",
    "Rating",
    "Schedule",
    "SeenKey",
    "Signal",
    "Step",
    "StepOrigin",
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
