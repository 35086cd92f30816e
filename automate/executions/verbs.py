"""What may be done to an execution from outside the engine: start, replay, bury, revive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from automate.enums import ExecutionStatus, StepStatus
from automate.models import Automation, Execution, StepRun
from automate_core import conf, sql
from automate_core.context import current_cause, current_trace_id
from automate_core.errors import Conflict, NotFound, Problem, ValidationFailed
from automate_core.outbox import enqueue

_BURY_STEPS = """
UPDATE automate_steprun s SET status = 'FAILED', finished_at = clock_timestamp(),
  error_code = CASE WHEN s.effect = 'at_most_once' THEN 'OUTCOME_UNKNOWN' ELSE 'WORKER_LOST' END,
  error_message = 'The worker stopped during the call'
WHERE s.execution_id = ANY(%(ids)s::uuid[]) AND s.status = 'RUNNING'
RETURNING s.execution_id::text, s.effect
"""

_BURY = """
UPDATE automate_execution x SET status = 'FAILED', finished_at = clock_timestamp(),
  started_at = coalesce(x.started_at, clock_timestamp()), seq = x.seq + 1,
  error_code = CASE WHEN x.id = ANY(%(unknown)s::uuid[]) THEN 'OUTCOME_UNKNOWN' ELSE 'WORKER_LOST' END,
  error_summary = b.error
FROM unnest(%(ids)s::uuid[], %(errors)s::text[]) AS b(id, error)
WHERE x.id = b.id AND x.finished_at IS NULL
"""

_REVIVE = """
UPDATE automate_execution x SET status = 'QUEUED', finished_at = NULL, error_code = '', error_summary = ''
WHERE x.id = ANY(%(ids)s::uuid[]) AND x.status = 'FAILED' AND x.error_code IN ('WORKER_LOST', 'OUTCOME_UNKNOWN')
"""


class ExecutionTooDeep(ValidationFailed):
    """The chain of executions started from inside executions is too long; the workflows probably form a loop."""


def start_execution(*, slug: str, payload: Mapping[str, Any]) -> Execution:
    """Create an execution of the workflow's live version and queue it, in one transaction.

    Raises:
        NotFound, Conflict, ValidationFailed: see `automate.events.run_workflow`.
        ExecutionTooDeep: started too far down a chain of executions.
    """
    context = _plain_payload(payload)
    automation = Automation.objects.filter(slug=slug).first()
    if automation is None:
        raise NotFound(f"There is no workflow {slug!r}")
    if not automation.enabled:
        raise Conflict(f"The workflow {slug!r} is disabled; enable it to run it")
    if automation.live_version_id is None:
        raise Conflict(f"The workflow {slug!r} has no version yet; save a graph first")
    cause = current_cause()
    if cause and cause.depth > conf.get().MAX_CAUSATION_DEPTH:
        raise ExecutionTooDeep(
            f"The run of {slug!r} would be number {cause.depth} in a chain of events and executions; "
            f"at most {conf.get().MAX_CAUSATION_DEPTH} are allowed"
        )
    with transaction.atomic():
        execution = Execution.objects.create(
            automation=automation,
            version_id=automation.live_version_id,
            context=context,
            trace_id=current_trace_id(),
            cause_execution_id=cause.execution_id if cause else None,
            depth=cause.depth if cause else 0,
        )
        queue(execution)
    return execution


def replay(execution: Execution) -> Execution:
    """Queue a new execution of the live version with the same input; the original stays as it is.

    Raises:
        Conflict: the original has not finished, or its workflow has no version.
    """
    if not ExecutionStatus(execution.status).is_terminal:
        raise Conflict(f"Execution {execution.id} is {execution.status}; only a finished one can be replayed")
    automation = execution.automation
    if automation.live_version_id is None:
        raise Conflict(f"The workflow {automation.slug!r} has no version to run")
    with transaction.atomic():
        copy = Execution.all_tenants.create(
            tenant_id=execution.tenant_id,
            automation_id=execution.automation_id,
            version_id=automation.live_version_id,
            event_id=execution.event_id,
            trigger_id=execution.trigger_id,
            context=execution.context,
            replay_of=execution,
            attempt=execution.attempt + 1,
            trace_id=current_trace_id(),
            depth=execution.depth,
        )
        queue(copy)
    return copy


def queue(execution: Execution) -> None:
    """Promise that a worker will run the execution."""
    enqueue(
        kind="execution",
        payload={"execution_id": str(execution.id)},
        priority=execution.priority,
        tenant_id=execution.tenant_id,
    )


def with_calls(execution_ids: Sequence[str | None]) -> set[str]:
    """Return which of these executions have a call whose intent is committed and whose outcome is not."""
    ids = [execution_id for execution_id in execution_ids if execution_id and _is_uuid(execution_id)]
    running = StepRun.all_tenants.filter(execution_id__in=ids, status=StepStatus.RUNNING)
    return {str(found) for found in running.values_list("execution_id", flat=True)}


def bury(given_up: Sequence[tuple[str, str]]) -> None:
    """Fail executions whose worker kept stopping, given as (execution id, reason)."""
    if not given_up:
        return
    ids = [execution_id for execution_id, _ in given_up]
    steps = sql.execute(_BURY_STEPS, {"ids": ids})
    unknown = [execution_id for execution_id, effect in steps if effect == "at_most_once"]
    errors = [error.replace("\x00", "") for _, error in given_up]
    sql.execute(_BURY, {"ids": ids, "errors": errors, "unknown": unknown})


def revive(execution_ids: Sequence[str | UUID]) -> None:
    """Queue buried executions again; their outbox items are already back."""
    if execution_ids:
        sql.execute(_REVIVE, {"ids": [str(execution_id) for execution_id in execution_ids]})


def is_gone(execution_id: str) -> bool:
    """Tell whether an execution was deleted, with its workflow or by itself."""
    return not Execution.all_tenants.filter(pk=execution_id).exists()


def _plain_payload(payload: Any) -> dict[str, Any]:
    """Return the payload as JSON gives it back."""
    if not isinstance(payload, Mapping):
        raise ValidationFailed.of([Problem("payload", "must be an object")])
    try:
        text = orjson.dumps(dict(payload))
    except TypeError as error:
        raise ValidationFailed.of([Problem("payload", f"must be JSON: {error}")]) from error
    if b"\\u0000" in text.replace(b"\\\\", b""):
        raise ValidationFailed.of([Problem("payload", "must not contain the NUL character")])
    plain: dict[str, Any] = orjson.loads(text)
    return plain


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
