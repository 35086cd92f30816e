"""The v1 resource artifact: list and read; the bytes are at its `download_url`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from automate_api import filters
from automate_api.v1.base import BaseReadOnlyViewSet
from automate_modal.api.serializers import ArtifactSerializer
from automate_modal.models import Artifact

_FILTERS: Mapping[str, filters.Reader] = {
    "job": filters.uuid,
    "since": filters.moment,
    "until": filters.moment,
}


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("job", OpenApiTypes.UUID),
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="created_at >= since"),
            OpenApiParameter("until", OpenApiTypes.DATETIME, description="created_at <= until"),
        ],
    )
)
class ArtifactViewSet(BaseReadOnlyViewSet):
    """Read the output files of jobs, newest first."""

    queryset = Artifact.all_tenants.all()
    serializer_class = ArtifactSerializer
    api_scope = "artifacts"

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Narrow the list by its query parameters, newest first."""
        if self.action != "list":
            return queryset
        asked = filters.read(self.request.query_params, _FILTERS)
        found = filters.narrowed(
            queryset, job_id=asked["job"], created_at__gte=asked["since"], created_at__lte=asked["until"]
        )
        return found.order_by("-created_at", "-id")
