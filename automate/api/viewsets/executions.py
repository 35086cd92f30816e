"""The REST resource execution: list, read, replay."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate.api import filters
from automate.api.serializers import ExecutionListSerializer, ExecutionSerializer, StartedSerializer
from automate.enums import ExecutionStatus
from automate.executions import verbs
from automate.models import Execution, StepRun
from automate_api.v1.base import BaseReadOnlyViewSet
from automate_core.models import Role


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
    """Read what ran, newest first, and run it again."""

    queryset = Execution.all_tenants.select_related("automation", "event")
    serializer_class = ExecutionSerializer
    api_scope = "executions"
    required_roles = {"replay": Role.RUNNER}

    def get_queryset(self) -> QuerySet[Any]:
        """Return the tenant's executions, with their steps where they are shown."""
        queryset: QuerySet[Any] = super().get_queryset()
        if self.action == "retrieve":
            return queryset.prefetch_related(Prefetch("steps", StepRun.all_tenants.order_by("id")))
        return queryset

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by its query parameters, newest first."""
        if self.action != "list":
            return queryset
        params = self.request.query_params
        wanted = {
            "automation_id": filters.uuid(params, "workflow"),
            "status": filters.choice(params, "status", ExecutionStatus.values),
            "created_at__gte": filters.moment(params, "since"),
            "created_at__lte": filters.moment(params, "until"),
            "trace_id": filters.text(params, "trace_id"),
            "event__type": filters.text(params, "event_type"),
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        return queryset.filter(**given).order_by("-id")

    def get_serializer_class(self) -> type[Any]:
        """Return the short shape for the list, the whole one elsewhere."""
        return ExecutionListSerializer if self.action == "list" else ExecutionSerializer

    @extend_schema(request=None, responses={202: StartedSerializer})
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str | None = None) -> Response:
        """Run a finished execution again with the same input; the original stays as it is."""
        copy = verbs.replay(self.get_object())
        body = {
            "execution_id": copy.id,
            "message": "Execution queued for replay",
            "trace_id": copy.trace_id,
        }
        return Response(body, status=202)
