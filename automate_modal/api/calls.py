"""Views that call an endpoint: wait for the end, take the job, or watch it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

import orjson
from django.db import connection
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from automate_api import idempotency
from automate_api.bodies import valid
from automate_api.v1.base import BaseAPIView
from automate_core import conf
from automate_core.models import Role
from automate_modal import jobs, slots
from automate_modal.api import examples, stream
from automate_modal.api.finding import find_endpoint, find_job, shown_jobs
from automate_modal.api.serializers import (
    EndpointRunSerializer,
    JobSerializer,
    JobStartSerializer,
    StreamedEventSerializer,
)
from automate_modal.models import Endpoint

ID_OR_SLUG = OpenApiParameter(
    "id", OpenApiTypes.STR, OpenApiParameter.PATH, description="Id or slug of the endpoint"
)
HELD_MARGIN_SECONDS = 10.0
"""How much longer than its wait a run may take to be answered."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A job that was started under the request's idempotency key, and the answer that shows it."""

    job_id: UUID
    response: HttpResponseBase
    is_repeat: bool


class StartsJobs(BaseAPIView):
    """What views that start jobs share: the job begins under the request's idempotency key, and once only."""

    def begin(
        self, request: Request, ref: str, given: Mapping[str, Any], *, held_seconds: float | None = None
    ) -> Begun:
        """Start a job, or find the one that was started under the same key; raises as `automate_modal.jobs.start`."""

        def respond() -> HttpResponseBase:
            job = jobs.start(
                self.get_endpoint(ref), given["input"], by=self.principal.id, wants_artifact=given["artifact"]
            )
            body = JobSerializer(shown_jobs().get(pk=job.pk)).data
            return self.finalize_response(request, Response(body, status=202))

        answer = idempotency.run(request._request, self.principal, respond, held_seconds=held_seconds)
        assert isinstance(answer, HttpResponse)
        job_id = UUID(orjson.loads(answer.content)["id"])
        return Begun(job_id, answer, idempotency.REPLAYED_HEADER in answer.headers)

    def get_endpoint(self, ref: str) -> Endpoint:
        """Return the endpoint with this id or slug; raises NotFound."""
        return find_endpoint(ref)

    def run_endpoint(self, request: Request, ref: str) -> HttpResponseBase:
        """Start a job and answer with it once it has ended, or when that takes too long."""
        given = valid(EndpointRunSerializer, request)
        # Inside a transaction the job is not there for anybody to run before we answer.
        if given["async"] or connection.in_atomic_block:
            return self.begin(request, ref, given).response
        seconds = conf.get().JOB_WAIT_SECONDS
        with slots.waits.hold() as has_slot:
            if not has_slot:
                return self.begin(request, ref, given).response
            begun = self.begin(request, ref, given, held_seconds=seconds + HELD_MARGIN_SECONDS)
            if begun.is_repeat:
                return begun.response
            jobs.wait(shown_jobs().get(pk=begun.job_id), seconds=seconds)
        job = find_job(begun.job_id)
        answer = Response(JobSerializer(job).data, status=200 if job.finished_at else 202)
        self.finalize_response(request, answer)
        idempotency.amend(request._request, self.principal, answer)
        return answer

    def _make_idempotent(self, request: Request) -> None:
        """Leave the key to `begin`: a transaction around the whole handler would hide the job from workers.

        The body is kept as it came, for the record of the key, before anything parses it.
        """
        if idempotency.key_of(request._request) is not None:
            _ = request._request.body


class EndpointRunView(StartsJobs):
    """POST a call and wait for what comes of it."""

    api_scope = "endpoints"
    unique_keys = True
    required_roles: ClassVar[Mapping[str, Role]] = {"post": Role.RUNNER}

    @extend_schema(
        parameters=[ID_OR_SLUG],
        request=EndpointRunSerializer,
        responses={200: JobSerializer, 202: JobSerializer},
        examples=examples.RUN,
    )
    def post(self, request: Request, pk: str) -> HttpResponseBase:
        """Call an endpoint: 200 with the job when it has ended, whatever its end; 202 when it goes on.

        It goes on when the body says `async`, after 30 seconds (setting `JOB_WAIT_SECONDS`), and when too many
        others wait.
        """
        return self.run_endpoint(request, pk)


class EndpointJobView(StartsJobs):
    """POST a call and take the job."""

    api_scope = "endpoints"
    unique_keys = True
    required_roles: ClassVar[Mapping[str, Role]] = {"post": Role.RUNNER}

    @extend_schema(
        parameters=[ID_OR_SLUG],
        request=JobStartSerializer,
        responses={202: JobSerializer},
        examples=examples.START,
    )
    def post(self, request: Request, pk: str) -> HttpResponseBase:
        """Start a job of an endpoint and answer at once."""
        return self.begin(request, pk, valid(JobStartSerializer, request)).response


class EndpointStreamView(StartsJobs):
    """POST a call and watch it."""

    api_scope = "endpoints"
    unique_keys = True
    required_roles: ClassVar[Mapping[str, Role]] = {"post": Role.RUNNER}

    @extend_schema(
        parameters=[ID_OR_SLUG],
        request=JobStartSerializer,
        responses={(200, stream.MEDIA_TYPE): StreamedEventSerializer},
        examples=examples.STREAM,
    )
    def post(self, request: Request, pk: str) -> HttpResponseBase:
        """Start a job and send its events as they happen, as server-sent events; the stream ends with the job.

        A stream lasts at most 10 minutes (setting `JOB_STREAM_SECONDS`); go on at the job's `events/`.
        """
        stream.check_free()
        begun = self.begin(request, pk, valid(JobStartSerializer, request))
        answer = stream.respond(request._request, job_id=begun.job_id, tenant_id=self.principal.tenant_id)
        if begun.is_repeat:
            answer.headers[idempotency.REPLAYED_HEADER] = "true"
        return answer
