"""Group commit of what happened to executions: one statement for a whole batch, fenced row by row.

A change names the outbox item whose lease allows it. The statement takes (or keeps) each item only where owner and
epoch still match, and writes only the rows of items it got, so one lost lease never spoils its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from automate.executions.rows import Change, ExecutionRow, FollowUp, Recorded, StepRow
from automate_core import sql
from automate_core.arrays import plain, quoted
from automate_core.outbox.statements import TABLE as OUTBOX

_MINE = (
    "o.id = fence.id AND o.lease_owner = %(worker)s AND o.lease_epoch = fence.epoch AND o.status = 'CLAIMED'"
)

_FENCE = f"""
WITH fence AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::bigint[], %(epochs)s::bigint[], %(settles)s::bool[]) AS f(id, epoch, settles)),
gone AS (DELETE FROM {OUTBOX} o USING fence WHERE fence.settles AND {_MINE} RETURNING o.id),
kept AS (SELECT o.id FROM {OUTBOX} o JOIN fence ON NOT fence.settles AND {_MINE} FOR UPDATE OF o),
held AS MATERIALIZED (SELECT id FROM gone UNION ALL SELECT id FROM kept)"""

_MADE = """,
made AS (
  INSERT INTO automate_execution (id, tenant_id, automation_id, version_id, event_id, event_type, trigger_id, status,
    context, trace_id, cause_execution_id, depth, priority, seq, marks, error_code, error_summary, output,
    created_at, started_at, finished_at)
  SELECT e.id, e.tenant, e.automation, e.version, e.event, e.type, e.trigger, e.status, e.context, e.trace, e.cause,
    e.depth, e.priority, e.seq, e.marks, e.error_code, e.error_summary, e.output, to_timestamp(e.started),
    to_timestamp(e.started), to_timestamp(e.finished)
  FROM unnest(%(m_item)s::bigint[], %(m_id)s::uuid[], %(m_tenant)s::uuid[], %(m_automation)s::uuid[],
    %(m_version)s::uuid[], %(m_event)s::uuid[], %(m_type)s::text[], %(m_trigger)s::uuid[], %(m_status)s::text[],
    %(m_context)s::jsonb[], %(m_trace)s::text[], %(m_cause)s::uuid[], %(m_depth)s::int2[],
    %(m_priority)s::int2[], %(m_seq)s::int4[], %(m_marks)s::text[],
    %(m_error_code)s::text[], %(m_error_summary)s::text[], %(m_output)s::jsonb[], %(m_started)s::float8[],
    %(m_finished)s::float8[])
    AS e(item, id, tenant, automation, version, event, type, trigger, status, context, trace, cause, depth, priority,
      seq, marks, error_code, error_summary, output, started, finished)
  JOIN held ON held.id = e.item
  ON CONFLICT (event_id, trigger_id)
    WHERE replay_of_id IS NULL AND event_id IS NOT NULL AND trigger_id IS NOT NULL DO NOTHING
  RETURNING id)"""

_CHANGED = """,
changed AS (
  UPDATE automate_execution x SET status = e.status, version_id = e.version, seq = e.seq,
    marks = x.marks || e.marks, error_code = e.error_code, error_summary = e.error_summary, output = e.output,
    started_at = coalesce(x.started_at, to_timestamp(e.started)), finished_at = to_timestamp(e.finished)
  FROM unnest(%(c_item)s::bigint[], %(c_id)s::uuid[], %(c_status)s::text[], %(c_version)s::uuid[], %(c_seq)s::int4[],
    %(c_marks)s::text[], %(c_error_code)s::text[], %(c_error_summary)s::text[], %(c_output)s::jsonb[],
    %(c_pokes)s::int4[], %(c_started)s::float8[], %(c_finished)s::float8[])
    AS e(item, id, status, version, seq, marks, error_code, error_summary, output, pokes, started, finished)
  JOIN held ON held.id = e.item
  WHERE x.id = e.id AND x.finished_at IS NULL
  RETURNING x.id, x.pokes <> e.pokes AS poked)"""

_STEPS = """,
stepped AS (
  INSERT INTO automate_steprun (id, tenant_id, execution_id, path, node_key, node_type, attempt, status, effect, route,
    input_data, output_data, variables, error_code, error_message, seq, marks, wake_at, started_at,
    finished_at{waits})
  SELECT s.id, s.tenant, s.execution, s.path, s.node_key, s.node_type, s.attempt, s.status, s.effect, s.route,
    s.input, s.output, s.variables, s.error_code, s.error_message, s.seq, s.marks, to_timestamp(s.wake),
    to_timestamp(s.started), to_timestamp(s.finished){waits_of_s}
  FROM unnest(%(s_item)s::bigint[], %(s_id)s::uuid[], %(s_tenant)s::uuid[], %(s_execution)s::uuid[],
    %(s_path)s::text[], %(s_node_key)s::text[], %(s_node_type)s::text[], %(s_attempt)s::int2[], %(s_status)s::text[],
    %(s_effect)s::text[], %(s_route)s::text[], %(s_input)s::jsonb[], %(s_output)s::jsonb[], %(s_variables)s::jsonb[],
    %(s_error_code)s::text[], %(s_error_message)s::text[], %(s_seq)s::int4[], %(s_marks)s::text[], %(s_wake)s::float8[],
    %(s_started)s::float8[], %(s_finished)s::float8[], %(s_new)s::bool[]{waits_given})
    AS s(item, id, tenant, execution, path, node_key, node_type, attempt, status, effect, route, input, output,
      variables, error_code, error_message, seq, marks, wake, started, finished, is_new{waits})
  JOIN held ON held.id = s.item
  WHERE {allowed}
  ON CONFLICT (execution_id, path, attempt) DO UPDATE SET status = excluded.status, route = excluded.route,
    output_data = excluded.output_data, variables = excluded.variables, error_code = excluded.error_code,
    error_message = excluded.error_message, seq = excluded.seq,
    marks = automate_steprun.marks || excluded.marks, wake_at = excluded.wake_at,
    finished_at = excluded.finished_at{waits_set}
  RETURNING id)"""

# What a step that begins to wait for an answer says besides; left out of the statement when there is none.
_WAITS = {
    "waits": ", wake_token, wake_event, wake_rule",
    "waits_of_s": ", s.wake_token, s.wake_event, s.wake_rule",
    "waits_given": ", %(s_wake_token)s::text[], %(s_wake_event)s::text[], %(s_wake_rule)s::jsonb[]",
    "waits_set": ", wake_token = coalesce(excluded.wake_token, automate_steprun.wake_token),"
    " wake_event = CASE WHEN excluded.status = 'WAITING'"
    " THEN coalesce(excluded.wake_event, automate_steprun.wake_event) END,"
    " wake_rule = coalesce(excluded.wake_rule, automate_steprun.wake_rule)",
}

_QUEUED = f""",
queued AS (
  INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts, available_at, status, attempts,
    lease_owner, lease_epoch, lease_renewed_at, lease_expires_at)
  SELECT q.tenant, q.kind, q.priority, jsonb_build_object('execution_id', q.execution), q.trace, q.max_attempts,
    CASE WHEN q.at IS NULL OR {{poked}} THEN clock_timestamp() ELSE to_timestamp(q.at) END,
    CASE WHEN q.mine THEN 'CLAIMED' ELSE 'PENDING' END, CASE WHEN q.mine THEN 1 ELSE 0 END,
    CASE WHEN q.mine THEN %(worker)s ELSE '' END, CASE WHEN q.mine THEN 1 ELSE 0 END,
    CASE WHEN q.mine THEN clock_timestamp() END,
    CASE WHEN q.mine THEN clock_timestamp() + make_interval(secs => %(lease)s) END
  FROM unnest(%(q_item)s::bigint[], %(q_execution)s::uuid[], %(q_tenant)s::uuid[], %(q_priority)s::int2[],
    %(q_trace)s::text[], %(q_at)s::float8[], %(q_max_attempts)s::int2[], %(q_new)s::bool[], %(q_kind)s::text[],
    %(q_on_poke)s::bool[], %(q_mine)s::bool[])
    AS q(item, execution, tenant, priority, trace, at, max_attempts, is_new, kind, on_poke, mine)
  JOIN held ON held.id = q.item
  WHERE {{allowed}} AND (NOT q.on_poke OR {{poked}})
  RETURNING id, payload ->> 'execution_id' AS execution, status)"""

# What another dispatch of the same event had stored already.
_UNMADE = """
UNION ALL SELECT NULL, m.id::text, NULL FROM unnest(%(m_id)s::uuid[]) AS m(id)
WHERE m.id NOT IN (SELECT id FROM made)"""

# A probe of a table that is empty unless somebody looks on.
_WATCHED = """
UNION ALL SELECT NULL, NULL, w.automation_id::text FROM automate_livewatch w
WHERE w.automation_id = ANY(%(about)s::uuid[]) AND w.expires_at > statement_timestamp()"""

# Columns that may hold any text; all others are numbers, ids, or words of ours.
_TEXTS = frozenset(
    {
        "context", "type", "trace", "path", "node_key", "node_type", "route", "input", "output", "variables",
        "error_code", "error_message", "error_summary", "wake_token", "wake_event", "wake_rule", "kind", "marks",
    }
)  # fmt: skip


def record(changes: Sequence[Change], *, worker: str, lease_seconds: float) -> Recorded:
    """Write what happened, in one statement and (outside a transaction) one commit.

    Args:
        changes: at most one for each outbox item.
        worker: owner of the leases.
        lease_seconds: lease of follow-ups that stay with this worker.

    Returns:
        Which items' leases held. Nothing was written for the others.
    """
    params: dict[str, Any] = {
        "worker": worker,
        "lease": lease_seconds,
        "ids": plain(change.item.id for change in changes),
        "epochs": plain(change.item.epoch for change in changes),
        "settles": plain(change.settles for change in changes),
    }
    made = [(change.item.id, row) for change in changes for row in change.made]
    changed = [(change.item.id, row) for change in changes for row in change.changed]
    steps = [(change.item.id, row) for change in changes for row in change.steps]
    queued = [(change.item.id, row) for change in changes for row in change.follow_ups]
    new = {row.id for _, row in made}
    statement = _FENCE
    if made:
        statement += _MADE
        _made_params(params, made)
    if changed:
        statement += _CHANGED
        _changed_params(params, changed)
    if steps:
        allowed = "NOT s.is_new OR s.execution IN (SELECT id FROM made)" if made else "NOT s.is_new"
        waits = any(row.awaits for _, row in steps)
        statement += _STEPS.format(allowed=allowed, **(_WAITS if waits else dict.fromkeys(_WAITS, "")))
        _step_params(params, steps, new)
        if waits:
            _wait_params(params, steps)
    if queued:
        statement += _QUEUED.format(
            allowed="(NOT q.is_new OR q.execution IN (SELECT id FROM made))" if made else "NOT q.is_new",
            poked="EXISTS (SELECT FROM changed c WHERE c.id = q.execution AND c.poked)"
            if changed
            else "false",
        )
        _queued_params(params, queued, new)
    statement += "\nSELECT id, NULL::text AS execution, NULL::text AS watched FROM held"
    if queued:
        statement += "\nUNION ALL SELECT id, execution, NULL FROM queued WHERE status = 'CLAIMED'"
    if made:
        statement += _UNMADE
    statement += _WATCHED
    params["about"] = plain({row.automation_id for change in changes for row in change.about})
    rows = sql.execute(statement, params)
    return Recorded(
        held=frozenset(row[0] for row in rows if row[1] is None and row[0] is not None),
        leased={row[1]: row[0] for row in rows if row[1] is not None and row[0] is not None},
        watched=frozenset(row[2] for row in rows if row[2] is not None),
        unmade=frozenset(row[1] for row in rows if row[1] is not None and row[0] is None),
    )


def _columns(
    params: dict[str, Any], prefix: str, names: Iterable[str], rows: Sequence[tuple[Any, ...]]
) -> None:
    for name, column in zip(names, zip(*rows, strict=True), strict=True):
        params[prefix + name] = quoted(column) if name in _TEXTS else plain(column)


def _made_params(params: dict[str, Any], rows: list[tuple[int, ExecutionRow]]) -> None:
    names = (
        "item id tenant automation version event type trigger status context trace cause depth priority seq marks"
        " error_code error_summary output started finished"
    )
    _columns(
        params,
        "m_",
        names.split(),
        [
            (
                item, row.id, row.tenant_id, row.automation_id, row.version_id, row.event_id, row.event_type,
                row.trigger_id, row.status, row.context, row.trace_id, row.cause_execution_id, row.depth, row.priority,
                row.seq, row.marks, row.error_code, row.error_summary, row.output, row.started_at, row.finished_at,
            )
            for item, row in rows
        ],
    )  # fmt: skip


def _changed_params(params: dict[str, Any], rows: list[tuple[int, ExecutionRow]]) -> None:
    names = "item id status version seq marks error_code error_summary output pokes started finished"
    _columns(
        params,
        "c_",
        names.split(),
        [
            (
                item, row.id, row.status, row.version_id, row.seq, row.marks, row.error_code, row.error_summary,
                row.output, row.pokes, row.started_at, row.finished_at,
            )
            for item, row in rows
        ],
    )  # fmt: skip


def _step_params(params: dict[str, Any], rows: list[tuple[int, StepRow]], new: set[str]) -> None:
    names = (
        "item id tenant execution path node_key node_type attempt status effect route input output variables"
        " error_code error_message seq marks wake started finished new"
    )
    _columns(
        params,
        "s_",
        names.split(),
        [
            (
                item, row.id, row.tenant_id, row.execution_id, row.path, row.node_key, row.node_type, row.attempt,
                row.status, row.effect, row.route, None if row.is_stored else row.input_data, row.output_data,
                row.variables, row.error_code,
                row.error_message, row.seq, row.marks, row.wake_at, row.started_at, row.finished_at,
                row.execution_id in new,
            )
            for item, row in rows
        ],
    )  # fmt: skip


def _wait_params(params: dict[str, Any], rows: list[tuple[int, StepRow]]) -> None:
    names = ["wake_token", "wake_event", "wake_rule"]
    _columns(params, "s_", names, [(row.wake_token, row.wake_event, row.wake_rule) for _, row in rows])


def _queued_params(params: dict[str, Any], rows: list[tuple[int, FollowUp]], new: set[str]) -> None:
    _columns(
        params,
        "q_",
        ["item", "execution", "tenant", "priority", "trace", "at", "max_attempts", "new", "kind", "on_poke", "mine"],
        [
            (
                item, row.execution_id, row.tenant_id, row.priority, row.trace_id, row.available_at,
                row.max_attempts, row.execution_id in new, row.kind, row.on_poke, row.is_kept,
            )
            for item, row in rows
        ],
    )  # fmt: skip
