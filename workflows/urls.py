from workflows.views.executions import ExecutionViewSet
from workflows.views.workflows import WorkflowViewSet

routes = [
    ("workflows", WorkflowViewSet, "workflow"),
    ("executions", ExecutionViewSet, "execution"),
]
