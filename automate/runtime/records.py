"""Reads what is recorded of executions and their steps, for runs that go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from automate.executions import marks
from automate.executions.rows import StepRow
from automate.executions.signals import Answer
from automate_core import sql
from automate_core.arrays import plain

_EXECUTIONS = """
SELECT x.id::text, x.tenant_id::text, x.automation_id::text, coalesce(x.version_id, a.live_version_id)::text,
  x.event_id::text, x.trigger_id::text, x.status, x.context::text, x.trace_id, x.cause_execution_id::text, x.depth,
  x.priority, x.seq, x.started_at, e.type, e.source, e.payload::text, x.output::text, x.pokes,
  x.parent_execution_id::text, x.key, extract(epoch FROM x.cancel_requested_at)::float8, x.paused_at IS NOT NULL,
  x.max_attempts
FROM automate_execution x JOIN automate_automation a ON a.id = x.automation_id
LEFT JOIN automate_event e ON e.id = x.event_id
WHERE x.id = ANY(%(ids)s::uuid[])
"""

_COLUMNS = """s.id::text, s.execution_id::text, s.tenant_id::text, s.path, s.node_key, s.node_type, s.attempt, s.status,
  s.effect, s.route, s.input_data::text, s.output_data::text, s.variables::text, s.error_code, s.error_message, s.seq,
  extract(epoch FROM s.wake_at)::float8, extract(epoch FROM s.started_at)::float8,
  extract(epoch FROM s.finished_at)::float8, s.wake_token, s.wake_event, s.wake_rule::text, s.answer::text, s.marks"""

_TOP = f"""
SELECT '' AS prefix, {_COLUMNS}
FROM automate_steprun s WHERE s.execution_id = ANY(%(ids)s::uuid[]) AND strpos(s.path, '/') = 0
ORDER BY s.execution_id, s.seq
"""

_INSIDE = f"""
SELECT f.prefix, {_COLUMNS}
FROM unnest(%(ids)s::uuid[], %(prefixes)s::text[]) AS f(execution, prefix)
JOIN automate_steprun s ON s.execution_id = f.execution AND starts_with(s.path, f.prefix)
  AND strpos(substr(s.path, length(f.prefix) + 1), '/') = 0
ORDER BY s.execution_id, s.seq
"""

_OF_NODES = f"""
SELECT '' AS prefix, {_COLUMNS}
FROM automate_steprun s WHERE s.execution_id = %(id)s::uuid AND s.node_key = ANY(%(keys)s::text[]) ORDER BY s.seq
"""

_ORDERS = """
SELECT id::text, pokes, extract(epoch FROM cancel_requested_at)::float8, paused_at IS NOT NULL
FROM automate_execution WHERE id = ANY(%(ids)s::uuid[])
"""

_NEWS = """
SELECT execution_id::text, path, extract(epoch FROM wake_at)::float8, answer::text
FROM automate_steprun WHERE execution_id = ANY(%(ids)s::uuid[])
  AND (status = 'WAITING' OR (status = 'FAILED' AND wake_at IS NOT NULL))
"""

Recorded = tuple[StepRow, "Answer | None"]
"""A step's row with the answer it was given, if any."""
Place = tuple[str, str]
"""An execution's id and the prefix of a frame in it."""


def executions(ids: Sequence[str]) -> dict[str, sql.Row]:
    """Return what is stored of these executions, by id."""
    return {row[0]: row for row in sql.execute(_EXECUTIONS, {"ids": ids})}


def top_steps(ids: Iterable[str]) -> dict[Place, list[Recorded]]:
    """Return the steps at the top of executions, in the order in which things happened."""
    return _by_place(sql.execute(_TOP, {"ids": plain(ids)}))


def steps_inside(places: Sequence[Place]) -> dict[Place, list[Recorded]]:
    """Return the steps directly in these frames, in the order in which things happened."""
    params = {"ids": plain(place[0] for place in places), "prefixes": [place[1] for place in places]}
    return _by_place(sql.execute(_INSIDE, params))


def steps_of_nodes(execution_id: str, keys: Sequence[str]) -> list[Recorded]:
    """Return every step of these nodes, wherever it is, in the order in which things happened."""
    return [_recorded(row) for row in sql.execute(_OF_NODES, {"id": execution_id, "keys": keys})]


def orders(ids: Iterable[str]) -> list[sql.Row]:
    """Return (id, pokes, time of the order to cancel, whether paused) of executions."""
    return sql.execute(_ORDERS, {"ids": plain(ids)})


def news(ids: Iterable[str]) -> list[tuple[str, str, float | None, Answer | None]]:
    """Return (execution id, path, time to wake, answer) of the steps of executions that wait."""
    rows = sql.execute(_NEWS, {"ids": plain(ids)})
    return [(row[0], row[1], row[2], _answer(row[3])) for row in rows]


def _by_place(rows: Iterable[sql.Row]) -> dict[Place, list[Recorded]]:
    found: dict[Place, list[Recorded]] = {}
    for row in rows:
        found.setdefault((row[2], row[0]), []).append(_recorded(row))
    return found


def _recorded(row: sql.Row) -> Recorded:
    step = StepRow(*row[1:23])
    step.told, step.is_stored = marks.last_status(row[24]), True
    return step, _answer(row[23])


def _answer(text: str | None) -> Answer | None:
    return Answer.of_data(orjson.loads(text)) if text is not None else None
