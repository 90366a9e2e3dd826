from workflows.views import ExecutionViewSet, WorkflowViewSet

routes = [
    ("workflows", WorkflowViewSet, "workflow"),
    ("executions", ExecutionViewSet, "execution"),
]
