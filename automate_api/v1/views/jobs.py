"""The v1 resource job: list, read, cancel, and what happened in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api import filters
from automate_api.bodies import valid
from automate_api.parsing import NoBodyParser, StrictJSONParser
from automate_api.v1.base import BaseReadOnlyViewSet
from automate_core.endpoints import RunStatus
from automate_core.models import Role
from automate_modal import jobs
from automate_modal.api.finding import find_job, find_job_as_recorded
from automate_modal.api.results import events_page
from automate_modal.api.serializers import (
    JobCancelSerializer,
    JobEventSerializer,
    JobListSerializer,
    JobSerializer,
)
from automate_modal.endpoints import is_id
from automate_modal.models import Job
from automate_modal.states import in_state, with_live

_FILTERS: Mapping[str, filters.Reader] = {
    "endpoint": filters.text,
    "status": partial(filters.choice, choices=RunStatus.values),
    "kind": filters.text,
    "since": filters.moment,
    "until": filters.moment,
    "trace_id": filters.text,
}


@extend_schema_view(
    list=extend_schema(
        responses=JobListSerializer(many=True),
        parameters=[
            OpenApiParameter("endpoint", OpenApiTypes.STR, description="id or slug"),
            OpenApiParameter("status", OpenApiTypes.STR, enum=RunStatus.values),
            OpenApiParameter("kind", OpenApiTypes.STR),
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="created_at >= since"),
            OpenApiParameter("until", OpenApiTypes.DATETIME, description="created_at <= until"),
            OpenApiParameter("trace_id", OpenApiTypes.STR),
        ],
    )
)
class JobViewSet(BaseReadOnlyViewSet):
    """Read jobs, newest first, what happened in them, and cancel them."""

    queryset = Job.all_tenants.all()
    serializer_class = JobSerializer
    list_serializer_class = JobListSerializer
    api_scope = "jobs"
    parser_classes = (StrictJSONParser, NoBodyParser)
    required_roles: ClassVar[Mapping[str, Role]] = {"cancel": Role.RUNNER}

    def get_object(self) -> Any:
        """Return the job the route names, followed up to now; raises NotFound."""
        return find_job(self.kwargs["pk"], among=self.get_queryset())

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by its query parameters, newest first."""
        asked = filters.read(self.request.query_params, _FILTERS)
        named = "endpoint_id" if asked["endpoint"] and is_id(asked["endpoint"]) else "endpoint__slug"
        queryset = filters.narrowed(
            with_live(queryset.select_related("endpoint")),
            kind=asked["kind"],
            created_at__gte=asked["since"],
            created_at__lte=asked["until"],
            trace_id=asked["trace_id"],
            **{named: asked["endpoint"]},
        )
        if asked["status"] is not None:
            queryset = in_state(queryset, asked["status"])
        # What jobs carry may be large and is not shown.
        hidden = ("input", "output", "error_message", "endpoint__config", "endpoint__input_schema")
        return queryset.defer(*hidden, "endpoint__description").order_by("-created_at", "-id")

    @extend_schema(
        request={"application/json": JobCancelSerializer}, responses={200: JobSerializer, 202: JobSerializer}
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str | None = None) -> Response:
        """End a job; 409 when it has finished.

        200 when it is over: nothing was at work on it. 202 when what is at work was asked to stop.
        """
        given = valid(JobCancelSerializer, request)
        # Nothing is recorded before it is refused: with an idempotency key that would be rolled back, but no file.
        recorded = find_job_as_recorded(self.kwargs["pk"], among=self.get_queryset())
        jobs.cancel(recorded, by=self.principal.id, reason=given["reason"])
        job = self.get_object()
        return Response(self.get_serializer(job).data, status=200 if job.live_finished_at else 202)

    @extend_schema(responses=JobEventSerializer(many=True))
    @action(detail=True, methods=["get"])
    def events(self, request: Request, pk: str | None = None) -> Response:
        """List what happened in a job, oldest first."""
        return events_page(self, self.get_object())
