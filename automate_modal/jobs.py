"""What may be done to jobs: start one, wait for its end, cancel it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from automate_core import audit, sql
from automate_core.context import current_trace_id, tenant_scope
from automate_core.endpoints import endpoint_registry
from automate_core.errors import Conflict, NotFound, ValidationFailed
from automate_core.redaction import redact
from automate_modal import following
from automate_modal.models import Endpoint, Job
from automate_modal.schemas import input_problems

_KEEP = "SELECT id FROM automate_modal_endpoint WHERE id = %(endpoint)s FOR KEY SHARE"


def start(endpoint: Endpoint, given: Mapping[str, Any], *, by: str, wants_artifact: bool = False) -> Job:
    """Start a job in the caller's transaction, and what it runs with it.

    Args:
        endpoint: what is called.
        given: its input, a JSON object.
        by: who calls.
        wants_artifact: whether the output is to be stored as an artifact although it is short.

    Raises:
        ValidationFailed: the input is not acceptable; fields begin with `input`.
        Conflict: the endpoint is off, or what it runs cannot be run now.
        NotFound: it was deleted.
    """
    if not endpoint.enabled:
        raise Conflict(f"The endpoint {endpoint.slug!r} is disabled; enable it to run it")
    if endpoint.kind not in endpoint_registry:
        raise Conflict(f"Nothing that runs endpoints of kind {endpoint.kind!r} is installed")
    found = input_problems(endpoint.input_schema, given)
    if found:
        raise ValidationFailed.of(found, "The input does not satisfy the endpoint's input_schema")
    with tenant_scope(endpoint.tenant_id), transaction.atomic():
        # Whoever deletes the endpoint waits for the job, or the job for the deletion.
        if not sql.execute(_KEEP, {"endpoint": endpoint.pk}):
            raise NotFound(f"The endpoint {endpoint.slug!r} was deleted")
        job = Job(
            endpoint=endpoint,
            kind=endpoint.kind,
            run_id=endpoint_registry.get(endpoint.kind).start(endpoint.config, given),
            input=redact(dict(given)),
            wants_artifact=wants_artifact,
            trace_id=current_trace_id(),
            created_by=by[:200],
            created_at=timezone.now(),
        )
        job.save(force_insert=True)
        following.append(job, "status", {"status": job.status})
        job.save(update_fields=["event_count"])
        audit.record(
            actor=by,
            action="job.start",
            target=f"job:{job.id}",
            after={"endpoint": str(endpoint.id), "run": str(job.run_id)},
        )
    return job


def wait(job: Job, *, seconds: float) -> Job:
    """Return a job once it has ended, or as it stands after `seconds`."""
    if job.kind in endpoint_registry:
        with tenant_scope(job.tenant_id):
            endpoint_registry.get(job.kind).wait(job.run_id, seconds=seconds)
    return following.follow(job)


def cancel(job: Job, *, by: str, reason: str = "") -> Job:
    """End a job: at once where nothing is at work on it, else as soon as what is at work has stopped.

    Args:
        job: not finished; one that is already asked to stop may be asked again.
        by: who does it, for the audit trail.
        reason: why, for the audit trail.

    Raises:
        Conflict: it has finished.
        NotFound: it was deleted.
    """
    with tenant_scope(job.tenant_id), transaction.atomic():
        held = Job.all_tenants.select_for_update().filter(pk=job.pk).first()
        if held is None:
            raise NotFound(f"Job {job.pk} was deleted")
        if held.finished_at is not None or held.kind not in endpoint_registry:
            raise _over(held, held.status)
        backend = endpoint_registry.get(held.kind)
        state = backend.state(held.run_id)
        if state is None or state.status.is_terminal:
            raise _over(held, state.status if state else "gone")
        backend.cancel(held.run_id, by=by)
        if held.cancel_requested_at is None:
            held.cancel_requested_at = timezone.now()
            following.append(held, "cancel", {"by": by})
            held.save()
        audit.record(
            actor=by,
            action="job.cancel",
            target=f"job:{held.id}",
            before={"status": state.status},
            after={"cancel_requested": True, "reason": reason},
        )
    return following.follow(held)


def _over(job: Job, status: str) -> Conflict:
    return Conflict(f"Job {job.id} is {status}; only an open job can be cancelled")
