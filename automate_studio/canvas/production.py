"""Production mode: a drawn workflow is started as it is, stopped, and asked how it goes. A task is an execution."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from automate.enums import ExecutionStatus
from automate.executions import verbs
from automate.manual import run_by
from automate.models import Automation, Execution
from automate.realtime.statuses import TASK_WORDS
from automate_core.errors import Conflict, NotFound
from automate_studio.canvas.errors import check_ready
from automate_studio.canvas.records import newest_execution

STOP_WAIT_SECONDS = 5.0
"""How long stopping waits for the end of what was stopped."""
LOOK_SECONDS = 0.05
ATTEMPTS = 1
"""How often a step is tried that names no policy: whoever starts a workflow by hand wants to see failures."""


def start(
    automation: Automation, payload: Mapping[str, Any], *, by: str, user: Any = None, attempts: int = ATTEMPTS
) -> Execution:
    """Queue an execution of what is drawn, and return it.

    Args:
        automation: the workflow.
        payload: its input, a JSON object.
        by: who does it, for the audit trail.
        user: the user who does it, when there is one.
        attempts: how often a step is tried that names no policy of its own.

    Raises:
        InvalidWorkflow: it cannot run yet, with every problem of every node.
        Conflict: the workflow is off.
        NotFound: it was deleted.
    """
    ready = check_ready(automation, by=by, user=user)
    return run_by(by, ready.slug, payload, max_attempts=attempts)


def find_task(automation: Automation, task_id: UUID | None = None) -> Execution:
    """Return an execution of the workflow, the newest by default; raises NotFound."""
    if task_id is None:
        found = newest_execution(automation)
    else:
        found = Execution.all_tenants.filter(automation=automation, pk=task_id).first()
    if found is None:
        which = "has not run yet" if task_id is None else f"has no task {str(task_id)!r}"
        raise NotFound(f"Workflow {automation.slug!r} {which}")
    return found


def stop(automation: Automation, *, by: str, task_id: UUID | None = None) -> Execution:
    """Order an execution to stop, the newest unfinished one by default, and return it as it stands then.

    One that is over already is left as it is: the answer says how it ended.

    Raises:
        NotFound: there is no such execution.
    """
    execution = find_task(automation, task_id)
    if task_id is None and ExecutionStatus(execution.status).is_terminal:
        unfinished = Execution.all_tenants.filter(automation=automation, finished_at__isnull=True)
        execution = unfinished.order_by("-created_at", "-id").first() or execution
    if ExecutionStatus(execution.status).is_terminal:
        return execution
    try:
        return verbs.cancel(execution, by=by, reason="stopped on the canvas")
    except Conflict:
        execution.refresh_from_db()
        return execution


def wait(execution: Execution, *, seconds: float = STOP_WAIT_SECONDS) -> Execution:
    """Wait until the execution is over, but no longer than that; return it as it stands then."""
    deadline = time.monotonic() + seconds
    while not ExecutionStatus(execution.status).is_terminal and time.monotonic() < deadline:
        time.sleep(LOOK_SECONDS)
        execution.refresh_from_db(fields=["status", "finished_at"])
    return execution


def task(execution: Execution) -> dict[str, Any]:
    """Return an execution as the orchestrator API shows it."""
    return {"task_id": str(execution.pk), "status": TASK_WORDS[execution.status]}
