"""What came of calls, over HTTP: jobs, their cancellation, events and artifacts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from automate.models import Execution
from automate_core.context import tenant_scope
from automate_core.models import AuditEntry, Role, Tenant
from automate_core.outbox.drain import Drain
from automate_modal import following
from automate_modal.models import Artifact, Job
from tests.automate_modal.api.test_calls import BROKEN, post
from tests.factories.engine import drain, finish, lose_workers, node

pytestmark = pytest.mark.django_db(transaction=True)
MakeJob = Callable[..., Job]
PAUSE = node("pause", "delay", {"seconds": 3600})


def ids(answer: Any) -> list[str]:
    return [row["id"] for row in answer.json()["results"]]


def test_list_shows_what_is_true_now(key_client: Any, make_job: MakeJob) -> None:
    failed, ended, waits = make_job(BROKEN, slug="a"), make_job(slug="b"), make_job(PAUSE, slug="c")
    client: Client = key_client(Role.VIEWER)
    drain()
    rows = client.get("/api/v1/jobs/").json()["results"]
    assert [(row["id"], row["endpoint_slug"], row["status"]) for row in rows] == [
        (str(waits.id), "c", "WAITING"),
        (str(ended.id), "b", "SUCCESS"),
        (str(failed.id), "a", "FAILED"),
    ]
    assert [row["finished_at"] is not None for row in rows] == [False, True, True]
    assert set(Job.all_tenants.values_list("status", flat=True)) == {"QUEUED"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=waiting", ["c"]),
        ("status=SUCCESS", ["b"]),
        ("status=QUEUED", []),
        ("endpoint=b", ["b"]),
        ("kind=automation", ["c", "b"]),
        ("kind=other", []),
        ("until=2020-01-01", []),
        ("since=2020-01-01&endpoint=c", ["c"]),
    ],
)
def test_list_is_narrowed(key_client: Any, make_job: MakeJob, query: str, found: list[str]) -> None:
    make_job(slug="b"), make_job(PAUSE, slug="c")
    drain()
    rows = key_client().get(f"/api/v1/jobs/?{query}").json()["results"]
    assert [row["endpoint_slug"] for row in rows] == found


def test_list_is_narrowed_by_id_of_the_endpoint_and_by_trace(key_client: Any, make_job: MakeJob) -> None:
    job = make_job(slug="b")
    make_job(slug="c")
    client = key_client()
    assert ids(client.get(f"/api/v1/jobs/?endpoint={job.endpoint_id}")) == [str(job.id)]
    assert ids(client.get(f"/api/v1/jobs/?trace_id={job.trace_id}")) == [str(job.id)]
    assert client.get("/api/v1/jobs/?status=DONE").status_code == 400


def test_job_is_read_with_its_end_recorded(key_client: Any, make_job: MakeJob) -> None:
    job = make_job(wants_artifact=True)
    drain()
    body = key_client(Role.VIEWER).get(f"/api/v1/jobs/{job.id}/").json()
    assert (body["status"], body["progress"], body["output"]) == ("SUCCESS", 1.0, {"seen": 1, "name": ""})
    assert [one["id"] for one in body["artifacts"]] == [str(Artifact.all_tenants.get().id)]


def test_status_tells_how_far_a_job_is(key_client: Any, make_job: MakeJob) -> None:
    done = node("done", "transform", {"output": 1})
    job = make_job(done, PAUSE, edges=[{"source": "done", "target": "pause"}])
    client = key_client(Role.VIEWER)
    path = f"/api/modal/jobs/{job.id}/status/"
    assert (client.get(path).json()["status"], client.get(path).json()["progress"]) == ("QUEUED", 0.0)
    drain()
    body = client.get(path).json()
    assert sorted(body) == [
        "cancel_requested_at", "created_at", "duration_ms", "error", "finished_at", "id", "progress", "started_at",
        "status",
    ]  # fmt: skip
    assert (body["status"], body["progress"], body["duration_ms"]) == ("WAITING", 0.5, None)


def test_failed_job_says_why(key_client: Any, make_job: MakeJob) -> None:
    job = make_job(BROKEN)
    drain()
    body = key_client().get(f"/api/modal/jobs/{job.id}/status/").json()
    assert (body["status"], body["progress"], body["error"]["code"]) == ("FAILED", None, "TEMPLATE_ERROR")


@pytest.mark.parametrize("path", ["/api/v1/jobs/{}/events/", "/api/modal/jobs/{}/events/"])
def test_events_are_listed_in_order(key_client: Any, make_job: MakeJob, path: str) -> None:
    job = make_job()
    drain()
    page = key_client(Role.VIEWER).get(path.format(job.id) + "?page_size=2").json()
    assert (page["count"], [(row["number"], row["type"]) for row in page["results"]]) == (
        3,
        [(1, "status"), (2, "step")],
    )
    rest = key_client(Role.VIEWER).get(page["next"]).json()
    assert [(row["number"], row["data"]) for row in rest["results"]] == [
        (3, {"status": "SUCCESS", "error": None})
    ]


def test_queued_job_is_cancelled_at_once(key_client: Any, make_job: MakeJob) -> None:
    job = make_job()
    answer = post(key_client(Role.RUNNER), f"/api/v1/jobs/{job.id}/cancel/", {"reason": "changed my mind"})
    body = answer.json()
    assert (answer.status_code, body["status"], body["cancel_requested_at"] is not None) == (
        200,
        "CANCELLED",
        True,
    )
    assert Execution.all_tenants.get().status == "CANCELLED"
    job.refresh_from_db()
    assert (job.status, job.finished_at) == ("CANCELLED", Execution.all_tenants.get().finished_at)
    entry = AuditEntry.all_tenants.get(action="job.cancel")
    assert (entry.target, entry.after["reason"]) == (f"job:{job.id}", "changed my mind")
    again = post(key_client(Role.RUNNER), f"/api/v1/jobs/{job.id}/cancel/")
    assert (again.status_code, again.json()["error"]["code"]) == (409, "CONFLICT")


def test_job_at_work_is_asked_to_stop(key_client: Any, make_job: MakeJob) -> None:
    job = make_job()
    worker = Drain()
    assert len(worker.store.claim_batch(worker.worker, 1)) == 1
    answer = post(key_client(), f"/api/v1/jobs/{job.id}/cancel/")
    assert (answer.status_code, answer.json()["status"]) == (202, "QUEUED")
    assert post(key_client(), f"/api/v1/jobs/{job.id}/cancel/").status_code == 202
    events = key_client().get(f"/api/v1/jobs/{job.id}/events/").json()["results"]
    assert [row["type"] for row in events] == ["status", "cancel"]
    lose_workers()
    finish()
    assert key_client().get(f"/api/v1/jobs/{job.id}/").json()["status"] == "CANCELLED"


def test_ended_job_is_not_cancelled_though_nobody_recorded_its_end(
    key_client: Any, make_job: MakeJob
) -> None:
    job = make_job()
    drain()
    answer = post(key_client(), f"/api/v1/jobs/{job.id}/cancel/")
    assert (answer.status_code, Execution.all_tenants.get().status) == (409, "SUCCESS")


def test_refused_cancel_leaves_no_file_behind(key_client: Any, make_job: MakeJob, storage: Any) -> None:
    job = make_job(wants_artifact=True)
    drain()
    answer = post(key_client(), f"/api/v1/jobs/{job.id}/cancel/", X_Request_ID="k1")
    assert (answer.status_code, [path for path in storage.rglob("*") if path.is_file()]) == (409, [])


def test_head_of_events_opens_no_stream(key_client: Any, make_job: MakeJob) -> None:
    job = make_job(PAUSE)
    answer = key_client().head(f"/api/modal/jobs/{job.id}/events/", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")


def test_viewer_may_not_cancel(key_client: Any, make_job: MakeJob) -> None:
    job = make_job()
    assert post(key_client(Role.VIEWER), f"/api/v1/jobs/{job.id}/cancel/").status_code == 403


@pytest.fixture
def artifact(make_job: MakeJob) -> Artifact:
    """An artifact of a job that ended."""
    job = make_job(wants_artifact=True)
    drain()
    following.follow(job)
    return Artifact.all_tenants.get()


def test_artifact_is_listed_read_and_downloaded(key_client: Any, artifact: Artifact) -> None:
    client = key_client(Role.VIEWER)
    content = b'{"name":"","seen":1}'
    (row,) = client.get(f"/api/v1/artifacts/?job={artifact.job_id}").json()["results"]
    assert row == client.get(f"/api/v1/artifacts/{artifact.id}/").json()
    assert (row["name"], row["content_type"], row["size"]) == (
        "output.json",
        "application/json",
        len(content),
    )
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    answer = client.get(row["download_url"])
    assert (answer.status_code, answer.content, answer["Content-Type"]) == (200, content, "application/json")
    assert answer["Content-Disposition"] == 'attachment; filename="output.json"'
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert answer["Cache-Control"] == "no-store"
    assert answer["X-RateLimit-Limit"] == "1000000"


def test_artifact_that_was_changed_or_lost_is_404(key_client: Any, artifact: Artifact, storage: Any) -> None:
    path = f"/api/modal/artifacts/{artifact.id}/download/"
    (storage / artifact.file.name).write_bytes(b'{"seen":"evil"}')
    assert key_client().get(path).status_code == 404
    (storage / artifact.file.name).unlink()
    answer = key_client().get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_scopes_of_keys_are_kept(key_client: Any, artifact: Artifact) -> None:
    client = key_client(scopes=["jobs:read"])
    assert client.get(f"/api/v1/jobs/{artifact.job_id}/").status_code == 200
    assert client.get(f"/api/v1/artifacts/{artifact.id}/").status_code == 403
    assert client.get(f"/api/modal/artifacts/{artifact.id}/download/").status_code == 403


def test_another_tenants_rows_are_404(key_client: Any, make_job: MakeJob, other_tenant: Tenant) -> None:
    job = make_job(of=other_tenant, wants_artifact=True)
    drain()
    with tenant_scope(other_tenant.pk):
        following.follow(job)
    artifact, client = Artifact.all_tenants.get(), key_client()
    paths = [
        f"/api/v1/jobs/{job.id}/",
        f"/api/v1/jobs/{job.id}/events/",
        f"/api/modal/jobs/{job.id}/status/",
        f"/api/modal/jobs/{job.id}/events/",
        f"/api/v1/artifacts/{artifact.id}/",
        f"/api/modal/artifacts/{artifact.id}/download/",
        f"/api/v1/endpoints/{job.endpoint_id}/",
        "/api/v1/endpoints/orders/",
        "/api/v1/jobs/not-an-id/",
        "/api/modal/artifacts/not-an-id/download/",
    ]
    assert {path: client.get(path).status_code for path in paths} == dict.fromkeys(paths, 404)
    assert [ids(client.get(f"/api/v1/{name}/")) for name in ("jobs", "artifacts", "endpoints")] == [
        [],
        [],
        [],
    ]
    assert client.get("/api/v1/jobs/", headers={"X-Tenant-ID": "other"}).status_code == 404
