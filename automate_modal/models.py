"""Endpoints, their jobs, what happened in those, and the files they left behind."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.files.storage import Storage, default_storage, storages
from django.db import models
from django.db.models.functions import Now

from automate_core.endpoints import TERMINAL, RunStatus
from automate_core.errors import ErrorCodes
from automate_core.ids import uuid7
from automate_core.models import TenantOwned

STORAGE = "automate-artifacts"
"""The entry of Django's STORAGES that keeps artifacts, if there is one."""

UNSURE = (ErrorCodes.WORKER_LOST.value, ErrorCodes.OUTCOME_UNKNOWN.value)
"""Failures that are taken back when the dead letter of the run is put back."""

_ENDS = sorted(status.value for status in TERMINAL)


def artifact_storage() -> Storage:
    """Return where artifacts are kept: Django's storage of that name, else its default."""
    found: Storage = storages[STORAGE] if STORAGE in settings.STORAGES else default_storage
    return found


def artifact_path(artifact: Any, filename: str) -> str:
    """Return where an artifact's file is put; nothing in it is chosen by a caller."""
    return f"automate/artifacts/{artifact.tenant_id}/{artifact.id}"


class Endpoint(TenantOwned):
    """A saved callable: its `kind` names the backend that runs it, its `config` says what.

    Written by `automate_modal.endpoints` alone. An input has to satisfy `input_schema`, a JSON Schema, if there is one.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=100)
    description = models.TextField(default="", blank=True)
    kind = models.CharField(max_length=32)
    config = models.JSONField(default=dict, blank=True)
    input_schema = models.JSONField(null=True, blank=True)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="automate_endpoint_slug_once"),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_endpoint_in_tenant"),
        ]
        indexes = [models.Index(fields=["tenant", "-created_at", "-id"], name="automate_endpoint_recent")]

    def __str__(self) -> str:
        return self.slug


class Job(TenantOwned):
    """One run of an endpoint; `run_id` is the backend's name for it.

    Written by `automate_modal.jobs` and, as far as it follows the run, by `automate_modal.following`. `status` is what
    was last seen of the run, not always what is true: readers ask for the live one (`automate_modal.states`). Once the
    end is recorded, the job needs its run no more. `seen_seq` is the last change of the run that became an event,
    `event_count` the number of the last event.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    endpoint = models.ForeignKey(
        Endpoint, on_delete=models.CASCADE, related_name="jobs", db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=32)
    run_id = models.UUIDField()
    status = models.CharField(max_length=9, choices=RunStatus.choices, default=RunStatus.QUEUED)
    input = models.JSONField(default=dict, blank=True)
    output = models.JSONField(null=True, blank=True)
    wants_artifact = models.BooleanField(default=False)
    error_code = models.CharField(max_length=64, default="", blank=True)
    error_message = models.TextField(default="", blank=True)
    seen_seq = models.PositiveIntegerField(default=0)
    event_count = models.PositiveIntegerField(default=0)
    trace_id = models.CharField(max_length=64, default="", blank=True)
    created_by = models.CharField(max_length=200, default="", blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [
            models.UniqueConstraint(fields=["kind", "run_id"], name="automate_job_once"),
            models.UniqueConstraint(fields=["tenant", "id"], name="automate_job_in_tenant"),
            models.CheckConstraint(
                condition=models.Q(status__in=_ENDS, finished_at__isnull=False)
                | (~models.Q(status__in=_ENDS) & models.Q(finished_at__isnull=True)),
                name="automate_job_finished",
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "-created_at", "-id"], name="automate_job_recent"),
            models.Index(fields=["tenant", "status", "-created_at", "-id"], name="automate_job_state"),
            models.Index(fields=["endpoint", "-created_at", "-id"], name="automate_job_runs"),
            models.Index(fields=["trace_id"], condition=~models.Q(trace_id=""), name="automate_job_trace"),
            models.Index(
                fields=["id"],
                condition=models.Q(finished_at__isnull=True) | models.Q(error_code__in=UNSURE),
                name="automate_job_followed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"

    def natural_tenant_id(self) -> UUID:
        """Return the endpoint's tenant."""
        return self.endpoint.tenant_id


class JobEvent(TenantOwned):
    """Something that happened in a job, numbered from 1: `status`, `step`, `cancel`, `artifact` or `left_out`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="events", db_constraint=False, db_index=False
    )
    number = models.PositiveIntegerField()
    type = models.CharField(max_length=64)
    data = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="automate_jobevent_once")]

    def __str__(self) -> str:
        return f"{self.job_id} #{self.number} {self.type}"

    def natural_tenant_id(self) -> UUID:
        """Return the job's tenant."""
        return self.job.tenant_id


class Artifact(TenantOwned):
    """A stored output file of a job; `sha256` is the checksum of its bytes, in hex."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    job = models.ForeignKey(
        Job, on_delete=models.CASCADE, related_name="artifacts", db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=200)
    content_type = models.CharField(max_length=100)
    size = models.PositiveBigIntegerField()
    sha256 = models.CharField(max_length=64)
    file = models.FileField(storage=artifact_storage, upload_to=artifact_path, max_length=255)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        base_manager_name = "all_tenants"
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="automate_artifact_name_once")]
        indexes = [models.Index(fields=["tenant", "-created_at", "-id"], name="automate_artifact_recent")]

    def __str__(self) -> str:
        return f"{self.name} of {self.job_id}"

    def natural_tenant_id(self) -> UUID:
        """Return the job's tenant."""
        return self.job.tenant_id
