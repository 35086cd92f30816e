"""The event stream of an execution, read by a plain HTTP client from a real server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx
import pytest
from django.db import connection
from django.test import Client

from automate.events import run_workflow
from automate.models import Execution, LiveSeat
from automate_core.models import Tenant
from automate_core.steps import Effect
from tests.factories.engine import drain, node, workflow
from tests.factories.live import working

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def stream(site: Any, execution_id: str, key: str, after: int | None = None) -> Iterator[httpx.Response]:
    headers = {"X-API-Key": key} | ({"Last-Event-ID": str(after)} if after is not None else {})
    url = f"{site.url}/api/automate/executions/{execution_id}/stream/"
    with httpx.stream("GET", url, headers=headers, timeout=60) as response:
        yield response


def events(response: httpx.Response) -> Iterator[tuple[int | None, dict[str, Any]]]:
    number: int | None = None
    for line in response.iter_lines():
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            yield number, json.loads(line[6:])


@pytest.fixture
def finished(transactional_db) -> str:
    workflow(node("one", "merge"), node("two", "merge"))
    execution_id = str(run_workflow("orders", {}))
    drain()
    return execution_id


def test_stream_of_a_finished_execution_tells_all_of_it_and_ends(site, finished, key):
    with stream(site, finished, key) as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == (
            "no-store",
            "no",
        )
        found = list(events(response))
    assert [number for number, _ in found] == [1, 2, 3, 4, 5, 6]
    assert [said["seq"] for _, said in found] == [1, 2, 3, 4, 5, 6]
    assert [said["type"] for _, said in found][::5] == ["workflow_started", "workflow_completed"]


@pytest.mark.parametrize("after", [0, 1, 4])
def test_stream_goes_on_after_the_last_event(after, site, finished, key):
    with stream(site, finished, key, after) as response:
        assert [number for number, _ in events(response)] == list(range(after + 1, 7))


def test_client_that_has_all_is_told_not_to_come_back(site, finished, key):
    with stream(site, finished, key, 6) as response:
        assert response.status_code == 204


def test_stream_joined_in_the_middle_goes_on_to_the_end(site, worker, key, register_step, gate):
    register_step("held", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1})
    workflow(node("one", "merge"), node("held", "held"), node("two", "merge"))
    execution_id = str(run_workflow("orders", {}))
    assert gate.entered.wait(60)
    with stream(site, execution_id, key, 2) as response:
        found = []
        for number, said in events(response):
            found.append((number, said["type"]))
            if number == 4:
                threading.Timer(0.3, gate.open.set).start()
    assert [number for number, _ in found] == [3, 4, 5, 6, 7, 8]
    assert found[-1] == (8, "workflow_completed")


def test_run_that_ends_while_its_stream_is_opened_is_told_to_its_end(site, worker, key):
    workflow(node("one", "merge"), node("two", "merge"))
    for _ in range(10):
        with stream(site, str(run_workflow("orders", {})), key) as response:
            assert [number for number, _ in events(response)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("after", ["999999", "7", "-1", "1.5", "x", "9" * 400, "\u00b2", ""])
def test_number_nobody_was_given_begins_the_stream_anew(after, site, finished, key):
    headers = [(b"X-API-Key", key.encode()), (b"Last-Event-ID", after.encode("latin-1"))]
    url = f"{site.url}/api/automate/executions/{finished}/stream/"
    with httpx.stream("GET", url, headers=headers, timeout=20) as response:
        assert [number for number, _ in events(response)] == [1, 2, 3, 4, 5, 6]


def test_number_of_a_step_ahead_of_its_execution_is_believed(site, worker, key, register_step, gate):
    register_step("held", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1})
    workflow(node("held", "held"))
    execution_id = str(run_workflow("orders", {}))
    assert gate.entered.wait(20)
    Execution.objects.filter(pk=execution_id).update(seq=1)
    with stream(site, execution_id, key, 2) as response:
        gate.open.set()
        assert [number for number, _ in events(response)] == [3, 4]


def test_head_answers_at_once_and_takes_no_seat(site, key, settings):
    settings.AUTOMATE = {**settings.AUTOMATE, "LIVE_CONNECTIONS": 1}
    workflow(node("one", "merge"))
    url = f"{site.url}/api/automate/executions/{run_workflow('orders', {})}/stream/"
    for _ in range(3):
        answer = httpx.head(url, headers={"X-API-Key": key}, timeout=20)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream")
    assert not LiveSeat.objects.exists()


def test_server_of_threads_streams_by_looking_and_ends_for_the_client_to_come_back(
    key, register_step, gate, monkeypatch
):
    monkeypatch.setattr("automate.api.stream.LOOK_SECONDS", 0.01)
    register_step("held", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1})
    workflow(node("one", "merge"), node("held", "held"))
    execution_id = str(run_workflow("orders", {}))
    with working():
        assert gate.entered.wait(20)
        monkeypatch.setattr("automate.api.stream.LOOKS_SECONDS", 0.5)
        first = looked(execution_id, key)
        monkeypatch.setattr("automate.api.stream.LOOKS_SECONDS", 60)
        gate.open.set()
        rest = looked(execution_id, key, after=4)
    assert first[0] == "retry: 1000"
    assert [line for line in first if line.startswith("id: ")] == ["id: 1", "id: 2", "id: 3", "id: 4"]
    assert [line for line in rest if line.startswith("id: ")] == ["id: 5", "id: 6"]
    assert "workflow_completed" in rest[-1]


def looked(execution_id: str, key: str, **headers: Any) -> list[str]:
    """Return the lines a server without an event loop streams."""
    given = {"X-API-Key": key} | ({"Last-Event-ID": str(headers["after"])} if headers else {})
    response = Client(headers=given).get(f"/api/automate/executions/{execution_id}/stream/")
    assert (response.status_code, response["Content-Type"]) == (200, "text/event-stream")
    return [line for line in response.getvalue().decode().split("\n") if line]


def test_stream_of_another_tenant_is_not_found(site, finished, make_key):
    other = Tenant.objects.create(slug="other", name="Other")
    with stream(site, finished, make_key(of=other)) as response:
        response.read()
    assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_stream_needs_a_credential(site, finished):
    answer = httpx.get(f"{site.url}/api/automate/executions/{finished}/stream/", timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")


def test_streams_count_with_the_connections_of_their_caller(site, key, settings):
    settings.AUTOMATE = {**settings.AUTOMATE, "LIVE_CONNECTIONS": 1}
    workflow(node("one", "merge"))
    execution_id = str(run_workflow("orders", {}))
    with stream(site, execution_id, key) as first:
        assert first.status_code == 200
        with stream(site, execution_id, key) as second:
            assert second.status_code == 429


def test_streams_hold_no_connection_to_the_database_of_their_own(site, key):
    workflow(node("one", "merge"))
    execution_id = str(run_workflow("orders", {}))
    many = 12
    with ExitStack() as open_streams:
        read = [
            open_streams.enter_context(stream(site, execution_id, key)).iter_lines() for _ in range(many)
        ]  # whoever lets go of these hangs up
        assert [next(lines) for lines in read] == ["retry: 1000"] * many
        # A session that was closed is listed until its process has gone: those of the requests themselves may linger.
        deadline = time.monotonic() + 60
        while (count := sessions()) >= many and time.monotonic() < deadline:
            time.sleep(0.05)
        assert count < many


def sessions() -> int:
    """Count the sessions of the database, ours included."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])
