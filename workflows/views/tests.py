from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.viewsets import MEMBERS_WRITE, CompanyModelViewSet
from craft.exceptions import InvalidError
from workflows.models import Workflow, WorkflowTest
from workflows.serializers.tests import (
    RunTestsSerializer,
    TestRunSerializer,
    WorkflowTestSerializer,
)
from workflows.services import tests, versions

BELOW_WORKFLOW = r"workflows/(?P<workflow_id>[A-Za-z0-9_-]{1,64})"


class WorkflowTestViewSet(CompanyModelViewSet):
    """Tests that are kept with a workflow, and run before it is published."""

    queryset = WorkflowTest.objects.all()
    serializer_class = WorkflowTestSerializer
    access = MEMBERS_WRITE
    unheld = frozenset({"run"})
    problems = {"create": (409,), "run": (409,)}
    workflow: Workflow

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        own = Workflow.objects.for_company(credentials_of(request).company)
        found = own.select_related("version", "published_version").filter(
            pk=self.kwargs["workflow_id"]
        )
        workflow = found.first()
        if workflow is None:
            raise Http404
        self.workflow = workflow

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset
        return queryset.filter(workflow=self.workflow)

    def perform_create(self, serializer: Any) -> None:
        serializer.instance = tests.create_test(
            workflow=self.workflow,
            user=credentials_of(self.request).user,
            **serializer.validated_data,
        )

    def perform_update(self, serializer: Any) -> None:
        serializer.instance = tests.update_test(
            serializer.instance, **serializer.validated_data
        )

    def perform_destroy(self, instance: Any) -> None:
        tests.delete_test(instance)

    @extend_schema(request=RunTestsSerializer, responses=TestRunSerializer)
    @action(detail=False, methods=["post"])
    def run(self, request: Request, workflow_id: str) -> Response:
        """Run all tests, or those that you name. Nothing is stored and nothing goes out: a node with an effect gives what it is pinned to, or else its type's
        example, and nobody waits for a delay or a person. A test has 10 seconds, all together have 60."""
        asked = self.read(RunTestsSerializer)
        version = versions.find_version(self.workflow, asked.get("version", "draft"))
        results = tests.run_tests(
            self.workflow,
            version.definition,
            self._chosen(asked.get("test_ids")),
            version=version,
        )
        failed = sum(not result.is_passed for result in results)
        told = {
            "passed": not failed,
            "total": len(results),
            "failed": failed,
            "version": version.number,
            "results": results,
        }
        return Response(dict(TestRunSerializer(told).data))

    def _chosen(self, ids: list[str] | None) -> list[WorkflowTest]:
        rows = {test.pk: test for test in self.get_queryset().order_by("pk")}
        if ids is None:
            return list(rows.values())
        for test_id in ids:
            if test_id not in rows:
                raise InvalidError(
                    "The workflow has no such test.",
                    details={"test_ids": f"There is no such test: {test_id}."},
                )
        return [rows[test_id] for test_id in dict.fromkeys(ids)]
