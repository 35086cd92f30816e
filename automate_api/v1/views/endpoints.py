"""The v1 resource endpoint: create, read, change, delete and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

from django.db.models import Q, QuerySet
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api import filters
from automate_api.bodies import valid
from automate_api.v1.base import BaseAPIView, BaseReadOnlyViewSet
from automate_core.errors import Problem
from automate_core.models import Role
from automate_modal import endpoints
from automate_modal.api import examples
from automate_modal.api.calls import ID_OR_SLUG, StartsJobs
from automate_modal.api.finding import find_endpoint
from automate_modal.api.serializers import (
    EndpointListSerializer,
    EndpointRunSerializer,
    EndpointSerializer,
    EndpointWriteSerializer,
    JobSerializer,
)
from automate_modal.models import Endpoint

ORDERING = ("created_at", "updated_at", "name", "slug", "enabled")
_FILTERS: Mapping[str, filters.Reader] = {
    "kind": filters.text,
    "enabled": filters.boolean,
    "search": filters.text,
    "ordering": partial(filters.ordering, allowed=ORDERING, default="-created_at"),
}


@extend_schema_view(
    list=extend_schema(
        responses=EndpointListSerializer(many=True),
        parameters=[
            OpenApiParameter("kind", OpenApiTypes.STR),
            OpenApiParameter("enabled", OpenApiTypes.BOOL),
            OpenApiParameter("search", OpenApiTypes.STR, description="part of the name or slug"),
            OpenApiParameter(
                "ordering", OpenApiTypes.STR, enum=[*ORDERING, *(f"-{name}" for name in ORDERING)]
            ),
        ],
    ),
    retrieve=extend_schema(parameters=[ID_OR_SLUG]),
)
class EndpointViewSet(BaseReadOnlyViewSet, StartsJobs):
    """Create, read, change, delete and run endpoints, named by id or slug."""

    queryset = Endpoint.all_tenants.all()
    serializer_class = EndpointSerializer
    list_serializer_class = EndpointListSerializer
    api_scope = "endpoints"
    unique_keys = True
    required_roles: ClassVar[Mapping[str, Role]] = {"run": Role.RUNNER}

    def get_object(self) -> Endpoint:
        """Return the endpoint the route names by id or slug; raises NotFound."""
        return self.get_endpoint(self.kwargs["pk"])

    def get_endpoint(self, ref: str) -> Endpoint:
        """Return the endpoint with this id or slug among the view's own; raises NotFound."""
        return find_endpoint(ref, among=self.get_queryset())

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow and order the list by its query parameters."""
        asked = filters.read(self.request.query_params, _FILTERS)
        queryset = filters.narrowed(queryset, kind=asked["kind"], enabled=asked["enabled"])
        if search := asked["search"]:
            queryset = queryset.filter(Q(name__icontains=search) | Q(slug__icontains=search))
        return queryset.defer("description", "config", "input_schema").order_by(*asked["ordering"])

    @extend_schema(
        request=EndpointWriteSerializer, responses={201: EndpointSerializer}, examples=examples.CREATE
    )
    def create(self, request: Request) -> Response:
        """Create an endpoint."""
        fields = valid(EndpointWriteSerializer, request, others=_problems)
        made = endpoints.create_endpoint(by=self.principal.id, **fields)
        return Response(self.get_serializer(made).data, status=201)

    @extend_schema(parameters=[ID_OR_SLUG], request=EndpointWriteSerializer, responses=EndpointSerializer)
    def update(self, request: Request, pk: str | None = None) -> Response:
        """Change the fields that are given; jobs under way go on as they began."""
        changes = valid(EndpointWriteSerializer, request, partial=True, others=_problems)
        changed = endpoints.change_endpoint(self.get_object(), by=self.principal.id, **changes)
        return Response(self.get_serializer(changed).data)

    @extend_schema(parameters=[ID_OR_SLUG], request=EndpointWriteSerializer, responses=EndpointSerializer)
    def partial_update(self, request: Request, pk: str | None = None) -> Response:
        """Change the fields that are given, as PUT does."""
        return self.update(request, pk)

    @extend_schema(parameters=[ID_OR_SLUG], responses={204: None})
    def destroy(self, request: Request, pk: str | None = None) -> Response:
        """Delete an endpoint with its jobs and artifacts; what runs goes on without them."""
        endpoints.delete_endpoint(self.get_object(), by=self.principal.id)
        return Response(status=204)

    @extend_schema(
        parameters=[ID_OR_SLUG],
        request=EndpointRunSerializer,
        responses={200: JobSerializer, 202: JobSerializer},
        examples=examples.RUN,
    )
    @action(detail=True, methods=["post"])
    def run(self, request: Request, pk: str) -> HttpResponseBase:
        """Call an endpoint: 200 with the job when it has ended, whatever its end; 202 when it goes on.

        It goes on when the body says `async`, after 30 seconds (setting `JOB_WAIT_SECONDS`), and when too many
        others wait.
        """
        return self.run_endpoint(request, pk)

    def _make_idempotent(self, request: Request) -> None:
        keeper = StartsJobs if self.action == "run" else BaseAPIView
        keeper._make_idempotent(self, request)


def _problems(given: Mapping[str, Any]) -> Sequence[Problem]:
    return endpoints.problems({"name": "", "slug": None, "kind": "", **given})
