from functools import cache
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.exceptions import flatten
from craft.api.viewsets import CompanyViewSet
from craft.exceptions import DomainError
from workflows.engine.journal import CATALOGUE
from workflows.engine.published import published_schema
from workflows.serializers.validation import VerdictSerializer
from workflows.serializers.workflows import WorkflowSerializer
from workflows.services import validation

BODY = {
    "application/json": {
        "type": "object",
        "description": "What `POST /workflows` takes. Its JSON Schema is at `GET /workflows/schema`.",
    }
}


class ValidationActions(CompanyViewSet):
    """For editors: is it right as it stands?"""

    @extend_schema(request=BODY, responses=VerdictSerializer)
    @action(detail=False, methods=["post"])
    def validate(self, request: Request) -> Response:
        """Say what is wrong with a workflow, without saving it. For every keystroke: it answers 200 with all faults at once, each by its path, and with what is
        allowed and most likely not meant. Without faults, creating it would be accepted."""
        body = request.data if isinstance(request.data, dict) else {}
        if "edges" not in body and "connections" in body:
            body = {**body, "edges": body["connections"]}
        verdict = validation.judge(
            body,
            self._faults_of_form(request.data),
            company_id=credentials_of(request).company.pk,
        )
        told = {
            "valid": not verdict.faults,
            "faults": listed(verdict.faults.items()),
            "warnings": listed(verdict.warnings),
        }
        return Response(dict(VerdictSerializer(told).data))

    def _faults_of_form(self, body: Any) -> dict[str, str]:
        """Unknown fields stop the serializer at once: without them it finds the others."""
        serializer = WorkflowSerializer(
            data=body, context=self.get_serializer_context()
        )
        try:
            serializer.is_valid()
        except DomainError as error:  # from a field that knows more than its form
            return error.details
        if isinstance(body, dict) and (unknown := body.keys() - serializer.fields):
            known = {name: body[name] for name in body if name not in unknown}
            return self._faults_of_form(known) | flatten(serializer.errors)
        return flatten(serializer.errors)

    @extend_schema(responses={200: {"type": "object"}})
    @action(
        detail=False,
        methods=["get"],
        url_path="schema",
        filterset_class=None,
        pagination_class=None,
    )
    def graph_schema(self, request: Request) -> Response:
        """The JSON Schema (2020-12) of a workflow. With the config of every type of node, for editors and validators."""
        return Response(whole_schema())


def listed(found: Any) -> list[dict[str, str]]:
    return [{"path": path, "message": sentence} for path, sentence in found]


@cache
def whole_schema() -> dict[str, Any]:
    """Read-only fields may be sent back, and are ignored."""
    return published_schema(CATALOGUE, fields=WorkflowSerializer().fields)
