from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.viewsets import MEMBERS_WRITE, CompanyViewSet
from workflows.filters import ApprovalFilter
from workflows.models import Approval
from workflows.serializers.waits import AnswerSerializer, ApprovalSerializer
from workflows.services import approvals


class ApprovalViewSet(mixins.RetrieveModelMixin, mixins.ListModelMixin, CompanyViewSet):
    """What executions ask of people."""

    queryset = Approval.objects.select_related("execution").prefetch_related(
        "decisions__user"
    )
    serializer_class = ApprovalSerializer
    filterset_class = ApprovalFilter
    access = MEMBERS_WRITE
    problems: ClassVar = {"approve": (403, 409), "reject": (403, 409)}

    @extend_schema(request=AnswerSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Say yes, as the person whose key or session this is. Once enough have, the execution goes on by `approved`."""
        return self._decide(approves=True)

    @extend_schema(request=AnswerSerializer, responses=ApprovalSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Say no. One is enough, and the execution goes on by `rejected`."""
        return self._decide(approves=False)

    def _decide(self, *, approves: bool) -> Response:
        caller = credentials_of(self.request)
        answer: dict[str, Any] = self.read(AnswerSerializer)
        approval = self.get_object()
        approvals.decide(
            approval, member=caller.membership, approves=approves, **answer
        )
        return Response(self.get_serializer(self.get_object()).data)
