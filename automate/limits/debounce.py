"""Debounced triggers: events are gathered in a window; its latest one starts an execution when they have ceased.

An open window has an outbox item of kind `debounce`, made with it and due when it may close. A window that more
events have kept open by then gets another item.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import ClassVar

import orjson
from django.db import transaction

from automate.graph.settings import GraphSettings
from automate.limits import gate, settings
from automate.limits.refusals import refusals_as_errors
from automate.limits.windows import Candidate, Debounce
from automate_core import conf, metrics, sql
from automate_core.arrays import plain, quoted
from automate_core.ids import uuid7
from automate_core.outbox import doorbell
from automate_core.outbox.base import ClaimedItem
from automate_core.outbox.handlers import OutboxHandler
from automate_core.outbox.statements import TABLE as OUTBOX

logger = logging.getLogger(__name__)

KIND = "debounce"

_ABSORB = f"""
WITH given AS MATERIALIZED (
  SELECT g.*, e.created_at AS at
  FROM unnest(%(tenants)s::uuid[], %(triggers)s::uuid[], %(events)s::uuid[], %(keys)s::text[], %(seconds)s::float8[],
    %(longest)s::float8[]) AS g(tenant, trigger, event, key, seconds, longest)
  JOIN automate_event e ON e.id = g.event JOIN automate_trigger t ON t.id = g.trigger
  FOR KEY SHARE OF t),
fresh AS (
  INSERT INTO automate_windowedevent (trigger_id, event_id, has_passed)
  SELECT trigger, event, false FROM given ORDER BY trigger, event
  ON CONFLICT (trigger_id, event_id) DO NOTHING
  RETURNING trigger_id, event_id),
latest AS MATERIALIZED (
  SELECT DISTINCT ON (trigger, key) given.*, count(*) OVER (PARTITION BY trigger, key) AS number
  FROM given JOIN fresh ON fresh.trigger_id = given.trigger AND fresh.event_id = given.event
  ORDER BY trigger, key, at DESC, event DESC),
opened AS (
  INSERT INTO automate_triggerwindow AS w (tenant_id, trigger_id, kind, key, opened_at, closes_at, closes_by,
    event_id, event_at, events, started)
  SELECT tenant, trigger, '{KIND}', key, clock_timestamp(), clock_timestamp() + make_interval(secs => seconds),
    clock_timestamp() + make_interval(secs => longest), event, at, number, 0
  FROM latest ORDER BY trigger, key
  ON CONFLICT (trigger_id, key) WHERE kind = '{KIND}' AND closed_at IS NULL DO UPDATE SET
    events = w.events + excluded.events,
    closes_at = least(greatest(w.closes_at, excluded.closes_at), w.closes_by),
    event_id = CASE WHEN (excluded.event_at, excluded.event_id) > (w.event_at, w.event_id)
      THEN excluded.event_id ELSE w.event_id END,
    event_at = greatest(w.event_at, excluded.event_at)
  RETURNING w.id, w.tenant_id, w.closes_at, w.xmax = 0 AS is_new)
INSERT INTO {OUTBOX} (tenant_id, kind, payload, available_at, max_attempts)
SELECT tenant_id, '{KIND}', jsonb_build_object('window_id', id), closes_at, %(max_attempts)s
FROM opened WHERE is_new
RETURNING id
"""

_LOCK = """
SELECT id, closes_at <= clock_timestamp() FROM automate_triggerwindow
WHERE id = ANY(%(ids)s::bigint[]) AND closed_at IS NULL ORDER BY id FOR UPDATE
"""

_FACTS = """
SELECT w.tenant_id::text, w.trigger_id::text, w.event_id::text, a.id::text, a.live_version_id::text,
  a.enabled AND t.is_enabled, e.type, e.source, e.payload::text, e.trace_id, e.depth, e.cause_execution_id::text, w.id
FROM automate_triggerwindow w
JOIN automate_trigger t ON t.id = w.trigger_id JOIN automate_automation a ON a.id = t.automation_id
JOIN automate_event e ON e.id = w.event_id
WHERE w.id = ANY(%(ids)s::bigint[]) ORDER BY w.id
"""

_CLOSE = """
UPDATE automate_triggerwindow SET closed_at = clock_timestamp(),
  started = CASE WHEN id = ANY(%(started)s::bigint[]) THEN 1 ELSE 0 END
WHERE id = ANY(%(ids)s::bigint[])
"""

_AGAIN = f"""
INSERT INTO {OUTBOX} (tenant_id, kind, payload, available_at, max_attempts)
SELECT tenant_id, '{KIND}', jsonb_build_object('window_id', id), closes_at, %(max_attempts)s
FROM automate_triggerwindow WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id
"""


def absorb(candidates: Sequence[tuple[Candidate, Debounce]]) -> None:
    """Gather events in the windows of their triggers and keys; one statement.

    An event that was gathered before, by a worker that did not get to the end, is not gathered again.
    """
    if not candidates:
        return
    params = {
        "tenants": plain(one.tenant_id for one, _ in candidates),
        "triggers": plain(one.trigger_id for one, _ in candidates),
        "events": plain(one.event_id for one, _ in candidates),
        "keys": quoted(one.key for one, _ in candidates),
        "seconds": plain(debounce.seconds for _, debounce in candidates),
        "longest": plain(debounce.max_seconds for _, debounce in candidates),
        "max_attempts": conf.get().MAX_CLAIMS,
    }
    sql.execute(_ABSORB, params)


class DebounceHandler(OutboxHandler):
    """Closes the windows that are due, and starts what they gathered."""

    kinds: ClassVar[tuple[str, ...]] = (KIND,)

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Close or prolong the windows of the items, and settle these, in one transaction."""
        with refusals_as_errors(), transaction.atomic():
            close_due([int(item.payload["window_id"]) for item in items])
            done = self.port.store.complete(items, self.port.worker)
        metrics.outbox_done.labels(kind=KIND).inc(len(done))


def close_due(window_ids: Sequence[int]) -> None:
    """Close those of these windows that are due, start their executions, and see to the others again."""
    ids = {"ids": plain(window_ids), "max_attempts": conf.get().MAX_CLAIMS}
    with transaction.atomic():
        locked = sql.execute(_LOCK, ids)
        due = [window_id for window_id, is_due in locked if is_due]
        later = [window_id for window_id, is_due in locked if not is_due]
        if later:
            sql.execute(_AGAIN, {**ids, "ids": plain(later)})
        if due:
            rows = sql.execute(_FACTS, {"ids": plain(due)})
            started = _start([row for row in rows if row[4] is not None and row[5]])
            sql.execute(_CLOSE, {"ids": plain(due), "started": plain(started)})
            if len(started) < len(due):
                logger.info("debounce.switched_off", extra={"windows": len(due) - len(started)})
    transaction.on_commit(doorbell.ring, robust=True)


def _start(rows: Sequence[sql.Row]) -> list[int]:
    """Store the executions of windows, given as rows of _FACTS; return the windows' ids."""
    wanted = settings.of_versions(row[4] for row in rows)
    newcomers = []
    for row in rows:
        (
            tenant_id,
            trigger_id,
            event_id,
            automation_id,
            version_id,
            _,
            kind,
            source,
            payload,
            trace_id,
            *rest,
        ) = row
        rules = wanted.get(version_id, GraphSettings())
        event = {"id": event_id, "type": kind, "source": source, "payload": orjson.loads(payload)}
        context = orjson.dumps({"source": source, "event_type": kind}).decode()
        newcomers.append(
            gate.Newcomer(
                id=str(uuid7()),
                tenant_id=tenant_id,
                automation_id=automation_id,
                version_id=version_id,
                event_id=event_id,
                event_type=kind,
                trigger_id=trigger_id,
                context=context,
                trace_id=trace_id,
                cause_execution_id=rest[1],
                depth=rest[0],
                priority=rules.priority,
                key=gate.key_of(rules, automation_id, event),
            )
        )
    gate.store(newcomers)
    return [row[12] for row in rows]
