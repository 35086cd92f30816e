"""Executions whose worker was lost for good: failed when their item is given up, queued again when it is put back."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from automate.enums import EffectClass, StepStatus
from automate.executions import finished, notices
from automate.models import Execution, StepRun
from automate_core import conf, sql
from automate_core.outbox.statements import TABLE as OUTBOX

# A loop under way has no call of its own: it is closed, and opened again when its execution is put back.
_BURY_STEPS = f"""
WITH position AS MATERIALIZED ({notices.POSITION}),
under_way AS MATERIALIZED (
  SELECT s.id, position.seq + row_number() OVER (PARTITION BY s.execution_id ORDER BY s.seq, s.id) AS number
  FROM automate_steprun s JOIN position ON position.id = s.execution_id WHERE s.status = 'RUNNING')
UPDATE automate_steprun s SET finished_at = clock_timestamp(), seq = under_way.number,
  marks = s.marks || CASE WHEN s.effect = 'pure' THEN 'x' ELSE 'f' END || under_way.number,
  status = CASE WHEN s.effect = 'pure' THEN 'CANCELLED' ELSE 'FAILED' END,
  error_code = CASE WHEN s.effect = 'at_most_once' THEN 'OUTCOME_UNKNOWN' ELSE 'WORKER_LOST' END,
  error_message = CASE WHEN s.effect = 'pure' THEN 'The worker stopped' ELSE 'The worker stopped during the call' END
FROM under_way WHERE s.id = under_way.id AND s.status = 'RUNNING'
RETURNING s.execution_id::text, s.effect
"""

_BURY = f"""
WITH position AS MATERIALIZED ({notices.POSITION})
UPDATE automate_execution x SET status = 'FAILED', finished_at = clock_timestamp(),
  started_at = coalesce(x.started_at, clock_timestamp()), seq = position.seq + 1,
  marks = x.marks || 'f' || position.seq + 1,
  error_code = CASE WHEN x.id = ANY(%(unknown)s::uuid[]) THEN 'OUTCOME_UNKNOWN' ELSE 'WORKER_LOST' END,
  error_summary = b.error
FROM unnest(%(ids)s::uuid[], %(errors)s::text[]) AS b(id, error) JOIN position ON position.id = b.id
WHERE x.id = b.id AND x.finished_at IS NULL
RETURNING x.id::text
"""

_REVIVE = """
UPDATE automate_execution x SET status = 'QUEUED', finished_at = NULL, error_code = '', error_summary = ''
WHERE x.id = ANY(%(ids)s::uuid[]) AND x.status = 'FAILED' AND x.error_code IN ('WORKER_LOST', 'OUTCOME_UNKNOWN')
RETURNING x.id::text
"""

_REOPEN = """
UPDATE automate_steprun s SET status = 'RUNNING', finished_at = NULL, error_code = '', error_message = ''
WHERE s.execution_id = ANY(%(ids)s::uuid[]) AND s.status = 'CANCELLED' AND s.effect = 'pure'
  AND s.error_code = 'WORKER_LOST'
"""

# Children that ended while nobody was there to be told are told of again.
_TELL_AGAIN = f"""
INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts)
SELECT c.tenant_id, '{finished.KIND}', c.priority, jsonb_build_object('execution_id', c.id), c.trace_id,
  %(max_attempts)s
FROM automate_execution c JOIN automate_steprun s
  ON s.execution_id = c.parent_execution_id AND s.path = c.parent_path AND s.status = 'WAITING' AND s.answer IS NULL
WHERE c.parent_execution_id = ANY(%(ids)s::uuid[]) AND c.finished_at IS NOT NULL
"""


def with_calls(execution_ids: Sequence[str | None]) -> set[str]:
    """Return which of these executions have a call whose intent is committed and whose outcome is not."""
    ids = [execution_id for execution_id in execution_ids if execution_id and _is_uuid(execution_id)]
    running = StepRun.all_tenants.filter(execution_id__in=ids, status=StepStatus.RUNNING)
    running = running.exclude(effect=EffectClass.PURE)  # loops under way
    return {str(found) for found in running.values_list("execution_id", flat=True)}


def bury(given_up: Sequence[tuple[str, str]]) -> None:
    """Fail executions whose worker kept stopping, given as (execution id, reason)."""
    if not given_up:
        return
    ids = [execution_id for execution_id, _ in given_up]
    before = notices.positions(ids)
    steps = sql.execute(_BURY_STEPS, {"ids": ids})
    unknown = [execution_id for execution_id, effect in steps if effect == "at_most_once"]
    errors = [error.replace("\x00", "") for _, error in given_up]
    buried = sql.execute(_BURY, {"ids": ids, "errors": errors, "unknown": unknown})
    if buried:
        notices.announce(before)
        finished.promise(row[0] for row in buried)


def revive(execution_ids: Sequence[str | UUID]) -> None:
    """Queue buried executions again; their outbox items are already back."""
    if not execution_ids:
        return
    revived = sql.execute(_REVIVE, {"ids": [str(execution_id) for execution_id in execution_ids]})
    if revived:
        ids = [row[0] for row in revived]
        sql.execute(_REOPEN, {"ids": ids})
        sql.execute(_TELL_AGAIN, {"ids": ids, "max_attempts": conf.get().MAX_CLAIMS})


def is_gone(execution_id: str) -> bool:
    """Tell whether an execution was deleted, with its workflow or by itself."""
    return not Execution.all_tenants.filter(pk=execution_id).exists()


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
