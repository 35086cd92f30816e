"""Follows the runs of jobs: what happens in them becomes events of the job, and their end is recorded once.

Whoever looks at a job has it followed first, and a duty of the workers does the same for jobs that ended while nobody
looked. Both read what is durable, so a process that is lost in between costs nothing but time.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from django.db import transaction
from django.utils import timezone

from automate_core.context import tenant_scope
from automate_core.endpoints import EndpointBackend, RunChange, RunState, RunStatus, endpoint_registry
from automate_core.errors import ErrorCodes
from automate_core.redaction import redact
from automate_modal import artifacts
from automate_modal.models import Artifact, Job, JobEvent
from automate_modal.states import ended_unrecorded

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often workers look for jobs that ended while nobody followed them."""
BATCH = 200
MAX_EVENTS = 1_000
"""Changes of one run that become events; its backend keeps the whole history."""
INLINE_BYTES = 65_536
"""Longest output, as JSON, a job carries itself; a longer one is an artifact."""
OUTPUT_NAME = "output.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run left: the output its job carries, the artifact, in its place already but not saved yet, or why not."""

    output: Any
    file: Artifact | None = None
    left_out: str = ""


_GONE = RunState(
    status=RunStatus.FAILED,
    error_code=ErrorCodes.NOT_FOUND,
    error_message="What ran was deleted before its end was recorded",
)


def follow(job: Job) -> Job:
    """Record what happened in a job's run since the last look; return the job as it stands then.

    An end whose artifact cannot be stored now stays unrecorded: the next look tries again.
    """
    if job.kind not in endpoint_registry:
        return job
    backend = endpoint_registry.get(job.kind)
    with tenant_scope(job.tenant_id):
        state = backend.state(job.run_id)
        if state is None:
            if job.finished_at is not None:
                return job
            state = _GONE
        changes = _new_changes(backend, job)
        if not changes and state.status == job.status:
            return job
        try:
            outcome = _outcome(job, backend, state)
        except artifacts.ArtifactNotStored:
            logger.exception("jobs.artifact_not_stored", extra={"job": str(job.id)})
            return job
        return _recorded(job, state, changes, outcome)


def settle_ended() -> int:
    """Follow the jobs whose end nobody has recorded yet; return how many there were (the duty `jobs`)."""
    jobs = list(ended_unrecorded()[:BATCH])
    for job in jobs:
        try:
            follow(job)
        except Exception:
            # A run its backend cannot tell about must not keep the others from ending.
            logger.exception("jobs.not_followed", extra={"job": str(job.id)})
    return len(jobs)


def append(job: Job, type: str, data: dict[str, Any], at: datetime | None = None) -> JobEvent:
    """Add an event to a job whose row the caller holds; the caller saves the job."""
    job.event_count += 1
    return JobEvent.all_tenants.create(
        tenant_id=job.tenant_id,
        job=job,
        number=job.event_count,
        type=type,
        data=redact(data),
        created_at=at or timezone.now(),
    )


def _new_changes(backend: EndpointBackend, job: Job) -> Sequence[RunChange]:
    room = MAX_EVENTS - job.event_count
    return backend.changes(job.run_id, after=job.seen_seq, limit=room) if room > 0 else ()


def _recorded(job: Job, state: RunState, changes: Sequence[RunChange], outcome: Outcome) -> Job:
    is_kept = False
    try:
        found, is_kept = _write(job, state, changes, outcome)
        return found
    finally:
        if outcome.file is not None and not is_kept:
            artifacts.discard(outcome.file)


@transaction.atomic
def _write(job: Job, state: RunState, changes: Sequence[RunChange], outcome: Outcome) -> tuple[Job, bool]:
    """Write what was seen and tell whether the artifact is part of it; nothing when somebody else was faster."""
    held = Job.all_tenants.select_for_update().filter(pk=job.pk).first()
    if held is None or (held.seen_seq, held.status) != (job.seen_seq, job.status):
        return held or job, False
    for change in changes:
        append(held, change.type, dict(change.data), change.at)
        held.seen_seq = max(held.seen_seq, change.seq)
    is_moved = state.status != held.status
    if is_moved:
        _move(held, state, outcome)
    held.save()
    return held, is_moved


def _move(job: Job, state: RunState, outcome: Outcome) -> None:
    """Give the job the status of its run, with all that comes with it."""
    ended_at = (state.finished_at or timezone.now()) if state.status.is_terminal else None
    job.status = state.status
    job.started_at, job.finished_at = state.started_at, ended_at
    job.error_code, job.error_message = state.error_code, state.error_message
    job.output = outcome.output
    file = outcome.file
    if file is not None:
        file.save(force_insert=True)
        append(job, "artifact", {"id": str(file.id), "name": file.name, "size": file.size})
    if outcome.left_out:
        append(job, "left_out", {"message": outcome.left_out})
    error = {"code": job.error_code, "message": job.error_message} if job.error_code else None
    append(job, "status", {"status": job.status, "error": error}, ended_at)


def _outcome(job: Job, backend: EndpointBackend, state: RunState) -> Outcome:
    if state.status != RunStatus.SUCCESS or job.status == RunStatus.SUCCESS:
        return Outcome(job.output)
    output = redact(backend.output(job.run_id))
    content = orjson.dumps(output, option=orjson.OPT_NON_STR_KEYS)
    is_short = len(content) <= INLINE_BYTES
    if is_short and not job.wants_artifact:
        return Outcome(output)
    try:
        file = artifacts.put(job, OUTPUT_NAME, content, content_type="application/json")
    except artifacts.ArtifactTooLarge as error:
        logger.warning("jobs.output_left_out", extra={"job": str(job.id), "error": error.message})
        return Outcome(None, left_out=error.message)
    return Outcome(output if is_short else None, file)
