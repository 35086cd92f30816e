"""Finds endpoints and jobs of the tenant in context, jobs with what is true of them now."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Prefetch, QuerySet

from automate_core.errors import NotFound
from automate_modal import following
from automate_modal.endpoints import is_id
from automate_modal.models import Artifact, Endpoint, Job
from automate_modal.states import with_live


def find_endpoint(ref: str, *, among: QuerySet[Endpoint] | None = None) -> Endpoint:
    """Return the endpoint with this id or slug; raises NotFound."""
    endpoints = Endpoint.objects.all() if among is None else among
    found = endpoints.filter(**({"pk": ref} if is_id(ref) else {"slug": ref})).first()
    if found is None:
        raise NotFound("Not found")
    return found


def find_job(ref: str | UUID, *, among: QuerySet[Job] | None = None) -> Any:
    """Return the job with this id, followed up to now; raises NotFound."""
    job = find_job_as_recorded(ref, among=among)
    if job.finished_at is not None and job.live_status == job.status:
        return job
    following.follow(job)
    return shown_jobs().get(pk=ref)


def find_job_as_recorded(ref: str | UUID, *, among: QuerySet[Job] | None = None) -> Any:
    """Return the job with this id, writing nothing; raises NotFound."""
    job = shown_jobs(among).filter(pk=ref).first() if is_id(str(ref)) else None
    if job is None:
        raise NotFound("Not found")
    return job


def shown_jobs(among: QuerySet[Job] | None = None) -> QuerySet[Job]:
    """Return jobs with all that is shown of them."""
    jobs = Job.objects.all() if among is None else among
    artifacts = Prefetch("artifacts", Artifact.all_tenants.order_by("id"))
    return with_live(jobs.select_related("endpoint")).prefetch_related(artifacts)
