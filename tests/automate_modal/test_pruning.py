"""Old jobs go with their files; what is open or recent stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from automate_core.ids import uuid7
from automate_core.models import AuditEntry
from automate_modal import following, pruning
from automate_modal.models import Artifact, Job
from tests.factories.engine import drain, node

pytestmark = pytest.mark.django_db(transaction=True)


def age(job: Job, days: int) -> None:
    """Make a job look as if it had been called and had ended so long ago."""
    then = timezone.now() - timedelta(days=days)
    Job.all_tenants.filter(pk=job.pk).update(created_at=then, finished_at=then)


@pytest.fixture
def jobs(make_job: Callable[..., Job]) -> dict[str, Job]:
    """An old job and a recent one with artifacts, and one that is open."""
    found = {slug: make_job(slug=slug, wants_artifact=True) for slug in ("old", "recent")}
    found["open"] = make_job(node("pause", "delay", {"seconds": 3600}), slug="open")
    drain()
    following.settle_ended()
    age(found["old"], 40)
    age(found["recent"], 5)
    return found


def left() -> set[str]:
    return set(Job.all_tenants.values_list("endpoint__slug", flat=True))


@pytest.fixture(autouse=True)
def _ids_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    # The ids of jobs made in a test are of today, whatever their times say.
    monkeypatch.setattr(pruning, "CLOCK_MARGIN", timedelta(days=400))


def test_old_jobs_go_with_their_files(jobs: dict[str, Job], storage: Path, capsys: Any) -> None:
    call_command("automate_prune_jobs", "--dry-run")
    assert capsys.readouterr().out == "Would remove 1 jobs with 1 artifacts, older than 30 days\n"
    assert left() == {"old", "recent", "open"}
    call_command("automate_prune_jobs")
    assert capsys.readouterr().out == "Removed 1 jobs with 1 artifacts, older than 30 days\n"
    assert left() == {"recent", "open"}
    files = [str(path.relative_to(storage)) for path in storage.rglob("*") if path.is_file()]
    assert files == [Artifact.all_tenants.get().file.name]
    assert AuditEntry.all_tenants.get(action="jobs.prune").actor == "command:automate_prune_jobs"


def test_batches_go_on_until_nothing_is_left(jobs: dict[str, Job]) -> None:
    done = pruning.prune(before=timezone.now(), by="test", batch=1)
    assert (done.jobs, done.artifacts, left()) == (2, 2, {"open"})


def test_ids_bound_the_scan(jobs: dict[str, Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "CLOCK_MARGIN", timedelta(days=1))
    assert pruning.prunable(before=timezone.now() - timedelta(days=30)).jobs == 0
    assert pruning.old_jobs(before=timezone.now()).filter(pk__lt=uuid7()).count() == 2


def test_days_out_of_range_are_refused(db: None) -> None:
    with pytest.raises(CommandError, match="--days must be 0 to 36500, not -1"):
        call_command("automate_prune_jobs", "--days", "-1")
