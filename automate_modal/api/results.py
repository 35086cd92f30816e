"""Views of what came of calls: where a job stands, what happened in it, and its files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api.pagination import StandardPagination
from automate_api.v1.base import BaseAPIView
from automate_core.errors import NotFound
from automate_modal import artifacts
from automate_modal.api import stream
from automate_modal.api.finding import find_job
from automate_modal.api.serializers import JobEventSerializer, JobStatusSerializer, StreamedEventSerializer
from automate_modal.endpoints import is_id
from automate_modal.models import Artifact, JobEvent

ID = OpenApiParameter("id", OpenApiTypes.UUID, OpenApiParameter.PATH)


class JobStatusView(BaseAPIView):
    """GET where a job stands."""

    api_scope = "jobs"

    @extend_schema(parameters=[ID], responses=JobStatusSerializer)
    def get(self, request: Request, pk: str) -> Response:
        """Say where a job stands, without its input and output."""
        return Response(JobStatusSerializer(find_job(pk)).data)


class JobEventsView(BaseAPIView, GenericAPIView[JobEvent]):
    """GET what happened in a job."""

    api_scope = "jobs"
    serializer_class = JobEventSerializer
    queryset = JobEvent.all_tenants.all()
    pagination_class: type[StandardPagination] = StandardPagination

    @extend_schema(
        parameters=[
            ID,
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="Of a stream: the number of the last event the client has",
            ),
        ],
        responses={
            (200, "application/json"): JobEventSerializer(many=True),
            (200, stream.MEDIA_TYPE): StreamedEventSerializer,
        },
    )
    def get(self, request: Request, pk: str) -> HttpResponseBase:
        """List what happened in a job, oldest first; with `Accept: text/event-stream`, as it happens until it ends."""
        job = find_job(pk)
        if stream.is_wanted(request._request):
            stream.check_free()
            return stream.respond(
                request._request,
                job_id=job.pk,
                tenant_id=job.tenant_id,
                after=stream.last_number(request._request),
            )
        return events_page(self, job)


class ArtifactDownloadView(BaseAPIView):
    """GET the bytes of an artifact."""

    api_scope = "artifacts"

    @extend_schema(
        parameters=[ID],
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (200, "application/json"): OpenApiTypes.ANY,
        },
        description="Send an artifact's file, as its own content type and as an attachment.",
    )
    def get(self, request: Request, pk: str) -> HttpResponse:
        """Send the file."""
        artifact = Artifact.objects.filter(pk=pk).first() if is_id(pk) else None
        if artifact is None:
            raise NotFound("Not found")
        response = HttpResponse(artifacts.read(artifact), content_type=artifact.content_type)
        # A browser is to save it, whatever is in it, and never to show it as part of this site.
        response.headers["Content-Disposition"] = str(content_disposition_header(True, artifact.name))
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
        response.headers["ETag"] = f'"{artifact.sha256}"'
        return response


def events_page(view: Any, job: Any) -> Response:
    """Answer with a page of a job's events."""
    rows: Sequence[JobEvent] = view.paginate_queryset(JobEvent.objects.filter(job=job).order_by("number"))
    found: Response = view.get_paginated_response(JobEventSerializer(rows, many=True).data)
    return found
