from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from agents import llm, services
from agents.filters import AgentExecutionFilter, AgentFilter
from agents.models import Agent, AgentExecution
from agents.serializers import (
    AgentExecutionSerializer,
    AgentPreviewSerializer,
    AgentSerializer,
    AnswerSerializer,
    ExecuteSerializer,
    ModelInfoSerializer,
    PreviewAnswerSerializer,
    PreviewTestSerializer,
)
from craft.api.idempotency import key_for_work
from craft.api.viewsets import MEMBERS_WRITE, PUBLIC, ApiViewSet, CompanyModelViewSet

UPSTREAM = (409, 502, 503, 504)


class AgentViewSet(CompanyModelViewSet):
    """Agents: a model with instructions, and the data sources that it may ask."""

    queryset = Agent.objects.with_sources()
    serializer_class = AgentSerializer
    filterset_class = AgentFilter
    access = MEMBERS_WRITE
    unheld = frozenset({"execute", "preview_test"})
    problems = {"execute": UPSTREAM, "preview_test": UPSTREAM[1:]}

    def perform_create(self, serializer: Any) -> None:
        caller = credentials_of(self.request)
        serializer.instance = services.create_agent(
            company=caller.company, user=caller.user, **serializer.validated_data
        )

    def perform_update(self, serializer: Any) -> None:
        serializer.instance = services.update_agent(
            serializer.instance,
            user=credentials_of(self.request).user,
            **serializer.validated_data,
        )

    def perform_destroy(self, instance: Agent) -> None:
        services.delete_agent(instance)

    @extend_schema(request=ExecuteSerializer, responses=AnswerSerializer)
    @action(detail=True, methods=["post"])
    def execute(self, request: Request, pk: str) -> Response:
        """Ask the agent and wait for its answer."""
        execution = self._ask(self.read(ExecuteSerializer))
        return Response(AnswerSerializer(execution).data)

    @extend_schema(responses=AgentExecutionSerializer(many=True))
    @action(detail=True, methods=["get"])
    def executions(self, request: Request, pk: str) -> Response:
        """What the agent was asked and what it answered, newest first."""
        agent = self.get_object()
        rows = AgentExecution.objects.of_agent(agent)
        return self.list_rows(rows, AgentExecutionSerializer, AgentExecutionFilter)

    @extend_schema(responses=AgentPreviewSerializer)
    @action(detail=True, methods=["get"])
    def preview(self, request: Request, pk: str) -> Response:
        """What a page needs to show the agent."""
        return Response(AgentPreviewSerializer(self.get_object()).data)

    @extend_schema(request=PreviewTestSerializer, responses=PreviewAnswerSerializer)
    @action(detail=True, methods=["post"], url_path="preview/test")
    def preview_test(self, request: Request, pk: str) -> Response:
        """Try the agent: nothing is billed, and the try is no part of its history. An inactive agent can be tried too."""
        execution = self._ask(self.read(PreviewTestSerializer), is_preview=True)
        return Response(PreviewAnswerSerializer(execution).data)

    def _ask(
        self, asked: dict[str, Any], *, is_preview: bool = False
    ) -> AgentExecution:
        caller = credentials_of(self.request)
        return services.execute_agent(
            agent=self.get_object(),
            company=caller.company,
            user=caller.user,
            is_preview=is_preview,
            idempotency_key=key_for_work(self.request),
            **asked,
        )


class ModelViewSet(ApiViewSet):
    """The models that agents may name."""

    access = PUBLIC
    serializer_class = ModelInfoSerializer
    pagination_class = None
    filter_backends = []
    lookup_value_regex = r"[A-Za-z0-9._:-]{1,100}"

    def list(self, request: Request) -> Response:
        """Craft's own models, and those of the providers that this installation knows; `available` says which can run here."""
        return Response(ModelInfoSerializer(llm.list_models(), many=True).data)

    def retrieve(self, request: Request, pk: str) -> Response:
        """One of them."""
        model = next((model for model in llm.list_models() if model.id == pk), None)
        if model is None:
            raise Http404
        return Response(ModelInfoSerializer(model).data)
