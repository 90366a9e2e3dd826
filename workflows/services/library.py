"""What people take from others' workflows, and from the templates that come with the product."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F

from accounts.models import Company, User
from craft.events import Event, publish
from craft.exceptions import InvalidError
from workflows import events
from workflows.library import WorkflowTemplate, templates
from workflows.models import Rating, Workflow
from workflows.nodes import schemas
from workflows.services.triggers import SCHEDULED, trigger_type
from workflows.services.workflows import create_workflow

COPIED = ("name", "description", "category", "tags", "trigger")


def copy_workflow(
    workflow: Workflow, *, company: Company, user: User | None, name: str = ""
) -> Workflow:
    """What is live of it, as a new workflow of this company's own: a private draft, or an active pipeline, which then does not fire by itself."""
    version = workflow.live_version
    if version is None:
        raise RuntimeError(f"{workflow.pk} has no version")
    fields: dict[str, Any] = {field: getattr(workflow, field) for field in COPIED}
    if version.steps is None:
        fields |= version.definition
    else:
        output = {"output": version.output} if version.output else {}
        fields |= {"steps": version.steps, "variables": version.variables, **output}
        if trigger_type(workflow) in SCHEDULED:
            fields["trigger"] = "api"
    if name:
        fields["name"] = name
    return create_workflow(company=company, user=user, **fields)


@transaction.atomic
def rate_workflow(
    workflow: Workflow, *, company: Company, user: User | None, stars: int
) -> Workflow:
    """Each company has one rating, and may change it. Count and sum are exact: who rates at the same time waits here."""
    locked = Workflow.unscoped.select_for_update(of=("self",)).get(pk=workflow.pk)
    own = Rating.objects.for_company(company).filter(workflow=locked)
    rating = own.first()
    before = rating.stars if rating else None
    if rating is None:
        rating = Rating(company=company, workflow=locked)
    rating.stars, rating.created_by = stars, user
    rating.save()
    Workflow.unscoped.filter(pk=locked.pk).update(
        rating_count=F("rating_count") + int(before is None),
        rating_total=F("rating_total") + stars - (before or 0),
    )
    data = {"workflow_id": locked.pk, "changes": {"rating": [before, stars]}}
    publish(Event(events.WORKFLOW_RATED, company.pk, data))
    locked.refresh_from_db(fields=["rating_count", "rating_total"])
    return locked


def create_from_template(
    *,
    company: Company,
    user: User | None,
    template_id: str,
    name: str = "",
    variables: dict[str, Any] | None = None,
) -> Workflow:
    """A draft with the template's graph, and its variables' defaults where nothing else is said."""
    template = templates().get(template_id)
    if template is None:
        raise InvalidError(
            "There is no such template.",
            details={"template_id": f"There is no such template: {template_id[:100]}."},
        )
    return create_workflow(
        company=company,
        user=user,
        name=name or template.name,
        description=template.description,
        category=template.category,
        tags=template.tags,
        nodes=template.nodes,
        edges=template.edges,
        variables=filled(template, variables or {}),
    )


def filled(template: WorkflowTemplate, given: dict[str, Any]) -> dict[str, Any]:
    """Every variable of the template with its value."""
    faults = {}
    for name, value in given.items():
        if name not in template.variables:
            known = ", ".join(template.variables) or "none"
            faults[f"variables.{name}"] = f"Unknown variable. Known are: {known}."
        elif found := schemas.faults(template.variables[name]["schema"], value):
            faults[f"variables.{name}"] = f"It does not fit: {'; '.join(found)}."
    if faults:
        raise InvalidError("The template can't take these variables.", details=faults)
    return {**template.defaults, **given}
