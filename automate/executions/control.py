"""What may be done to an execution while it is open: cancel, pause, resume, skip a step, retry a step now.

Every verb locks the execution's row first. A worker that parks or ends the execution writes that row too, so a verb
either finds what the worker left behind or leaves a poke that the worker finds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models.functions import Now

from automate.enums import ApprovalStatus, ExecutionStatus
from automate.executions import finished, notices, signals
from automate.executions.signals import Answer, NothingWaits
from automate.models import Execution
from automate_core import audit, conf, metrics, sql
from automate_core.arrays import plain
from automate_core.context import tenant_scope
from automate_core.errors import Conflict, NotFound
from automate_core.outbox.statements import TABLE as OUTBOX

SKIPPED = Answer(output={"skipped": True})
"""What a skipped step is recorded to have returned."""

_LOCK_OPEN = """
WITH RECURSIVE tree AS (
  SELECT id, 0 AS depth FROM automate_execution WHERE id = ANY(%(ids)s::uuid[])
  UNION ALL
  SELECT c.id, tree.depth + 1 FROM tree JOIN automate_execution c ON c.parent_execution_id = tree.id
  WHERE c.finished_at IS NULL AND tree.depth < %(deepest)s)
SELECT id::text FROM automate_execution WHERE id IN (SELECT id FROM tree) AND finished_at IS NULL
ORDER BY id FOR UPDATE
"""

# Two statements: an item that was claimed while the first one waited for it is seen by the second.
_DROP_WAITING = f"""
DELETE FROM {OUTBOX} o
WHERE o.kind = 'execution' AND o.payload ->> 'execution_id' = ANY(%(ids)s::text[]) AND o.status = 'PENDING'
"""
_AT_WORK = f"""
SELECT o.payload ->> 'execution_id' FROM {OUTBOX} o
WHERE o.kind = 'execution' AND o.payload ->> 'execution_id' = ANY(%(ids)s::text[]) AND o.status = 'CLAIMED'
"""

_REQUEST = """
UPDATE automate_execution SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp())
WHERE id = ANY(%(ids)s::uuid[])
"""

# A call that must not run twice, begun by a worker that was lost, may have happened: that is not forgotten.
_END = f"""
WITH position AS MATERIALIZED ({notices.POSITION}),
under_way AS MATERIALIZED (
  SELECT s.id, s.execution_id, s.status = 'RUNNING' AND s.effect = 'at_most_once' AS is_unknown,
    position.seq + row_number() OVER (PARTITION BY s.execution_id ORDER BY s.seq, s.id) AS number
  FROM automate_steprun s JOIN position ON position.id = s.execution_id WHERE s.status IN ('WAITING', 'RUNNING')),
ended AS (
  UPDATE automate_execution x SET status = 'CANCELLED', finished_at = clock_timestamp(), held_at = NULL,
    paused_at = NULL, seq = last.number, marks = x.marks || 'x' || last.number
  FROM (SELECT id, seq + 1 + (SELECT count(*) FROM under_way u WHERE u.execution_id = p.id) AS number
        FROM position p) AS last
  WHERE x.id = last.id)
UPDATE automate_steprun s SET finished_at = clock_timestamp(), seq = u.number, wake_at = NULL, wake_event = NULL,
  marks = s.marks || CASE WHEN u.is_unknown THEN 'f' ELSE 'x' END || u.number,
  status = CASE WHEN u.is_unknown THEN 'FAILED' ELSE 'CANCELLED' END,
  error_code = CASE WHEN u.is_unknown THEN 'OUTCOME_UNKNOWN' ELSE '' END,
  error_message = CASE WHEN u.is_unknown
    THEN 'The worker stopped during the call; whether it took effect is unknown' ELSE '' END
FROM under_way u WHERE s.id = u.id
"""

_LATEST = """s.execution_id = %(execution)s::uuid AND s.path = %(path)s AND s.answer IS NULL AND s.wake_at IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM automate_steprun later WHERE later.execution_id = s.execution_id
                  AND later.path = s.path AND later.attempt > s.attempt)"""

_SKIP_RETRY = f"""
UPDATE automate_steprun s SET answer = %(answer)s::jsonb WHERE {_LATEST} AND s.status = 'FAILED' RETURNING s.id
"""

_RETRY_NOW = f"""
UPDATE automate_steprun s SET wake_at = clock_timestamp()
WHERE {_LATEST} AND (s.status = 'FAILED' OR s.status = 'WAITING' AND s.wake_event IS NULL) RETURNING s.id
"""


def cancel(execution: Execution, *, by: str, reason: str = "") -> Execution:
    """End an execution and those its steps wait for; return it as it stands then.

    What no worker has in hand is CANCELLED at once. What a worker has in hand is asked to stop: its worker starts no
    further step, lets calls under way return for a moment, and then cancels it.

    Args:
        execution: not finished; one that is already asked to stop may be asked again.
        by: who does it, for the audit trail.
        reason: why, for the audit trail.

    Raises:
        Conflict: it has finished.
        NotFound: it was deleted.
    """
    with _opened(execution, by=by, action="execution.cancel", after={"reason": reason}):
        stop([execution.pk])
    return _found(execution)


def pause(execution: Execution, *, by: str) -> Execution:
    """Start no further step of an execution until it is resumed; calls under way return and are recorded.

    Raises:
        Conflict: it has finished, is being cancelled, or is paused already.
    """
    with _opened(execution, by=by, action="execution.pause") as held:
        if held.cancel_requested_at:
            raise Conflict(f"Execution {held.id} is being cancelled; it cannot be paused")
        if held.paused_at:
            raise Conflict(f"Execution {held.id} is paused already")
        Execution.all_tenants.filter(pk=held.pk).update(paused_at=Now())
        signals.poke([held.pk])
    return _found(execution)


def resume(execution: Execution, *, by: str) -> Execution:
    """Let a paused execution go on.

    Raises:
        Conflict: it has finished, or is not paused.
    """
    with _opened(execution, by=by, action="execution.resume") as held:
        if held.paused_at is None:
            raise Conflict(f"Execution {held.id} is not paused")
        Execution.all_tenants.filter(pk=held.pk).update(paused_at=None)
        signals.poke([held.pk])
    return _found(execution)


def skip(execution: Execution, path: str, *, by: str) -> None:
    """Let a step that waits, or waits for its next try, succeed with the output `{"skipped": true}`.

    Raises:
        Conflict: the execution has finished, no step waits at this path, or it is for its assignees to decide.
    """
    with _opened(execution, by=by, action="execution.skip", after={"path": path}) as held:
        if held.approvals.filter(path=path, status=ApprovalStatus.PENDING).exists():
            raise Conflict(f"The step at {path!r} asks for approval; its assignees approve or reject it")
        try:
            signals.answer_path(held.pk, path, SKIPPED)
        except NothingWaits:
            answer = orjson.dumps(SKIPPED.as_data()).decode()
            if not sql.execute(_SKIP_RETRY, {"execution": str(held.pk), "path": path, "answer": answer}):
                raise Conflict(f"No step waits at {path!r} in execution {held.id}") from None
            signals.poke([held.pk])


def retry_now(execution: Execution, path: str, *, by: str) -> None:
    """End the wait of a step for its next try, or of a delay, at once.

    Raises:
        Conflict: the execution has finished, or no step waits for a time at this path.
    """
    with _opened(execution, by=by, action="execution.retry", after={"path": path}) as held:
        if not sql.execute(_RETRY_NOW, {"execution": str(held.pk), "path": path}):
            raise Conflict(f"No step waits for its next try at {path!r} in execution {held.id}")
        signals.poke([held.pk])


def stop(execution_ids: Iterable[UUID | str]) -> None:
    """Cancel the open ones of these executions, and those their steps wait for, in the caller's transaction."""
    roots = plain(sorted({str(execution_id) for execution_id in execution_ids}))
    deepest = conf.get().MAX_CAUSATION_DEPTH
    open_ids = [row[0] for row in sql.execute(_LOCK_OPEN, {"ids": roots, "deepest": deepest})]
    if not open_ids:
        return
    ids = {"ids": plain(open_ids)}
    sql.execute(_DROP_WAITING, ids)
    at_work = {row[0] for row in sql.execute(_AT_WORK, ids)}
    sql.execute(_REQUEST, ids)
    idle = [execution_id for execution_id in open_ids if execution_id not in at_work]
    if idle:
        notices.announce(notices.positions(idle))
        sql.execute(_END, {"ids": plain(idle)})
        finished.promise(idle)
        counter = metrics.executions_finished.labels(status=ExecutionStatus.CANCELLED.value)
        transaction.on_commit(lambda: counter.inc(len(idle)), robust=True)
    if at_work:
        signals.poke(at_work)


@contextmanager
def _opened(
    execution: Execution, *, by: str, action: str, after: dict[str, Any] | None = None
) -> Iterator[Execution]:
    """Open a transaction with the row of an unfinished execution locked, and an audit entry at its end."""
    with tenant_scope(execution.tenant_id), transaction.atomic():
        held = Execution.all_tenants.select_for_update().filter(pk=execution.pk).first()
        if held is None:
            raise NotFound(f"Execution {execution.pk} was deleted")
        if ExecutionStatus(held.status).is_terminal:
            raise Conflict(f"Execution {held.id} is {held.status}; nothing can be done to it but a replay")
        before = _facts(held)
        yield held
        now = Execution.all_tenants.get(pk=held.pk)
        audit.record(
            actor=by,
            action=action,
            target=f"execution:{held.id}",
            before=before,
            after={**_facts(now), **(after or {})},
        )


def _facts(execution: Execution) -> dict[str, Any]:
    return {
        "status": execution.status,
        "paused": execution.paused_at is not None,
        "cancel_requested": execution.cancel_requested_at is not None,
    }


def _found(execution: Execution) -> Execution:
    execution.refresh_from_db()
    return execution
