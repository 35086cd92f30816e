"""Calls of endpoints over HTTP: waited for, taken as a job, under an idempotency key."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from automate.models import Automation, Execution
from automate.workflows import update_workflow
from automate_api.models import IdempotencyRecord
from automate_core.models import Role
from automate_modal import slots
from automate_modal.models import Endpoint, Job
from tests.factories.engine import node

ROUTES = ["/api/v1/endpoints/{}/run/", "/api/modal/endpoints/{}/run/"]
DELAY = node("pause", "delay", {"seconds": 3600})
BROKEN = node("broken", "transform", {"output": "{{ input.absent }}"})


def post(client: Client, path: str, body: Any = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, {} if body is None else body, content_type="application/json", headers=named)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("ref", ["id", "slug"])
def test_run_answers_with_the_job_that_ended(
    worker: None, key_client: Any, make_endpoint: Callable[..., Endpoint], route: str, ref: str
) -> None:
    endpoint = make_endpoint()
    answer = post(key_client(Role.RUNNER), route.format(getattr(endpoint, ref)), {"input": {"n": 7}})
    body = answer.json()
    assert (answer.status_code, body["status"], body["output"]) == (200, "SUCCESS", {"seen": 7, "name": ""})
    assert (body["progress"], body["error"], body["artifacts"]) == (1.0, None, [])
    assert (body["endpoint_id"], body["endpoint_slug"], body["kind"]) == (
        str(endpoint.id),
        "orders",
        "automation",
    )
    assert body["input"] == {"n": 7}
    assert body["run_id"] == str(Execution.all_tenants.get().id)
    assert body["duration_ms"] >= 0
    assert body["trace_id"] == Execution.all_tenants.get().trace_id == answer["X-Trace-ID"]


def test_run_that_fails_answers_with_why(worker: None, key_client: Any, make_endpoint: Any) -> None:
    make_endpoint(BROKEN)
    body = post(key_client(), ROUTES[0].format("orders")).json()
    assert (body["status"], body["output"], body["error"]["code"]) == ("FAILED", None, "TEMPLATE_ERROR")


@pytest.mark.django_db(transaction=True)
def test_run_that_takes_long_is_answered_with_the_open_job(
    settings: Any, key_client: Any, make_endpoint: Any
) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "JOB_WAIT_SECONDS": 0.05}
    make_endpoint()
    answer = post(key_client(), ROUTES[0].format("orders"))
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    assert answer.json()["id"] == str(Job.all_tenants.get().id)


@pytest.mark.django_db(transaction=True)
def test_run_is_not_waited_for_when_too_many_wait(settings: Any, key_client: Any, make_endpoint: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "JOB_WAIT_SLOTS": 1, "JOB_WAIT_SECONDS": 600.0}
    make_endpoint()
    with slots.waits.hold():
        assert post(key_client(), ROUTES[0].format("orders")).status_code == 202


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/endpoints/orders/run/", {"input": {"n": 1}, "async": True}),
        ("/api/modal/endpoints/orders/run/", {"input": {"n": 1}, "async": True}),
        ("/api/modal/endpoints/orders/job/", {"input": {"n": 1}}),
    ],
)
def test_job_is_answered_at_once(key_client: Any, make_endpoint: Any, path: str, body: Any) -> None:
    make_endpoint()
    answer = post(key_client(), path, body)
    assert (answer.status_code, answer.json()["status"], answer.json()["progress"]) == (202, "QUEUED", 0.0)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input": []}, "input"),
        ({"input": {}}, "input.n"),
        ({"input": {"n": "one"}}, "input.n"),
        ({"input": {"n": 1}, "async": "yes"}, "async"),
        ({"input": {"n": 1}, "artifact": 1}, "artifact"),
    ],
)
def test_wrong_input_is_400_naming_the_field(
    key_client: Any, make_endpoint: Any, body: Any, field: str
) -> None:
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    make_endpoint(input_schema=schema)
    answer = post(key_client(), ROUTES[0].format("orders"), body)
    assert (answer.status_code, [one["field"] for one in answer.json()["error"]["details"]]) == (400, [field])
    assert Job.all_tenants.count() == Execution.all_tenants.count() == 0


@pytest.mark.django_db
def test_input_is_judged_by_the_form_of_the_workflow_too(key_client: Any, make_endpoint: Any) -> None:
    make_endpoint()
    form = {"properties": {"n": {"type": "integer"}}, "required": ["n"]}
    update_workflow(Automation.all_tenants.get(), by="test", trigger_config={"form": form})
    answer = post(key_client(), ROUTES[0].format("orders"))
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (400, "input.n")


@pytest.mark.django_db
def test_endpoint_that_is_off_or_has_lost_its_workflow_is_409(key_client: Any, make_endpoint: Any) -> None:
    endpoint = make_endpoint(enabled=False)
    assert post(key_client(), ROUTES[0].format("orders")).status_code == 409
    Endpoint.all_tenants.filter(pk=endpoint.pk).update(enabled=True)
    Automation.all_tenants.update(enabled=False)
    assert post(key_client(), ROUTES[0].format("orders")).status_code == 409
    Automation.all_tenants.all().delete()
    answer = post(key_client(), ROUTES[0].format("orders"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "CONFLICT")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["run", "job", "stream"])
def test_viewers_may_not_call_and_scopes_are_kept(key_client: Any, make_endpoint: Any, name: str) -> None:
    make_endpoint()
    path = f"/api/modal/endpoints/orders/{name}/"
    assert post(key_client(Role.VIEWER), path).status_code == 403
    assert post(key_client(Role.RUNNER, scopes=["jobs:write"]), path).status_code == 403
    assert Job.all_tenants.count() == 0


def test_repeated_run_is_answered_from_the_first(worker: None, key_client: Any, make_endpoint: Any) -> None:
    make_endpoint()
    client = key_client()
    first = post(client, ROUTES[0].format("orders"), {"input": {"n": 1}}, X_Request_ID="k1")
    again = post(client, ROUTES[0].format("orders"), {"input": {"n": 1}}, X_Request_ID="k1")
    assert (first.status_code, first.json()["status"]) == (200, "SUCCESS")
    assert (again.status_code, again.content) == (200, first.content)
    assert ("Idempotent-Replayed" in first, again["Idempotent-Replayed"]) == (False, "true")
    other = post(client, ROUTES[0].format("orders"), {"input": {"n": 2}}, X_Request_ID="k1")
    assert (other.status_code, Job.all_tenants.count()) == (400, 1)


@pytest.mark.django_db(transaction=True)
def test_repeat_while_the_first_waits_is_409(server_url: str, make_key: Any, make_endpoint: Any) -> None:
    make_endpoint(DELAY)
    headers = {"X-API-Key": make_key()[1], "X-Request-ID": "k1"}
    client = httpx.Client(base_url=server_url, headers=headers, trust_env=False, timeout=60)
    answers: list[httpx.Response] = []
    first = threading.Thread(target=lambda: answers.append(client.post(ROUTES[0].format("orders"), json={})))
    first.start()
    while not Job.all_tenants.exists():
        connections["default"].close()
        time.sleep(0.02)
    again = httpx.post(
        server_url + ROUTES[0].format("orders"), json={}, headers=headers, trust_env=False, timeout=60
    )
    assert (again.status_code, again.headers["Retry-After"]) == (409, "1")
    cancelled = client.post(
        f"/api/v1/jobs/{Job.all_tenants.get().id}/cancel/", json={}, headers={"X-Request-ID": "k2"}
    )
    first.join(60)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
    assert (answers[0].status_code, answers[0].json()["status"]) == (200, "CANCELLED")
    repeated = client.post(ROUTES[0].format("orders"), json={})
    assert (repeated.content, repeated.headers["Idempotent-Replayed"]) == (answers[0].content, "true")
    assert Job.all_tenants.count() == 1


@pytest.mark.django_db(transaction=True)
def test_repeat_of_a_run_whose_process_was_lost_finds_its_job(
    key_client: Any, make_endpoint: Any, settings: Any
) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "JOB_WAIT_SECONDS": 0.01}
    make_endpoint()
    client = key_client()
    first = post(client, ROUTES[0].format("orders"), {}, X_Request_ID="k1").json()
    record = IdempotencyRecord.all_tenants.get()
    # What is found when the process is lost while it waits: held, until the wait would have been over.
    IdempotencyRecord.all_tenants.update(held_until=timezone.now() + timedelta(seconds=60))
    assert post(client, ROUTES[0].format("orders"), {}, X_Request_ID="k1").status_code == 409
    IdempotencyRecord.all_tenants.update(held_until=timezone.now() - timedelta(seconds=1))
    again = post(client, ROUTES[0].format("orders"), {}, X_Request_ID="k1")
    assert (again.status_code, again.json()["id"], record.status) == (202, first["id"], 202)
    assert Job.all_tenants.count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_repeats_at_once_start_one_job(server_url: str, make_key: Any, make_endpoint: Any) -> None:
    make_endpoint()
    headers = {"X-API-Key": make_key()[1], "X-Request-ID": "k1"}

    def call() -> None:
        answer = httpx.post(
            f"{server_url}/api/modal/endpoints/orders/job/",
            json={},
            headers=headers,
            trust_env=False,
            timeout=60,
        )
        statuses.append(answer.status_code)

    statuses: list[int] = []
    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert set(statuses) <= {202, 409}
    assert 202 in statuses
    assert (Job.all_tenants.count(), Execution.all_tenants.count()) == (1, 1)
