from workflows.models.executions import Execution, ExecutionQuerySet, Step, StepStatus
from workflows.models.schedules import Schedule
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
    "Execution",
    "ExecutionQuerySet",
    "Schedule",
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
