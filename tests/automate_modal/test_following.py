"""A job follows its run, whoever is lost on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from automate.executions import burial
from automate.models import Execution
from automate_core.outbox.duties import duty_registry
from automate_modal import artifacts, following
from automate_modal.models import Artifact, Job, JobEvent
from automate_modal.states import with_live
from tests.automate_modal.conftest import DOUBLE
from tests.factories.engine import drain, edge, finish, node
from tests.factories.killing import lose_after

MakeJob = Callable[..., Job]
PAUSE = node("pause", "delay", {"seconds": 3600})
SECRET = node("leak", "transform", {"output": {"password": "hunter22", "n": 1}})


def log(job: Job) -> list[tuple[int, str, Any, Any]]:
    """Return (number, type, path, status) of the job's events."""
    events = JobEvent.all_tenants.filter(job=job).order_by("number")
    return [(one.number, one.type, one.data.get("path"), one.data.get("status")) for one in events]


@pytest.mark.django_db(transaction=True)
def test_end_of_a_run_is_recorded_with_its_steps_and_output(make_job: MakeJob) -> None:
    job = make_job(DOUBLE, node("log", "logging", {"message": "hi"}), edges=[edge("double", "log")])
    drain()
    job = following.follow(job)
    execution = Execution.all_tenants.get()
    assert (job.status, job.output, job.run_id) == ("SUCCESS", {"message": "hi"}, execution.id)
    assert (job.started_at, job.finished_at) == (execution.started_at, execution.finished_at)
    assert log(job) == [
        (1, "status", None, "QUEUED"),
        (2, "step", "double", "SUCCESS"),
        (3, "step", "log", "SUCCESS"),
        (4, "status", None, "SUCCESS"),
    ]
    assert following.follow(job).event_count == 4


@pytest.mark.django_db(transaction=True)
def test_job_follows_a_run_that_waits(make_job: MakeJob) -> None:
    job = make_job(PAUSE)
    drain()
    job = following.follow(job)
    assert (job.status, job.finished_at) == ("WAITING", None)
    finish()
    job = following.follow(job)
    assert job.status == "SUCCESS"
    assert [one[1:] for one in log(job)] == [
        ("status", None, "QUEUED"),
        ("step", "pause", "WAITING"),
        ("status", None, "WAITING"),
        ("step", "pause", "SUCCESS"),
        ("status", None, "SUCCESS"),
    ]


@pytest.mark.django_db(transaction=True)
def test_two_who_follow_at_once_record_once(make_job: MakeJob) -> None:
    job = make_job()
    drain()
    seen = Job.all_tenants.get()
    following.follow(job)
    late = following.follow(seen)
    assert (late.status, late.event_count) == ("SUCCESS", 3)
    assert [one[0] for one in log(job)] == [1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_end_nobody_looked_at_is_recorded_by_the_duty(make_job: MakeJob) -> None:
    ended, waiting = make_job(slug="ends"), make_job(PAUSE, slug="waits")
    drain()
    assert duty_registry.get("jobs").run() == 1
    statuses = {job.pk: job.status for job in Job.all_tenants.all()}
    assert statuses == {ended.pk: "SUCCESS", waiting.pk: "QUEUED"}
    assert duty_registry.get("jobs").run() == 0


@pytest.mark.django_db(transaction=True)
def test_job_ends_once_however_often_its_worker_is_lost(make_job: MakeJob) -> None:
    for commits in range(1, 4):
        job = make_job(DOUBLE, slug=f"orders-{commits}", wants_artifact=True)
        lose_after(commits)
        following.settle_ended()
        finish(job.run_id)
        following.settle_ended()
        job.refresh_from_db()
        assert (job.status, job.output) == ("SUCCESS", {"seen": 1, "name": ""})
        ends = [one for one in log(job) if one[1] == "status" and one[3] == "SUCCESS"]
        assert (len(ends), job.artifacts.count()) == (1, 1)
    assert Execution.all_tenants.count() == 3


@pytest.mark.django_db(transaction=True)
def test_job_begins_again_when_its_dead_letter_is_put_back(make_job: MakeJob) -> None:
    job = make_job()
    burial.bury([(str(job.run_id), "three workers stopped")])
    assert following.settle_ended() == 1
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("FAILED", "WORKER_LOST")
    burial.revive([job.run_id])
    assert with_live(Job.all_tenants.all()).get().live_status == "QUEUED"
    drain()
    assert following.settle_ended() == 1
    job.refresh_from_db()
    assert (job.status, job.error_code, job.output) == ("SUCCESS", "", {"seen": 1, "name": ""})


@pytest.mark.django_db(transaction=True)
def test_job_whose_run_was_deleted_fails(make_job: MakeJob) -> None:
    job = make_job()
    Execution.all_tenants.all().delete()
    following.settle_ended()
    job.refresh_from_db()
    assert (job.status, job.error_code) == ("FAILED", "NOT_FOUND")


@pytest.mark.django_db(transaction=True)
def test_recorded_job_outlives_its_run(make_job: MakeJob) -> None:
    job = make_job()
    drain()
    following.follow(job)
    Execution.all_tenants.all().delete()
    assert following.settle_ended() == 0
    assert following.follow(Job.all_tenants.get()).status == "SUCCESS"


@pytest.mark.django_db(transaction=True)
def test_output_is_recorded_without_secrets(make_job: MakeJob) -> None:
    job = make_job(SECRET, given={"api_key": "sk-live-1234567890"})
    drain()
    job = following.follow(job)
    assert (job.input, job.output) == (
        {"api_key": "***REDACTED***"},
        {"password": "***REDACTED***", "n": 1},
    )


@pytest.mark.django_db(transaction=True)
def test_output_too_long_for_the_job_is_an_artifact(make_job: MakeJob) -> None:
    job = make_job(given={"n": "x" * following.INLINE_BYTES})
    drain()
    job = following.follow(job)
    artifact = Artifact.all_tenants.get()
    assert (job.output, artifact.name, artifact.size) == (None, "output.json", following.INLINE_BYTES + 21)
    assert artifacts.read(artifact).startswith(b'{"name":"","seen":"xxx')


@pytest.mark.django_db(transaction=True)
def test_output_larger_than_an_artifact_is_left_out(make_job: MakeJob, settings: Any, storage: Any) -> None:
    settings.AUTOMATE = {**settings.AUTOMATE, "ARTIFACT_LIMIT_BYTES": 10}
    job = make_job(wants_artifact=True)
    drain()
    job = following.follow(job)
    assert (job.status, Artifact.all_tenants.count()) == ("SUCCESS", 0)
    assert job.output is None
    left_out = JobEvent.all_tenants.get(job=job, type="left_out")
    assert left_out.data == {"message": "The output has 20 bytes; an artifact has at most 10"}


@pytest.mark.django_db(transaction=True)
def test_end_stays_open_until_the_storage_takes_the_artifact(
    make_job: MakeJob, settings: Any, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("not a directory")
    settings.MEDIA_ROOT = str(tmp_path / "file")
    job = make_job(wants_artifact=True)
    drain()
    assert following.follow(job).finished_at is None
    settings.MEDIA_ROOT = str(tmp_path / "media")
    assert following.settle_ended() == 1
    assert artifacts.read(Artifact.all_tenants.get()) == b'{"name":"","seen":1}'


@pytest.mark.django_db(transaction=True)
def test_file_of_one_who_was_too_late_is_removed(make_job: MakeJob, storage: Any) -> None:
    job = make_job(wants_artifact=True)
    drain()
    seen = Job.all_tenants.get()
    following.follow(job)
    following.follow(seen)
    files = [path for path in storage.rglob("*") if path.is_file()]
    assert [str(path.relative_to(storage)) for path in files] == [Artifact.all_tenants.get().file.name]


@pytest.mark.django_db(transaction=True)
def test_events_of_one_job_are_bounded(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "MAX_EVENTS", 3)
    keys = [f"n{number}" for number in range(5)]
    job = make_job(*(node(key, "transform", {"output": 1}) for key in keys))
    drain()
    following.follow(job)
    assert [one[1:] for one in log(job)] == [
        ("status", None, "QUEUED"),
        ("step", "n0", "SUCCESS"),
        ("step", "n1", "SUCCESS"),
        ("status", None, "SUCCESS"),
    ]
