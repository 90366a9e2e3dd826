from typing import Any

from django.db.models import BooleanField, ExpressionWrapper, Q
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.exceptions import QueryError
from craft.api.viewsets import CompanyViewSet
from workflows.models import Workflow, WorkflowVersion
from workflows.serializers.versions import (
    DescriptionSerializer,
    DifferencesSerializer,
    PublishSerializer,
    WorkflowVersionSerializer,
)
from workflows.serializers.workflows import WorkflowSerializer
from workflows.services import versions

ONE = "versions/(?P<number>[0-9]{1,9})"
NUMBER = OpenApiParameter("number", int, OpenApiParameter.PATH)
WITH = OpenApiParameter(
    "with",
    int,
    description="The version to compare with; 0 is an empty workflow. By default, the one before.",
)


class VersionActions(CompanyViewSet):
    """From draft to live, and back."""

    @extend_schema(request=PublishSerializer, responses=WorkflowSerializer)
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, pk: str) -> Response:
        """Make the newest version live, or the one that you name. Triggers and schedules start it from then on; executions under way keep theirs. Its tests run
        first: where one fails, nothing is published, and a 409 says which."""
        workflow = versions.publish_workflow(
            self.get_object(),
            user=credentials_of(request).user,
            **self.read(PublishSerializer),
        )
        return Response(self.get_serializer(workflow).data)

    @extend_schema(request=None, responses=WorkflowSerializer)
    @action(detail=True, methods=["post"])
    def unpublish(self, request: Request, pk: str) -> Response:
        """Make it a draft again: triggers are refused, and its schedule rests. Executions under way go on."""
        workflow = versions.unpublish_workflow(self.get_object())
        return Response(self.get_serializer(workflow).data)

    @extend_schema(responses=WorkflowVersionSerializer(many=True))
    @action(detail=True, methods=["get"], filterset_class=None)
    def versions(self, request: Request, pk: str) -> Response:
        """What it did, change by change, newest first."""
        return self.list_rows(versions_of(self.get_object()), WorkflowVersionSerializer)

    @extend_schema(parameters=[NUMBER], responses=WorkflowVersionSerializer)
    @action(detail=True, methods=["get"], url_path=ONE)
    def version(self, request: Request, pk: str, number: str) -> Response:
        """One of its versions."""
        return self._shown(self.get_object(), number)

    @extend_schema(
        parameters=[NUMBER],
        request=DescriptionSerializer,
        responses=WorkflowVersionSerializer,
    )
    @version.mapping.patch
    def describe_version(self, request: Request, pk: str, number: str) -> Response:
        """Name a version, or change its note. What it does never changes."""
        workflow = self.get_object()
        version = versions.find_version(workflow, int(number))
        versions.describe_version(version, **self.read(DescriptionSerializer))
        return self._shown(workflow, number)

    @extend_schema(parameters=[NUMBER, WITH], responses=DifferencesSerializer)
    @action(detail=True, methods=["get"], url_path=f"{ONE}/diff")
    def diff(self, request: Request, pk: str, number: str) -> Response:
        """What this version changed. Nodes, edges and variables that were added, removed or changed, by the path of each change."""
        said = request.query_params.get("with")
        if said is not None and not (said.isascii() and said.isdigit()):
            raise QueryError({"with": "Must be the number of a version."})
        found = versions.differences(
            self.get_object(), int(number), base=int(said[:10]) if said else None
        )
        return Response(dict(DifferencesSerializer(found).data))

    @extend_schema(parameters=[NUMBER], request=None, responses=WorkflowSerializer)
    @action(detail=True, methods=["post"], url_path=f"{ONE}/restore")
    def restore(self, request: Request, pk: str, number: str) -> Response:
        """Make what it did then its newest version. A graph goes on with what is published until you publish it; a pipeline goes back at once."""
        workflow = versions.restore_version(
            self.get_object(), user=credentials_of(request).user, number=int(number)
        )
        return Response(self.get_serializer(workflow).data)

    def _shown(self, workflow: Workflow, number: str) -> Response:
        versions.find_version(workflow, int(number))
        version = versions_of(workflow).get(number=int(number))
        return Response(WorkflowVersionSerializer(version).data)


def versions_of(workflow: Workflow) -> Any:
    live = workflow.live_version.pk if workflow.is_live and workflow.live_version else 0
    is_live = ExpressionWrapper(Q(pk=live), output_field=BooleanField())
    return WorkflowVersion.objects.filter(workflow=workflow).annotate(is_live=is_live)
