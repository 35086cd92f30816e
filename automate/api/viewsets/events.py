"""The REST resource event: emit, list, read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response

from automate.api.serializers import (
    EmitSerializer,
    EmittedSerializer,
    EventListSerializer,
    EventSerializer,
)
from automate.emission import OWN_SOURCES
from automate.manual import emit_by
from automate.models import Event
from automate_api import filters
from automate_api.bodies import valid
from automate_api.v1.base import BaseAPIView, BaseReadOnlyViewSet
from automate_core.context import current_trace_id
from automate_core.errors import Problem, ValidationFailed
from automate_core.models import Role

_TEXTS = ("type", "source", "dedupe_key", "trace_id")
_FILTERS: Mapping[str, filters.Reader] = {
    "since": filters.moment,
    "until": filters.moment,
    **dict.fromkeys(_TEXTS, filters.text),
}
_EMIT_SCHEMA = extend_schema(
    request=EmitSerializer,
    responses={201: EmittedSerializer, 200: EmittedSerializer},
    description="201 for a new event; 200 with the same event_id when the dedupe_key was used before.",
)


class EventIngestView(BaseAPIView):
    """POST an event; the route on its own, for a host that wants no reading of events."""

    api_scope = "events"
    unique_keys = True
    required_roles = {"post": Role.RUNNER}

    @_EMIT_SCHEMA
    def post(self, request: Request) -> Response:
        """Emit an event."""
        return ingest(request, by=self.principal.id)


@extend_schema_view(
    list=extend_schema(
        responses=EventListSerializer(many=True),
        parameters=[
            OpenApiParameter("type", OpenApiTypes.STR),
            OpenApiParameter("source", OpenApiTypes.STR),
            OpenApiParameter("dedupe_key", OpenApiTypes.STR),
            OpenApiParameter("trace_id", OpenApiTypes.STR),
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="created_at >= since"),
            OpenApiParameter("until", OpenApiTypes.DATETIME, description="created_at <= until"),
        ],
    )
)
class EventViewSet(BaseReadOnlyViewSet):
    """Emit events, and read what was emitted, newest first."""

    queryset = Event.all_tenants.all()
    serializer_class = EventSerializer
    list_serializer_class = EventListSerializer
    api_scope = "events"
    unique_keys = True
    required_roles = {"create": Role.RUNNER}

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by its query parameters, newest first."""
        if self.action != "list":
            return queryset
        asked = filters.read(self.request.query_params, _FILTERS)
        found = filters.narrowed(
            queryset,
            created_at__gte=asked["since"],
            created_at__lte=asked["until"],
            **{name: asked[name] for name in _TEXTS},
        )
        return found.defer("payload").order_by("-created_at", "-id")

    @_EMIT_SCHEMA
    def create(self, request: Request) -> Response:
        """Emit an event."""
        return ingest(request, by=self.principal.id)


def ingest(request: Request, *, by: str) -> Response:
    """Emit the event in the body: 201 the first time its dedupe key is used, 200 after that."""
    given = valid(EmitSerializer, request)
    if given["source"] in OWN_SOURCES:
        message = f"{given['source']!r} is used by the engine itself; choose another"
        raise ValidationFailed.of([Problem("source", message)])
    emitted = emit_by(by, given["type"], given["payload"], given["dedupe_key"], source=given["source"])
    body = {"event_id": emitted.event_id, "trace_id": current_trace_id()}
    return Response(body, status=201 if emitted.created else 200)
