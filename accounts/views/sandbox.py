from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from accounts.models import Company
from accounts.serializers.sandbox import SandboxSerializer
from accounts.services import sandbox
from craft.api.serializers import Serializer
from craft.api.viewsets import Access, ApiViewSet


class SandboxViewSet(ApiViewSet):
    """The sandbox that test keys work in."""

    access: ClassVar[Access] = {"safe": "read", "unsafe": "admin"}
    unheld = frozenset({"reset"})

    @extend_schema(responses=SandboxSerializer)
    @action(detail=False, methods=["get"], url_path="sandbox", url_name="state")
    def state(self, request: Request) -> Response:
        """Whether the company has a sandbox yet, and since when."""
        return shown(credentials_of(request).membership.company.filled_sandbox)

    @extend_schema(request=None, responses=SandboxSerializer)
    @action(detail=False, methods=["post"], url_path="sandbox/reset")
    def reset(self, request: Request) -> Response:
        """Empty the sandbox and fill it anew with copies of the live records. What was made in it is gone. Test keys work on."""
        self.read(
            Serializer
        )  # it takes nothing, and a body that holds something is a mistake
        company = credentials_of(request).membership.company
        return shown(sandbox.reset_sandbox(company=company))


def shown(twin: Company | None) -> Response:
    copied_at = twin.copied_at if twin else None
    return Response(
        SandboxSerializer({"exists": twin is not None, "copied_at": copied_at}).data
    )
