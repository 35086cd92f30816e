"""A kind of endpoint joins by being registered; the conformance of the contract is shown with one of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import models
from django.db.models import Value
from django.test import Client

from automate_core.endpoints import EndpointBackend, RunChange, RunState, RunStatus, endpoint_registry
from automate_core.errors import Problem
from automate_core.ids import uuid7
from automate_modal import following
from automate_modal.models import Job, JobEvent


class Echo(EndpointBackend):
    """Has its answer before it is asked; forgets its runs with the process."""

    kind = "echo"

    def __init__(self) -> None:
        self.runs: dict[UUID, Any] = {}

    def problems(self, config: Any) -> list[Problem]:
        return [] if config.get("loud") in (None, True) else [Problem("loud", "must be true")]

    def start(self, config: Any, payload: Any) -> UUID:
        run_id = uuid7()
        self.runs[run_id] = dict(payload)
        return run_id

    def state(self, run_id: UUID) -> RunState | None:
        return RunState(RunStatus.SUCCESS) if run_id in self.runs else None

    def columns(self, run_id: Any) -> Any:
        moment = models.DateTimeField()
        return {
            "status": Value("SUCCESS", output_field=models.CharField()),
            "started_at": Value(None, output_field=moment),
            "finished_at": Value(None, output_field=moment),
        }

    def output(self, run_id: UUID) -> Any:
        return self.runs[run_id]

    def changes(self, run_id: UUID, *, after: int, limit: int) -> list[RunChange]:
        return [RunChange(1, "said", data={"password": "hunter22"})] if after == 0 else []

    def cancel(self, run_id: UUID, *, by: str) -> None:
        raise AssertionError("is never open")


@pytest.fixture
def echo() -> Iterator[Echo]:
    backend = Echo()
    endpoint_registry.register("echo", backend)
    yield backend
    endpoint_registry.unregister("echo")


@pytest.mark.django_db(transaction=True)
def test_registered_kind_is_served(echo: Echo, key_client: Any) -> None:
    client: Client = key_client()

    def send(path: str, body: Any) -> Any:
        return client.post(path, body, content_type="application/json")

    body = {"name": "Echo", "kind": "echo", "config": {"loud": False}}
    wrong = send("/api/v1/endpoints/", body)
    assert (wrong.status_code, wrong.json()["error"]["details"][0]["field"]) == (400, "config.loud")
    assert send("/api/v1/endpoints/", {**body, "config": {}}).status_code == 201
    answer = send("/api/v1/endpoints/echo/run/", {"input": {"say": "hello", "token": "t-0123456789"}})
    assert (answer.status_code, answer.json()["status"]) == (200, "SUCCESS")
    assert answer.json()["output"] == {"say": "hello", "token": "***REDACTED***"}
    said = JobEvent.all_tenants.get(type="said")
    assert said.data == {"password": "***REDACTED***"}
    assert [row["status"] for row in client.get("/api/v1/jobs/?status=success").json()["results"]] == [
        "SUCCESS"
    ]


@pytest.mark.django_db
def test_job_of_a_kind_that_is_gone_stands_as_recorded(echo: Echo, key_client: Any) -> None:
    client: Client = key_client()
    client.post("/api/v1/endpoints/", {"name": "Echo", "kind": "echo"}, content_type="application/json")
    client.post("/api/v1/endpoints/echo/run/", {"async": True}, content_type="application/json")
    job = Job.all_tenants.get()
    endpoint_registry.unregister("echo")
    assert following.follow(job).status == "QUEUED"
    assert following.settle_ended() == 0
    assert client.get(f"/api/v1/jobs/{job.id}/").json()["status"] == "QUEUED"
    for path in (f"/api/v1/jobs/{job.id}/cancel/", "/api/v1/endpoints/echo/run/"):
        assert client.post(path, {}, content_type="application/json").status_code == 409


@pytest.mark.django_db(transaction=True)
def test_run_that_cannot_be_looked_at_keeps_no_other_from_ending(
    echo: Echo, key_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Client = key_client()
    client.post("/api/v1/endpoints/", {"name": "Echo", "kind": "echo"}, content_type="application/json")
    for _ in range(2):
        answer = client.post("/api/modal/endpoints/echo/job/", {}, content_type="application/json")
        assert answer.status_code == 202
    broken = Job.all_tenants.earliest("id")
    del echo.runs[broken.run_id]
    monkeypatch.setattr(echo, "state", lambda run_id: RunState(RunStatus.SUCCESS))
    assert following.settle_ended() == 2
    assert list(Job.all_tenants.order_by("id").values_list("status", flat=True)) == ["QUEUED", "SUCCESS"]
