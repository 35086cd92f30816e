"""The state of a workflow as the database has it: its newest execution and where each of its nodes stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automate.enums import StepStatus
from automate.realtime.messages import DEFAULT_ROUTE, moment, seconds
from automate.realtime.statuses import NEVER_RAN, SOCKET_WORDS
from automate_core import sql

# One statement, so that status, steps and number are of one moment. An iteration's own row is not a node's.
READ = """
WITH x AS MATERIALIZED (
  SELECT id, status, seq, error_code, error_summary, started_at, finished_at FROM automate_execution
  WHERE automation_id = %(workflow)s::uuid AND (%(execution)s::uuid IS NULL OR id = %(execution)s::uuid)
  ORDER BY created_at DESC, id DESC LIMIT 1),
latest AS (
  SELECT DISTINCT ON (s.node_key) s.node_key, s.node_type, s.path, s.status, s.route, s.error_message, s.started_at,
    s.finished_at, s.seq, s.wake_at IS NOT NULL AND x.finished_at IS NULL AS goes_on
  FROM x JOIN automate_steprun s ON s.execution_id = x.id AND right(s.path, 1) <> ']'
  ORDER BY s.node_key, s.seq DESC, s.attempt DESC)
SELECT x.id::text, x.status, greatest(x.seq, coalesce((
    SELECT max(s.seq) FROM automate_steprun s WHERE s.execution_id = x.id), 0)), x.error_code, x.error_summary,
  extract(epoch FROM x.started_at)::float8, extract(epoch FROM x.finished_at)::float8,
  extract(epoch FROM statement_timestamp())::float8,
  l.node_key, l.node_type, l.path, l.status, l.route, l.error_message, extract(epoch FROM l.started_at)::float8,
  extract(epoch FROM l.finished_at)::float8, l.goes_on
FROM x LEFT JOIN latest l ON true ORDER BY l.seq
"""


def params(workflow_id: str, execution_id: str | None = None) -> dict[str, object]:
    """Return the parameters of READ: a workflow, and one of its executions if not the newest."""
    return {"workflow": workflow_id, "execution": execution_id}


def state_of(workflow_id: str, rows: Sequence[sql.Row]) -> dict[str, Any]:
    """Return the `state` of a `state_sync` message."""
    state: dict[str, Any] = {
        "workflow_id": workflow_id,
        "execution_id": None,
        "seq": 0,
        "status": NEVER_RAN,
        "execution_status": None,
        "executing_nodes": {},
        "completed_nodes": [],
        "completed_count": 0,
        "failed_nodes": [],
        "skipped_nodes": [],
        "error": None,
        "started_at": None,
        "finished_at": None,
    }
    if not rows:
        return state
    execution_id, status, seq, code, summary, started_at, finished_at, now = rows[0][:8]
    state |= {
        "execution_id": execution_id,
        "seq": seq,
        "status": SOCKET_WORDS[status],
        "execution_status": status,
        "error": (summary or code) or None,
        "started_at": moment(started_at),
        "finished_at": moment(finished_at),
    }
    for row in rows:
        if row[8] is not None:
            _place(state, row[8:], now)
    state["completed_count"] = len(state["completed_nodes"])
    return state


def _place(state: dict[str, Any], step: Sequence[Any], now: float) -> None:
    key, kind, path, status, route, error, started_at, finished_at, goes_on = step
    node = {"node_id": key, "node_type": kind, "path": path}
    if status in (StepStatus.RUNNING, StepStatus.WAITING) or goes_on:
        state["executing_nodes"][key] = {
            **node,
            "started_at": moment(started_at),
            "duration_seconds": seconds(started_at, now),
            "is_waiting": status != StepStatus.RUNNING,
        }
        return
    node |= {"completed_at": moment(finished_at), "duration_seconds": seconds(started_at, finished_at)}
    if status == StepStatus.SUCCESS:
        state["completed_nodes"].append({**node, "route": route or DEFAULT_ROUTE})
    elif status == StepStatus.SKIPPED:
        state["skipped_nodes"].append(node)
    else:
        state["failed_nodes"].append(
            {**node, "error": error or None, "is_cancelled": status == StepStatus.CANCELLED}
        )
