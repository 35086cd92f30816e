"""Pruning: removes jobs that ended long ago, with their events and artifacts, in short transactions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from automate_core import audit
from automate_core.context import tenant_scope
from automate_modal import artifacts
from automate_modal.models import Artifact, Job

BATCH = 500
"""Jobs one transaction removes at most."""
CLOCK_MARGIN = timedelta(days=1)
"""Ids carry the clock of the process that made them; exact times decide, ids only bound the scan."""


@dataclass(slots=True)
class Pruned:
    """How many rows were removed, or would be."""

    jobs: int = 0
    artifacts: int = 0


def old_jobs(*, before: datetime) -> QuerySet[Job]:
    """Return the jobs of every tenant that ended before a moment, in the order of their ids."""
    milliseconds = int((before + CLOCK_MARGIN).timestamp() * 1000)
    # The smallest UUIDv7 of that millisecond (RFC 9562, section 5.7).
    bound = UUID(int=milliseconds << 80)
    return Job.all_tenants.filter(id__lt=bound, finished_at__lt=before).order_by("id")


def prunable(*, before: datetime) -> Pruned:
    """Count what `prune` would remove, without removing it."""
    old = old_jobs(before=before)
    return Pruned(old.count(), Artifact.all_tenants.filter(job__in=old.order_by()).count())


def prune(*, before: datetime, by: str, batch: int = BATCH) -> Pruned:
    """Remove the jobs that ended before a moment; safe to interrupt, to repeat and to run twice at once.

    Args:
        before: aware datetime.
        by: who does it, for the audit trail of each tenant.
        batch: most jobs one transaction removes.
    """
    for tenant_id in old_jobs(before=before).order_by().values_list("tenant_id", flat=True).distinct():
        with tenant_scope(tenant_id):
            audit.record(
                actor=by, action="jobs.prune", target="jobs", after={"older_than": before.isoformat()}
            )
    done = Pruned()
    while _prune_batch(old_jobs(before=before)[:batch], done):
        pass
    return done


@transaction.atomic
def _prune_batch(old: QuerySet[Job], done: Pruned) -> int:
    held = old.select_for_update(skip_locked=True, of=("self",))
    ids = list(held.values_list("pk", flat=True))
    files = list(Artifact.all_tenants.filter(job_id__in=ids).only("file"))
    artifacts.remove_after_commit(files)
    Job.all_tenants.filter(pk__in=ids).delete()
    done.jobs += len(ids)
    done.artifacts += len(files)
    return len(ids)
