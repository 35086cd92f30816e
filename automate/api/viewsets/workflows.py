"""The REST resource workflow: an automation with its versioned graph and its trigger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate.api.serializers import (
    RunSerializer,
    StartedSerializer,
    VersionSerializer,
    WorkflowCheckedSerializer,
    WorkflowCheckSerializer,
    WorkflowListSerializer,
    WorkflowSerializer,
    WorkflowWriteSerializer,
)
from automate.api.services import WorkflowService
from automate.drawings import shown_graph
from automate.enums import TriggerType
from automate.models import Automation
from automate_api import filters
from automate_api.bodies import valid
from automate_api.v1.base import BaseReadOnlyViewSet
from automate_core.errors import Problem
from automate_core.models import Role

ORDERING = ("created_at", "updated_at", "name", "slug", "enabled")
_FILTERS: Mapping[str, filters.Reader] = {
    "enabled": filters.boolean,
    "search": filters.text,
    "ordering": partial(filters.ordering, allowed=ORDERING, default="-created_at"),
}


@extend_schema_view(
    list=extend_schema(
        responses=WorkflowListSerializer(many=True),
        parameters=[
            OpenApiParameter("enabled", OpenApiTypes.BOOL),
            OpenApiParameter("search", OpenApiTypes.STR, description="part of the name or slug"),
            OpenApiParameter(
                "ordering", OpenApiTypes.STR, enum=[*ORDERING, *(f"-{name}" for name in ORDERING)]
            ),
        ],
    )
)
class WorkflowViewSet(BaseReadOnlyViewSet):
    """Create, read, update, delete, run and check workflows, and go back to earlier versions."""

    service_class: ClassVar[type[WorkflowService]] = WorkflowService
    queryset = Automation.all_tenants.select_related("live_version")
    serializer_class = WorkflowSerializer
    list_serializer_class = WorkflowListSerializer
    api_scope = "workflows"
    unique_keys = True
    required_roles = {"run": Role.RUNNER, "restore": Role.EDITOR, "check": Role.VIEWER}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow and order the list by its query parameters."""
        if self.action != "list":
            return queryset
        asked = filters.read(self.request.query_params, _FILTERS)
        queryset = filters.narrowed(queryset, enabled=asked["enabled"])
        if search := asked["search"]:
            queryset = queryset.filter(Q(name__icontains=search) | Q(slug__icontains=search))
        return queryset.order_by(*asked["ordering"])

    def get_service(self) -> WorkflowService:
        """Return the service for the caller of this request."""
        return self.service_class(self.principal)

    @extend_schema(request=WorkflowWriteSerializer, responses={201: WorkflowSerializer})
    def create(self, request: Request) -> Response:
        """Create a workflow with its first version."""
        fields = valid(WorkflowWriteSerializer, request, others=self._problems)
        made = self.get_service().create(**fields)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(request=WorkflowWriteSerializer, responses=WorkflowSerializer)
    def update(self, request: Request, pk: str | None = None) -> Response:
        """Change the fields that are given; a changed graph or trigger is a new version."""
        automation = self.get_object()
        fields = valid(WorkflowWriteSerializer, request, partial=True, others=self._problems)
        return Response(self.get_serializer(self.get_service().update(automation, **fields)).data)

    @extend_schema(request=WorkflowWriteSerializer, responses=WorkflowSerializer)
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change the fields that are given, as PUT does."""
        return self.update(request, pk)

    @extend_schema(responses={204: None})
    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Delete a workflow with its versions and executions."""
        self.get_service().delete(self.get_object())
        return Response(status=204)

    @extend_schema(request=None, responses=VersionSerializer(many=True))
    @action(detail=True, methods=["get"])
    def versions(self, request: Request, pk: str | None = None) -> Response:
        """List the versions of a workflow, newest first."""
        page = self.paginate_queryset(self.get_object().versions.order_by("-number"))
        return self.get_paginated_response(VersionSerializer(page, many=True).data)

    @extend_schema(
        request=None,
        responses=WorkflowSerializer,
        parameters=[OpenApiParameter("number", OpenApiTypes.INT, OpenApiParameter.PATH)],
    )
    @action(detail=True, methods=["post"], url_path=r"versions/(?P<number>[0-9]{1,9})/restore")
    def restore(self, request: Request, pk: str | None = None, number: str = "") -> Response:
        """Make an earlier version live again, as a new one."""
        restored = self.get_service().restore(self.get_object(), int(number))
        return Response(self.get_serializer(restored).data)

    @extend_schema(request=RunSerializer, responses={202: StartedSerializer})
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: str | None = None) -> Response:
        """Start an execution with the given payload, whatever the triggers say."""
        started = self.get_service().run(self.get_object(), valid(RunSerializer, request)["payload"])
        body = {"execution_id": started.id, "message": "Execution queued", "trace_id": started.trace_id}
        return Response(body, status=202)

    @extend_schema(request=WorkflowCheckSerializer, responses=WorkflowCheckedSerializer)
    @action(detail=True, methods=["post"], url_path="validate")
    def check(self, request: Request, pk: str | None = None) -> Response:
        """Say what is wrong or doubtful about a graph and a trigger without saving them."""
        automation = self.get_object()
        live = automation.live_version
        given = valid(WorkflowCheckSerializer, request, others=self._problems)
        if live is not None:
            saved = {"graph": shown_graph(automation), "trigger_type": live.trigger_type}
            given = {**saved, "trigger_config": live.trigger_config, **given}
        given = {"trigger_type": TriggerType.MANUAL, **given}
        found = self.get_service().problems(**given)
        warnings = self.get_service().warnings(automation, **given)
        body = {
            "valid": not found,
            "errors": [problem.as_dict() for problem in found],
            "warnings": [finding.as_dict() for finding in warnings],
        }
        return Response(body)

    def _problems(self, given: Mapping[str, Any]) -> Sequence[Problem]:
        """Return what is wrong with the graph and the trigger, if they are among the fields that were understood."""
        names = ("graph", "trigger_type", "trigger_config") if "trigger_type" in given else ("graph",)
        return self.get_service().problems(**{name: given[name] for name in names if name in given})
