"""The REST resource execution: list, read, replay, and what may be done to one that is open."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from django.db.models import Count, IntegerField, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate.api.serializers import (
    CancelSerializer,
    ExecutionListSerializer,
    ExecutionSerializer,
    OrderedSerializer,
    PathSerializer,
    ReplaySerializer,
    StartedSerializer,
)
from automate.enums import ExecutionStatus
from automate.executions import control
from automate.models import Execution, StepRun
from automate.replays import replay
from automate_api import filters
from automate_api.bodies import valid
from automate_api.parsing import NoBodyParser, StrictJSONParser
from automate_api.v1.base import BaseReadOnlyViewSet
from automate_core.models import Role

_FILTERS: Mapping[str, filters.Reader] = {
    "workflow": filters.uuid,
    "status": partial(filters.choice, choices=ExecutionStatus.values),
    "since": filters.moment,
    "until": filters.moment,
    "trace_id": filters.text,
    "event_type": filters.text,
}


@extend_schema_view(
    list=extend_schema(
        responses=ExecutionListSerializer(many=True),
        parameters=[
            OpenApiParameter("workflow", OpenApiTypes.UUID),
            OpenApiParameter("status", OpenApiTypes.STR, enum=ExecutionStatus.values),
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="created_at >= since"),
            OpenApiParameter("until", OpenApiTypes.DATETIME, description="created_at <= until"),
            OpenApiParameter("trace_id", OpenApiTypes.STR),
            OpenApiParameter("event_type", OpenApiTypes.STR),
        ],
    )
)
class ExecutionViewSet(BaseReadOnlyViewSet):
    """Read what ran, newest first, run it again; cancel, pause and resume what runs, and help its waiting steps."""

    queryset = Execution.all_tenants.select_related("automation", "event")
    serializer_class = ExecutionSerializer
    list_serializer_class = ExecutionListSerializer
    api_scope = "executions"
    parser_classes = (StrictJSONParser, NoBodyParser)
    required_roles: ClassVar[Mapping[str, Role]] = dict.fromkeys(
        ("replay", "cancel", "pause", "resume", "skip", "retry"), Role.RUNNER
    )

    def get_queryset(self) -> QuerySet[Any]:
        """Return the tenant's executions, with their steps where they are shown."""
        queryset: QuerySet[Any] = super().get_queryset()
        if self.action == "retrieve":
            called = Execution.all_tenants.filter(parent_execution_id=OuterRef("pk")).order_by()
            count = called.values("parent_execution_id").annotate(n=Count("*")).values("n")
            queryset = queryset.select_related("version").annotate(
                children=Coalesce(Subquery(count, output_field=IntegerField()), 0)
            )
            return queryset.prefetch_related(Prefetch("steps", StepRun.all_tenants.order_by("id")))
        if self.action == "list":
            # Neither the events nor what executions carry are shown: they may be large.
            queryset = queryset.select_related(None).select_related("automation")
            return queryset.defer("context", "output", "error_summary", "marks", "automation__description")
        return queryset

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by its query parameters, newest first."""
        if self.action != "list":
            return queryset
        asked = filters.read(self.request.query_params, _FILTERS)
        found = filters.narrowed(
            queryset,
            automation_id=asked["workflow"],
            status=asked["status"],
            created_at__gte=asked["since"],
            created_at__lte=asked["until"],
            trace_id=asked["trace_id"],
            event_type=asked["event_type"],
        )
        return found.order_by("-created_at", "-id")

    @extend_schema(request={"application/json": ReplaySerializer}, responses={202: StartedSerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str | None = None) -> Response:
        """Run a finished execution again, whole or from one step on; the original stays as it is.

        409 while it is not finished, and when a step that must not run twice would and `force` does not name it.
        """
        original = self.get_object()
        given = valid(ReplaySerializer, request)
        copy = replay(
            original,
            by=self.principal.id,
            start=given.get("from"),
            version=given.get("version"),
            payload=given.get("input"),
            force=given["force"],
        )
        body = {
            "execution_id": copy.id,
            "message": "Execution queued for replay",
            "trace_id": copy.trace_id,
        }
        return Response(body, status=202)

    @extend_schema(
        request={"application/json": CancelSerializer},
        responses={200: OrderedSerializer, 202: OrderedSerializer},
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """End an execution and those its steps wait for; 409 when it has finished.

        200 when it is over: no worker had it in hand. 202 when its worker was asked to stop: no further step starts.
        """
        execution = self.get_object()
        execution = control.cancel(execution, by=self.principal.id, **valid(CancelSerializer, request))
        if execution.finished_at:
            return _ordered(execution, "Execution cancelled")
        return _ordered(execution, "Execution asked to stop", status=202)

    @extend_schema(request=None, responses=OrderedSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str | None = None) -> Response:
        """Start no further step until the execution is resumed; calls under way return and are recorded."""
        return _ordered(control.pause(self.get_object(), by=self.principal.id), "Execution paused")

    @extend_schema(request=None, responses=OrderedSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str | None = None) -> Response:
        """Let a paused execution go on."""
        return _ordered(control.resume(self.get_object(), by=self.principal.id), "Execution resumed")

    @extend_schema(request={"application/json": PathSerializer}, responses=OrderedSerializer)
    @action(detail=True, methods=["post"], url_path="steps/skip")
    def skip(self, request: Request, pk: str | None = None) -> Response:
        """Let a step that waits, or waits for its next try, succeed with the output `{"skipped": true}`."""
        execution = self.get_object()
        control.skip(execution, valid(PathSerializer, request)["path"], by=self.principal.id)
        return _ordered(execution, "Step skipped")

    @extend_schema(request={"application/json": PathSerializer}, responses=OrderedSerializer)
    @action(detail=True, methods=["post"], url_path="steps/retry")
    def retry(self, request: Request, pk: str | None = None) -> Response:
        """End the wait of a step for its next try, or of a delay, at once."""
        execution = self.get_object()
        control.retry_now(execution, valid(PathSerializer, request)["path"], by=self.principal.id)
        return _ordered(execution, "Step is tried again")


def _ordered(execution: Execution, message: str, *, status: int = 200) -> Response:
    body = {
        "execution_id": execution.id,
        "status": execution.status,
        "message": message,
        "trace_id": execution.trace_id,
    }
    return Response(body, status=status)
