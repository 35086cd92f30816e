"""The end of an execution: whether anybody waits to hear of it, and the promise that they will.

The promise is an outbox item of kind `finished`, enqueued in the commit that ends the execution; what is done about
it is in `automate.aftermath`.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.db import transaction

from automate.enums import ExecutionStatus
from automate.executions import watchers
from automate_core import conf, sql
from automate_core.arrays import plain
from automate_core.outbox import doorbell
from automate_core.outbox.statements import TABLE as OUTBOX

KIND = "finished"

_FACTS = """
SELECT x.id::text, x.tenant_id::text, x.automation_id::text, x.parent_execution_id::text, x.key, x.status,
  v.graph #>> '{settings,error_workflow}'
FROM automate_execution x LEFT JOIN automate_automation a ON a.id = x.automation_id
LEFT JOIN automate_workflowversion v ON v.id = coalesce(x.version_id, a.live_version_id)
WHERE x.id = ANY(%(ids)s::uuid[])
"""

_PROMISE = f"""
INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts)
SELECT x.tenant_id, %(kind)s, x.priority, jsonb_build_object('execution_id', x.id), x.trace_id, %(max_attempts)s
FROM automate_execution x WHERE x.id = ANY(%(ids)s::uuid[]) ORDER BY x.id
"""


def is_wanted(
    *,
    parent_execution_id: str | None,
    key: str | None,
    status: str,
    error_workflow: str | None,
    tenant_id: str,
    automation_id: str,
    left_waiting: bool = False,
) -> bool:
    """Tell whether the end of an execution is worth an outbox item of kind `finished`.

    Args:
        parent_execution_id: the execution whose step waits for it.
        key: its concurrency key; somebody may wait for its place.
        status: how it ended.
        error_workflow: slug of the workflow its version wants run when it fails.
        tenant_id: its owner.
        automation_id: what it ran.
        left_waiting: whether steps still waited when it ended; what they waited for is then called off.
    """
    return (
        parent_execution_id is not None
        or key is not None
        or left_waiting
        or status == ExecutionStatus.CANCELLED
        or (status == ExecutionStatus.FAILED and bool(error_workflow))
        or watchers.is_watched(tenant_id, automation_id)
    )


def promise(execution_ids: Iterable[UUID | str]) -> None:
    """Enqueue the item `finished` for those of these ended executions whose end is wanted; two statements at most."""
    ids = plain(sorted({str(execution_id) for execution_id in execution_ids}))
    wanted = [
        execution_id
        for execution_id, tenant_id, automation_id, parent, key, status, error_workflow in sql.execute(
            _FACTS, {"ids": ids}
        )
        if is_wanted(
            parent_execution_id=parent,
            key=key,
            status=status,
            error_workflow=error_workflow,
            tenant_id=tenant_id,
            automation_id=automation_id,
        )
    ]
    if wanted:
        sql.execute(_PROMISE, {"ids": plain(wanted), "kind": KIND, "max_attempts": conf.get().MAX_CLAIMS})
        transaction.on_commit(doorbell.ring, robust=True)
