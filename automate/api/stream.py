"""The route of an execution's event stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
from asgiref.sync import async_to_sync
from django.core.handlers.asgi import ASGIRequest
from django.db import OperationalError, close_old_connections
from django.db.models import Max
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from automate.models import Execution, StepRun
from automate.realtime import handshake, history
from automate.realtime.handshake import Refused
from automate.realtime.messages import ENDS
from automate.realtime.stream import Stream, frame
from automate_api.v1.base import BaseAPIView
from automate_core import sql
from automate_core.errors import NotFound

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS = 1.0
"""How often a server without an event loop looks for news."""
LOOKS_SECONDS = 30.0
"""How long a stream of a server without an event loop lasts."""


class ExecutionStreamView(BaseAPIView):
    """What happens to one execution, as it happens."""

    api_scope = "executions"

    @extend_schema(
        operation_id="automate_executions_stream_retrieve",
        parameters=[
            OpenApiParameter(
                "Last-Event-ID",
                OpenApiTypes.INT,
                OpenApiParameter.HEADER,
                description="Number of the last event the client has; what followed it is sent.",
            )
        ],
        responses={
            (200, MEDIA_TYPE): OpenApiTypes.STR,
            204: OpenApiResponse(description="It is over and the client has all of it."),
        },
    )
    def get(self, request: Request, pk: UUID) -> HttpResponseBase:
        """Send the events of an execution after `Last-Event-ID`, and go on until it ends."""
        execution = Execution.objects.filter(pk=pk).first()
        if execution is None:
            raise NotFound(f"Execution {pk} was not found")
        after = last_number(request, execution)
        if execution.finished_at is not None and after >= execution.seq:
            return HttpResponse(status=204)
        response = self._answer(request._request, execution, after)
        # The stream may last for hours; what it reads, it reads over a connection it shares.
        close_old_connections()
        response.headers["Cache-Control"] = "no-store"
        # A proxy that collects the answer before it passes it on would defeat its purpose.
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def _answer(self, request: HttpRequest, execution: Execution, after: int) -> HttpResponseBase:
        if request.method == "HEAD":
            return HttpResponse(content_type=MEDIA_TYPE)  # nobody would read what is streamed
        content: Any
        if isinstance(request, ASGIRequest):
            content = self._opened(request, execution, after).events()
        else:
            content = _looks(str(execution.pk), after)
        return StreamingHttpResponse(content, content_type=MEDIA_TYPE)

    def _opened(self, request: ASGIRequest, execution: Execution, after: int) -> Stream:
        async def may_look() -> bool:
            try:
                await handshake.admit_again(request.scope, execution.automation_id, api_scope=self.api_scope)
            except Refused:
                return False
            return True

        caller = f"{self.principal.tenant_id}:{self.principal.id}"
        try:
            stream: Stream = async_to_sync(Stream.open)(
                caller=caller,
                workflow_id=str(execution.automation_id),
                execution_id=str(execution.pk),
                after=after,
                may_look=may_look,
            )
        except psycopg.Error as error:
            raise OperationalError(str(error)) from error
        return stream


def last_number(request: HttpRequest | Request, execution: Execution) -> int:
    """Return the number of the last event the client has, 0 when it says none it could have."""
    given = request.headers.get("Last-Event-ID", "")
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
    return number if number <= execution.seq or number <= _last_of_steps(execution) else 0


def _last_of_steps(execution: Execution) -> int:
    """Return the number of the last thing that happened to a step; it may be ahead of its execution's row."""
    found = StepRun.all_tenants.filter(execution=execution).aggregate(last=Max("seq"))["last"]
    return found or 0


def _looks(execution_id: str, after: int) -> Iterator[bytes]:
    """Yield the stream by looking at the database now and then, for a server that has threads only.

    It ends after a while: the client comes back with the number of its last event, is asked again who it is, and others
    had the thread meanwhile.
    """
    yield b"retry: 1000\n\n"
    ends_at = time.monotonic() + LOOKS_SECONDS
    while time.monotonic() < ends_at:
        since = {execution_id: after}
        found = history.tell(sql.execute(history.READ, history.params(since)), since)
        if execution_id not in found:
            return
        for message in found[execution_id][1]:
            after = message.seq
            yield frame(message)
            if message.kind in ENDS:
                return
        yield b": open\n\n"
        time.sleep(LOOK_SECONDS)
