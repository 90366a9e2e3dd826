from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import credentials_of
from craft.api.viewsets import CompanyViewSet
from workflows.models import Workflow
from workflows.serializers.triggers import (
    BackfilledSerializer,
    BackfillSerializer,
    ScheduleSerializer,
)
from workflows.services import schedules


class ScheduleActions(CompanyViewSet):
    """When a workflow fires by itself, and what people do about it."""

    @extend_schema(responses=ScheduleSerializer)
    @action(detail=True, methods=["get"])
    def schedule(self, request: Request, pk: str) -> Response:
        """When it fires by itself: its rule, and the next five times, in UTC and in its time zone. A draft tells when it would."""
        return shown(self.get_object())

    @extend_schema(request=None, responses=ScheduleSerializer)
    @action(detail=True, methods=["post"], url_path="schedule/pause")
    def pause_schedule(self, request: Request, pk: str) -> Response:
        """Fire no more, until it is resumed. What falls due meanwhile is not made up for."""
        workflow = self.get_object()
        schedules.pause_schedule(workflow, user=credentials_of(request).user)
        return shown(workflow)

    @extend_schema(request=None, responses=ScheduleSerializer)
    @action(detail=True, methods=["post"], url_path="schedule/resume")
    def resume_schedule(self, request: Request, pk: str) -> Response:
        """Fire again, from the next due time on."""
        workflow = self.get_object()
        schedules.resume_schedule(workflow)
        return shown(workflow)

    @extend_schema(request=BackfillSerializer, responses={202: BackfilledSerializer})
    @action(detail=True, methods=["post"], url_path="schedule/backfill")
    def backfill_schedule(self, request: Request, pk: str) -> Response:
        """Fire the due times of a range that has passed, at most 1,000 at once. Those that fired before are left out."""
        asked = self.read(BackfillSerializer)
        counts = schedules.backfill(
            self.get_object(),
            begin_at=asked["from"],
            end_at=asked["to"],
            overlap=asked["overlap"],
        )
        return Response(dict(BackfilledSerializer(counts).data), status=202)


def shown(workflow: Workflow) -> Response:
    return Response(ScheduleSerializer(schedules.overview_of(workflow)).data)
