from django.urls import path

from craft.pages import SettingsPage
from workflows.pages import approvals
from workflows.views.executions import ExecutionViewSet
from workflows.views.library import TemplateViewSet
from workflows.views.tests import BELOW_WORKFLOW, WorkflowTestViewSet
from workflows.views.waits import ApprovalViewSet
from workflows.views.workflows import WorkflowViewSet

routes = [
    (f"{BELOW_WORKFLOW}/tests", WorkflowTestViewSet, "workflow-test"),
    ("workflows/templates", TemplateViewSet, "template"),
    ("workflows", WorkflowViewSet, "workflow"),
    ("executions", ExecutionViewSet, "execution"),
    ("approvals", ApprovalViewSet, "approval"),
]

pages = [
    path("approval", approvals.by_link, name="approval-by-link"),
    path("approvals", approvals.all_open, name="approvals"),
    path("approvals/<str:approval_id>", approvals.one, name="approval"),
]

settings_pages = [SettingsPage("You", "Approvals", "approvals", "check")]
