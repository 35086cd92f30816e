"""What follows the end of an execution: caller told, place given on, error workflow started, calls called off.

An item `finished` is completed in the transaction that does what it asks for, so each of these happens once, however
often the worker is lost in between.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import DatabaseError, InterfaceError, OperationalError, transaction

from automate.approvals import states as approvals
from automate.enums import ExecutionStatus
from automate.executions import control, finished, signals, watchers
from automate.executions.signals import Answer, NothingWaits
from automate.executions.start import start_execution
from automate.limits import gate
from automate_core import conf, metrics, sql
from automate_core.arrays import plain
from automate_core.context import Cause, cause_scope, tenant_scope, trace_scope
from automate_core.errors import AutomateError, ErrorCodes
from automate_core.outbox.base import ClaimedItem, LeaseLost
from automate_core.outbox.handlers import OutboxHandler

logger = logging.getLogger(__name__)

_ENDED = """
SELECT x.id::text, x.tenant_id, x.status, x.error_code, x.error_summary, x.output::text, x.trace_id, x.depth,
  coalesce(a.slug, ''), v.graph #>> '{settings,error_workflow}', failed.path,
  CASE WHEN x.status = 'FAILED' THEN coalesce(e.payload, x.context)::text END
FROM automate_execution x
LEFT JOIN automate_automation a ON a.id = x.automation_id
LEFT JOIN automate_workflowversion v ON v.id = coalesce(x.version_id, a.live_version_id)
LEFT JOIN automate_event e ON e.id = x.event_id
LEFT JOIN LATERAL (
  SELECT s.path FROM automate_steprun s WHERE x.status = 'FAILED' AND s.execution_id = x.id AND s.status = 'FAILED'
    AND s.wake_at IS NULL AND s.error_code = x.error_code ORDER BY s.seq LIMIT 1) failed ON true
WHERE x.id = ANY(%(ids)s::uuid[]) AND x.finished_at IS NOT NULL
"""

# The step knows which execution it waits for: a later try waits for another one. In the order in which callers lock.
_CALLERS = """
SELECT c.id::text, s.id::text
FROM automate_execution c JOIN automate_steprun s ON s.execution_id = c.parent_execution_id AND s.path = c.parent_path
WHERE c.id = ANY(%(ids)s::uuid[]) AND c.finished_at IS NOT NULL AND s.status = 'WAITING' AND s.answer IS NULL
  AND coalesce(s.output_data ->> 'execution_id', c.id::text) = c.id::text
ORDER BY c.parent_execution_id, c.id
"""

# A step of a buried execution still waits: the execution may be put back.
_CALLED = """
SELECT c.id::text FROM automate_execution x JOIN automate_execution c ON c.parent_execution_id = x.id
WHERE x.id = ANY(%(ids)s::uuid[]) AND x.status IN ('CANCELLED', 'FAILED') AND c.finished_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM automate_steprun s
                  WHERE s.execution_id = x.id AND s.path = c.parent_path AND s.status = 'WAITING')
"""

_CAUSES = """
WITH RECURSIVE chain AS (
  SELECT x.id AS origin, x.automation_id, x.cause_execution_id, 0 AS length
  FROM automate_execution x WHERE x.id = ANY(%(ids)s::uuid[])
  UNION ALL
  SELECT chain.origin, c.automation_id, c.cause_execution_id, chain.length + 1
  FROM chain JOIN automate_execution c ON c.id = chain.cause_execution_id WHERE chain.length <= %(longest)s)
SELECT DISTINCT chain.origin::text, a.slug FROM chain JOIN automate_automation a ON a.id = chain.automation_id
"""


class EndNotFollowed(AutomateError):
    """The database refused what follows the end of these executions."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An execution that is over; `output` and `given` (its input) are JSON text, `step` is the path that failed."""

    id: str
    tenant_id: UUID
    status: str
    error_code: str
    error_summary: str
    output: str | None
    trace_id: str
    depth: int
    workflow: str
    error_workflow: str | None
    step: str | None
    given: str | None


class FinishedHandler(OutboxHandler):
    """Delivers items of kind `finished`, a claim at a time in one transaction."""

    kinds = (finished.KIND,)

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Do what follows and complete the items; when one cannot be done the drain loop hands them in one by one."""
        try:
            with transaction.atomic():
                follow([str(item.payload["execution_id"]) for item in items])
                if len(self.port.store.complete(items, self.port.worker)) < len(items):
                    raise LeaseLost
        except (OperationalError, InterfaceError):
            raise
        except DatabaseError as error:
            raise EndNotFollowed(f"The database refused what follows the end: {error}") from error
        metrics.outbox_done.labels(kind=finished.KIND).inc(len(items))


def follow(execution_ids: Sequence[str]) -> None:
    """Do what the end of these executions asks for, in the caller's transaction; of one put back, nothing."""
    ids = plain(execution_ids)
    ended = {row[0]: Ended(*row) for row in sql.execute(_ENDED, {"ids": ids})}
    if not ended:
        return
    for execution_id, step_id in sql.execute(_CALLERS, {"ids": ids}):
        _tell(ended[execution_id], step_id)
    watchers.announce(ended)
    gate.release(ended)
    approvals.close_for(ended)
    control.stop(row[0] for row in sql.execute(_CALLED, {"ids": ids}))
    failed = [one for one in ended.values() if one.status == ExecutionStatus.FAILED and one.error_workflow]
    if failed:
        _start_error_workflows(failed)


def _tell(child: Ended, step_id: str) -> None:
    """Answer the step that waits for an execution."""
    if child.status == ExecutionStatus.SUCCESS:
        answer = Answer(output={
            "execution_id": child.id,
            "status": child.status,
            "output": None if child.output is None else orjson.loads(child.output),
        })  # fmt: skip
    else:
        said = child.error_summary or child.error_code
        message = (
            f"The workflow {child.workflow!r} ended {child.status}{f': {said}' if said else ''} ({child.id})"
        )
        answer = Answer(error_code=ErrorCodes.CHILD_FAILED, error_message=message)
    try:
        signals.answer_step(step_id, answer)
    except NothingWaits:
        logger.info("subworkflow.answer_late", extra={"execution": child.id, "step": step_id})


def _start_error_workflows(failed: Sequence[Ended]) -> None:
    """Start what is to run after a failure, but never for a failure it caused itself."""
    params = {"ids": plain(one.id for one in failed), "longest": conf.get().MAX_CAUSATION_DEPTH}
    causes: dict[str, set[str]] = {}
    for execution_id, slug in sql.execute(_CAUSES, params):
        causes.setdefault(execution_id, set()).add(slug)
    for one in failed:
        facts = {"execution": one.id, "workflow": one.workflow, "error_workflow": one.error_workflow}
        if one.error_workflow in causes.get(one.id, ()):
            logger.warning("error_workflow.caused_itself", extra=facts)
            continue
        try:
            _start_error_workflow(one)
        except AutomateError as error:
            logger.error("error_workflow.not_started", extra={**facts, "error": error.message})


def _start_error_workflow(failed: Ended) -> None:
    payload: dict[str, Any] = {
        "execution_id": failed.id,
        "workflow": failed.workflow,
        "status": failed.status,
        "error": {"code": failed.error_code, "message": failed.error_summary, "step": failed.step},
        "trace_id": failed.trace_id,
        "input": None if failed.given is None else orjson.loads(failed.given),
    }
    cause = Cause(UUID(failed.id), failed.depth + 1)
    with tenant_scope(failed.tenant_id), trace_scope(failed.trace_id), cause_scope(cause):
        start_execution(slug=failed.error_workflow or "", payload=payload)
