"""What was already said of executions, told again from their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from automate.realtime import messages
from automate.realtime.messages import Message
from automate_core import sql

WINDOW = 2_000
"""Numbers of one execution that are read at once."""

# One statement, so that the rows fit together. A row counts that has a mark in the window: its last one is after the
# beginning and its first one before the end.
READ = """
WITH wanted AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::uuid[], %(after)s::int4[]) AS w(id, after))
SELECT x.id::text, x.automation_id::text, NULL AS path, '' AS node_key, '' AS node_type, 0 AS attempt, '' AS route,
  x.error_code, x.error_summary, NULL::float8 AS wake_at, extract(epoch FROM x.started_at)::float8,
  extract(epoch FROM x.finished_at)::float8, x.marks
FROM wanted w JOIN automate_execution x ON x.id = w.id
UNION ALL
SELECT s.execution_id::text, NULL, s.path, s.node_key, s.node_type, s.attempt, s.route, s.error_code, s.error_message,
  extract(epoch FROM s.wake_at)::float8, extract(epoch FROM s.started_at)::float8,
  extract(epoch FROM s.finished_at)::float8, s.marks
FROM wanted w JOIN automate_steprun s ON s.execution_id = w.id AND s.seq > w.after AND s.marks <> ''
  AND substring(s.marks FROM '[0-9]+')::int4 <= w.after + %(window)s
"""

_WATCHED = """
SELECT x.id::text FROM automate_execution x JOIN automate_livewatch w ON w.automation_id = x.automation_id
WHERE x.id = ANY(%(ids)s::uuid[]) AND w.expires_at > statement_timestamp()
"""


@dataclass(slots=True)
class _Execution:
    id: str
    automation_id: str
    error_code: str
    error_summary: str
    started_at: float | None
    finished_at: float | None
    marks: str


@dataclass(slots=True)
class _Step:
    path: str
    node_key: str
    node_type: str
    attempt: int
    route: str
    error_code: str
    error_message: str
    wake_at: float | None
    started_at: float | None
    finished_at: float | None
    marks: str


def params(after: Mapping[str, int]) -> dict[str, object]:
    """Return the parameters of READ for executions, each with the number after which it is told."""
    return {"ids": list(after), "after": list(after.values()), "window": WINDOW}


def tell(rows: Iterable[sql.Row], after: Mapping[str, int]) -> dict[str, tuple[str, list[Message]]]:
    """Return, by execution, its automation and its messages in the window after a number, in order."""
    rows = list(rows)
    executions = {
        row[0]: _Execution(row[0], row[1], *row[7:9], *row[10:13]) for row in rows if row[1] is not None
    }
    said: dict[str, list[Message]] = {
        execution.id: list(messages.of_execution(execution)) for execution in executions.values()
    }
    for row in rows:
        if row[1] is None and row[0] in executions:
            said[row[0]] += messages.of_step(executions[row[0]].automation_id, row[0], _Step(*row[2:13]))
    return {
        execution_id: (
            executions[execution_id].automation_id,
            sorted(one for one in found if after[execution_id] < one.seq <= after[execution_id] + WINDOW),
        )
        for execution_id, found in said.items()
    }


def watched(after: Mapping[str, int]) -> dict[str, list[Message]]:
    """Return what happened to executions since `after`, by automation, of those somebody watches."""
    ids = [row[0] for row in sql.execute(_WATCHED, {"ids": list(after)})]
    if not ids:
        return {}
    since = {execution_id: after[execution_id] for execution_id in ids}
    found: dict[str, list[Message]] = {}
    for automation_id, said in tell(sql.execute(READ, params(since)), since).values():
        found.setdefault(automation_id, []).extend(said)
    return found
