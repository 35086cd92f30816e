"""Rows of endpoints, jobs, their events and artifacts, as they stand when a job is over."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from automate_core.ids import uuid7
from automate_core.models import Tenant
from automate_modal.models import Artifact, Endpoint, Job, JobEvent


def make_job(of: Tenant, *, slug: str = "orders", **fields: Any) -> dict[str, Any]:
    """Make one row of each model, with a file nobody stored; return them by collection."""
    endpoint = Endpoint.all_tenants.create(tenant=of, name=slug, slug=slug, kind="automation")
    over = {"run_id": uuid7(), "status": "SUCCESS", "finished_at": timezone.now(), **fields}
    job = Job.all_tenants.create(tenant=of, endpoint=endpoint, kind="automation", **over)
    JobEvent.all_tenants.create(tenant=of, job=job, number=1, type="status", created_at=timezone.now())
    artifact = Artifact.all_tenants.create(
        tenant=of,
        job=job,
        name="output.json",
        content_type="application/json",
        size=2,
        sha256="0" * 64,
        file="none",
    )
    return {"endpoints": endpoint, "jobs": job, "artifacts": artifact}
