"""A job's events as they happen, as server-sent events (HTML Living Standard, section 9.2).

Each event has its number as `id`, so that a client goes on with `Last-Event-ID` where it stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from automate_api.rendering import to_json
from automate_core import conf
from automate_core.context import tenant_scope
from automate_core.errors import ErrorCodes, TransientError
from automate_modal import following, slots
from automate_modal.models import Job, JobEvent

MEDIA_TYPE = "text/event-stream"
SOON_SECONDS = 0.02
LATE_SECONDS = 1.0
"""Shortest and longest time between two looks; it grows while nothing happens."""
PULSE_SECONDS = 15.0
"""How often a stream in which nothing happens says that it is open."""
RETRY_AFTER_SECONDS = 5.0
BATCH = 500


class TooManyStreams(TransientError):
    """This server has as many open streams as it may; poll the job's status, or try again."""

    code = ErrorCodes.SERVICE_UNAVAILABLE


@dataclass(slots=True)
class Follower:
    """Where one stream is: the job, the last event it sent, and how long it may last."""

    job_id: UUID
    tenant_id: UUID
    after: int
    started: float
    pause: float = SOON_SECONDS
    said_at: float = 0.0
    is_over: bool = False

    def look(self) -> bytes:
        """Return what is to be sent now, nothing when nothing happened."""
        with tenant_scope(self.tenant_id):
            job = Job.objects.filter(pk=self.job_id).first()
            if job is None:
                self.is_over = True
                return b""
            job = following.follow(job)
            events = list(JobEvent.objects.filter(job=job, number__gt=self.after).order_by("number")[:BATCH])
        now = time.monotonic()
        has_all = len(events) < BATCH
        self.is_over = has_all and (job.finished_at is not None or self._is_late(now))
        if events:
            self.after, self.pause, self.said_at = events[-1].number, SOON_SECONDS, now
            return b"".join(map(_frame, events))
        self.pause = min(self.pause * 1.5, LATE_SECONDS)
        if now - self.said_at < PULSE_SECONDS:
            return b""
        self.said_at = now
        return b": open\n\n"

    def _is_late(self, now: float) -> bool:
        return now - self.started >= conf.get().JOB_STREAM_SECONDS


def check_free() -> None:
    """Raise TooManyStreams when no stream may be opened now."""
    if slots.streams.are_taken:
        raise TooManyStreams(retry_after_seconds=RETRY_AFTER_SECONDS)


def is_wanted(request: HttpRequest) -> bool:
    """Tell whether a request asks for a stream."""
    return request.method == "GET" and MEDIA_TYPE in request.headers.get("Accept", "").lower()


def last_number(request: HttpRequest) -> int:
    """Return the number of the last event the client has, 0 when it says none it could have."""
    given = request.headers.get("Last-Event-ID", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0


def respond(request: HttpRequest, *, job_id: UUID, tenant_id: UUID, after: int = 0) -> StreamingHttpResponse:
    """Return the stream of a job's events after a number; it ends with the job."""
    now = time.monotonic()
    follower = Follower(job_id, tenant_id, after, started=now, said_at=now)
    is_async = isinstance(request, ASGIRequest)
    content: Any = _asend(follower) if is_async else _send(follower)
    response = StreamingHttpResponse(content, content_type=MEDIA_TYPE)
    response.headers["Cache-Control"] = "no-store"
    # A proxy that collects the answer before it passes it on would defeat its purpose.
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _send(follower: Follower) -> Iterator[bytes]:
    with slots.streams.hold():
        yield _opening(follower)
        while True:
            if said := follower.look():
                yield said
            if follower.is_over:
                return
            time.sleep(follower.pause)


async def _asend(follower: Follower) -> AsyncIterator[bytes]:
    with slots.streams.hold():
        yield _opening(follower)
        look = sync_to_async(follower.look)
        while True:
            if said := await look():
                yield said
            if follower.is_over:
                return
            await asyncio.sleep(follower.pause)


def _opening(follower: Follower) -> bytes:
    return b"event: job\ndata: " + to_json({"id": follower.job_id}) + b"\n\n"


def _frame(event: JobEvent) -> bytes:
    data = to_json({**event.data, "at": event.created_at})
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.number, event.type.encode(), data)
