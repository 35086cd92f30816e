"""What the database itself guarantees about endpoints, jobs, events and artifacts."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from automate_core.context import tenant_scope
from automate_core.models import Tenant
from automate_modal.models import Artifact, Endpoint, Job, JobEvent
from tests.factories.jobs import make_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def rows(tenant: Tenant) -> dict[str, Any]:
    return make_job(tenant)


@pytest.mark.parametrize("model", [Job, JobEvent, Artifact])
def test_no_row_crosses_tenants(rows: dict[str, Any], other_tenant: Tenant, model: Any) -> None:
    with pytest.raises(IntegrityError, match="in_tenant"), transaction.atomic():
        model.all_tenants.update(tenant=other_tenant)


@pytest.mark.parametrize("model", [Endpoint, Job, JobEvent, Artifact])
def test_manager_sees_the_tenant_in_context_only(rows: Any, other_tenant: Tenant, model: Any) -> None:
    assert model.objects.count() == 1
    with tenant_scope(other_tenant.pk):
        assert model.objects.count() == 0


def test_new_row_belongs_where_its_parent_does(other_tenant: Tenant) -> None:
    rows = make_job(other_tenant)
    event = JobEvent(job=rows["jobs"], number=2, type="status", created_at=timezone.now())
    event.save()
    assert event.tenant_id == other_tenant.pk


def test_slugs_runs_and_numbers_are_unique(
    rows: dict[str, Any], tenant: Tenant, other_tenant: Tenant
) -> None:
    endpoint, job = rows["endpoints"], rows["jobs"]
    Endpoint.all_tenants.create(tenant=other_tenant, name="a", slug=endpoint.slug, kind="automation")
    again: list[Any] = [
        Endpoint(tenant=tenant, name="a", slug=endpoint.slug, kind="automation"),
        Job(tenant=tenant, endpoint=endpoint, kind=job.kind, run_id=job.run_id),
        JobEvent(tenant=tenant, job=job, number=1, type="status", created_at=timezone.now()),
        Artifact(tenant=tenant, job=job, name="output.json", content_type="", size=0, sha256="", file="x"),
    ]
    for row in again:
        with pytest.raises(IntegrityError), transaction.atomic():
            row.save(force_insert=True)


def test_job_has_finished_when_its_status_says_so(rows: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="automate_job_finished"), transaction.atomic():
        Job.all_tenants.update(finished_at=None)
    with pytest.raises(IntegrityError, match="automate_job_finished"), transaction.atomic():
        Job.all_tenants.update(status="RUNNING")
