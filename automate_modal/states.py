"""What is true of jobs right now: the state of their runs, or what was recorded when those are gone."""

from __future__ import annotations

from typing import Any

from django.db.models import Case, CharField, DateTimeField, F, Field, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce

from automate_core.endpoints import TERMINAL, endpoint_registry
from automate_modal.models import UNSURE, Job

_OUTPUTS: dict[str, Field[Any, Any]] = {
    "status": CharField(max_length=9),
    "started_at": DateTimeField(),
    "finished_at": DateTimeField(),
}

_FOLLOWED = Q(finished_at__isnull=True) | Q(error_code__in=UNSURE)
"""True of jobs whose recorded status may not be the one of their run."""


def with_live(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Add `live_status`, `live_started_at` and `live_finished_at`; one statement reads jobs and runs."""
    return jobs.annotate(run_status=_of_run("status")).annotate(
        live_status=Coalesce("run_status", "status"),
        live_started_at=_live("started_at"),
        live_finished_at=_live("finished_at"),
    )


def in_state(jobs: QuerySet[Any], status: str) -> QuerySet[Any]:
    """Return those of `with_live` jobs that have a status now; only the runs of those that may have it are asked."""
    may_have = _FOLLOWED | Q(status=status) if status in TERMINAL else _FOLLOWED
    return jobs.filter(may_have, live_status=status)


def ended_unrecorded() -> QuerySet[Job]:
    """Return the jobs, of every tenant, whose end is not recorded yet or was taken back, oldest first."""
    known = Job.all_tenants.filter(_FOLLOWED, kind__in=list(endpoint_registry)).annotate(
        run_status=_of_run("status")
    )
    ended = Q(finished_at__isnull=True) & (Q(run_status__in=TERMINAL) | Q(run_status__isnull=True))
    taken_back = Q(finished_at__isnull=False, run_status__isnull=False) & ~Q(run_status=F("status"))
    return known.filter(ended | taken_back).order_by("id")


def _live(name: str) -> Case:
    # A run that began again has no end: what was recorded counts only once the run is gone.
    return Case(
        When(run_status__isnull=True, then=F(name)), default=_of_run(name), output_field=_OUTPUTS[name]
    )


def _of_run(name: str) -> Case:
    """Return a column of a job's run, NULL when the run is gone or its kind is not installed."""
    cases = [
        When(kind=kind, then=endpoint_registry.get(kind).columns(OuterRef("run_id"))[name])
        for kind in endpoint_registry
    ]
    return Case(*cases, default=Value(None), output_field=_OUTPUTS[name])
