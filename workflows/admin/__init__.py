"""Workflows and executions as an operator sees them. `overview` is the console's first page."""

from workflows.admin import approvals, executions, workflows  # noqa: F401  # they register themselves
