from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.viewsets import (
    MEMBERS_WRITE,
    ApiViewSet,
    CompanyViewSet,
    created,
)
from workflows.library import templates
from workflows.serializers.library import (
    CopySerializer,
    FromTemplateSerializer,
    RateSerializer,
    RatingSerializer,
    TemplateListSerializer,
    TemplateSerializer,
)
from workflows.serializers.workflows import WorkflowSerializer
from workflows.services import library


class LibraryActions(CompanyViewSet):
    """What is made of others' workflows, and of templates."""

    @extend_schema(request=CopySerializer, responses={201: WorkflowSerializer})
    @action(detail=True, methods=["post"])
    def copy(self, request: Request, pk: str) -> Response:
        """Make your own of it: of a public workflow, or of one of yours. The copy is private and a draft; a pipeline's is active, and does not fire by itself."""
        caller = credentials_of(request)
        workflow = library.copy_workflow(
            self.get_object(),
            company=caller.company,
            user=caller.user,
            **self.read(CopySerializer),
        )
        return created(self, self.get_serializer(workflow).data)

    @extend_schema(request=RateSerializer, responses=RatingSerializer)
    @action(detail=True, methods=["post"], url_path="rating")
    def rate(self, request: Request, pk: str) -> Response:
        """Say what you think of it, with 1 to 5 stars. Each company has one rating; another one takes its place."""
        caller, stars = credentials_of(request), self.read(RateSerializer)["rating"]
        workflow = library.rate_workflow(
            self.get_object(), company=caller.company, user=caller.user, stars=stars
        )
        told = {
            "workflow_id": workflow.pk,
            "your_rating": stars,
            "rating": workflow.rating,
            "rating_count": workflow.rating_count,
        }
        return Response(dict(RatingSerializer(told).data))

    @extend_schema(request=FromTemplateSerializer, responses={201: WorkflowSerializer})
    @action(detail=False, methods=["post"], url_path="from-template")
    def from_template(self, request: Request) -> Response:
        """Make a workflow out of a template: a draft, with the template's variables as you set them."""
        caller = credentials_of(request)
        workflow = library.create_from_template(
            company=caller.company,
            user=caller.user,
            **self.read(FromTemplateSerializer),
        )
        return created(self, self.get_serializer(workflow).data)


class TemplateViewSet(ApiViewSet):
    """Workflows to begin with, which come with the product."""

    access = MEMBERS_WRITE
    serializer_class: Any = TemplateSerializer
    pagination_class = None
    filter_backends: Any = []

    @extend_schema(responses=TemplateListSerializer(many=True))
    def list(self, request: Request) -> Response:
        """All templates."""
        rows = list(templates().values())
        return Response(TemplateListSerializer(rows, many=True).data)

    @extend_schema(responses=TemplateSerializer)
    def retrieve(self, request: Request, pk: str) -> Response:
        """One of them, with its graph, its variables, and a sample of what goes in and comes out."""
        template = templates().get(pk)
        if template is None:
            raise Http404
        return Response(TemplateSerializer(template).data)
