"""Streams of a job's events: over the real server, as they happen, until the job ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from django.test import Client

from automate.models import Execution
from automate_core.models import Role
from automate_modal import slots
from automate_modal.models import Endpoint, Job, JobEvent
from tests.factories.engine import drain, finish, node

PAUSE = node("pause", "delay", {"seconds": 3600})
MakeEndpoint = Callable[..., Endpoint]


def frames(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """Yield (id, event, data) of each event, as a browser reads them."""
    held: dict[str, str] = {}
    for line in lines:
        if line == "":
            if held:
                yield held.get("id", ""), held["event"], json.loads(held["data"])
            held = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(": ")
            held[name] = value


def told(line: tuple[str, str, Any]) -> tuple[str, str, Any]:
    return line[0], line[1], line[2].get("path") or line[2].get("status")


@pytest.fixture
def caller(server_url: str, make_key: Any) -> Iterator[httpx.Client]:
    """A client of a running server."""
    headers = {"X-API-Key": make_key(Role.RUNNER)[1]}
    with httpx.Client(base_url=server_url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


def test_stream_tells_of_each_step_while_the_job_goes_on(
    caller: httpx.Client, make_endpoint: MakeEndpoint
) -> None:
    make_endpoint(PAUSE)
    with caller.stream("POST", "/api/modal/endpoints/orders/stream/", json={"input": {"n": 1}}) as answer:
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")
        assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
        events = frames(answer.iter_lines())
        assert next(events) == ("", "job", {"id": str(Job.all_tenants.get().id)})
        assert told(next(events)) == ("1", "status", "QUEUED")
        drain()
        assert told(next(events)) == ("2", "step", "pause")
        assert told(next(events)) == ("3", "status", "WAITING")
        finish()
        assert [told(event) for event in events] == [("4", "step", "pause"), ("5", "status", "SUCCESS")]
    assert JobEvent.all_tenants.count() == 5


def test_stream_goes_on_where_the_client_stopped(caller: httpx.Client, make_endpoint: MakeEndpoint) -> None:
    make_endpoint()
    job = caller.post("/api/modal/endpoints/orders/job/", json={}).json()
    drain()
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    with caller.stream("GET", f"/api/modal/jobs/{job['id']}/events/", headers=headers) as answer:
        assert [told(event)[:2] for event in frames(answer.iter_lines())] == [
            ("", "job"),
            ("2", "step"),
            ("3", "status"),
        ]


def test_stream_ends_after_its_time(settings: Any, caller: httpx.Client, make_endpoint: MakeEndpoint) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "JOB_STREAM_SECONDS": 0.0}
    make_endpoint(PAUSE)
    with caller.stream("POST", "/api/modal/endpoints/orders/stream/", json={}) as answer:
        assert [told(event)[1:] for event in frames(answer.iter_lines())][1:] == [("status", "QUEUED")]
    assert Job.all_tenants.get().finished_at is None


def test_stream_ends_with_a_job_that_is_deleted(caller: httpx.Client, make_endpoint: MakeEndpoint) -> None:
    make_endpoint(PAUSE)
    with caller.stream("POST", "/api/modal/endpoints/orders/stream/", json={}) as answer:
        events = frames(answer.iter_lines())
        next(events)
        Endpoint.all_tenants.all().delete()
        assert [event[1] for event in events] in ([], ["status"])


def test_repeated_stream_sends_the_same_job_again(caller: httpx.Client, make_endpoint: MakeEndpoint) -> None:
    make_endpoint(PAUSE)
    headers = {"Idempotency-Key": "k1"}
    seen = []
    for _ in range(2):
        with caller.stream("POST", "/api/modal/endpoints/orders/stream/", json={}, headers=headers) as answer:
            seen.append((answer.headers.get("Idempotent-Replayed"), next(frames(answer.iter_lines()))))
    assert [replayed for replayed, _ in seen] == [None, "true"]
    assert seen[0][1] == seen[1][1]
    assert Execution.all_tenants.count() == 1


def test_stream_is_refused_before_anything_starts_when_too_many_are_open(
    settings: Any, caller: httpx.Client, make_endpoint: MakeEndpoint
) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "JOB_STREAM_SLOTS": 1}
    make_endpoint()
    with slots.streams.hold():
        answer = caller.post("/api/modal/endpoints/orders/stream/", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert (answer.headers["Retry-After"], Job.all_tenants.count()) == ("5", 0)


@pytest.mark.django_db(transaction=True)
def test_stream_works_without_asgi(key_client: Callable[..., Client], make_endpoint: MakeEndpoint) -> None:
    make_endpoint()
    answer: Any = key_client().post(
        "/api/modal/endpoints/orders/stream/", {}, content_type="application/json"
    )
    chunks = iter(answer.streaming_content)
    seen = next(chunks)
    drain()
    lines = iter(b"".join([seen, *chunks]).decode().split("\n"))
    assert [event[1] for event in frames(lines)] == ["job", "status", "step", "status"]
    assert slots.streams._held == 0


def test_client_that_goes_gives_its_slot_back(caller: httpx.Client, make_endpoint: MakeEndpoint) -> None:
    make_endpoint(PAUSE)
    with caller.stream("POST", "/api/modal/endpoints/orders/stream/", json={}) as answer:
        said = frames(answer.iter_lines())  # whoever lets go of it hangs up
        next(said)
        assert slots.streams._held == 1
    deadline = time.monotonic() + 60
    while slots.streams._held and time.monotonic() < deadline:
        time.sleep(0.05)
    assert slots.streams._held == 0
