"""The gate before limited workflows: executions that came wait, held, until there is a place for their key.

A held execution has `held_at` and no outbox item of its own. Whatever may open the gate (one that came, one that
ended) leaves an outbox item of kind `admit` in its own commit; `automate.admission` handles those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from automate.graph.settings import GraphSettings
from automate.limits import settings
from automate.limits.keys import render_key
from automate.models import Execution
from automate_core import conf, sql
from automate_core.arrays import plain, quoted
from automate_core.outbox import doorbell, enqueue
from automate_core.outbox.statements import TABLE as OUTBOX

KIND = "admit"

# Joined with what they refer to, so that a workflow deleted meanwhile takes nobody's start along but its own.
_STORE = f"""
WITH given AS MATERIALIZED (
  SELECT g.* FROM unnest(%(ids)s::uuid[], %(tenants)s::uuid[], %(automations)s::uuid[], %(versions)s::uuid[],
    %(events)s::uuid[], %(types)s::text[], %(triggers)s::uuid[], %(contexts)s::jsonb[], %(traces)s::text[],
    %(causes)s::uuid[], %(depths)s::int2[], %(priorities)s::int2[], %(keys)s::text[])
    AS g(id, tenant, automation, version, event, type, trigger, context, trace, cause, depth, priority, key)
  JOIN automate_automation a ON a.id = g.automation JOIN automate_trigger t ON t.id = g.trigger
  FOR KEY SHARE OF a, t),
made AS (
  INSERT INTO automate_execution (id, tenant_id, automation_id, version_id, event_id, event_type, trigger_id, status,
    context, trace_id, cause_execution_id, depth, priority, key, held_at)
  SELECT id, tenant, automation, version, event, type, trigger, 'QUEUED', context, trace, cause, depth, priority,
    key, CASE WHEN key IS NOT NULL THEN clock_timestamp() END
  FROM given ORDER BY id
  ON CONFLICT (event_id, trigger_id)
    WHERE replay_of_id IS NULL AND event_id IS NOT NULL AND trigger_id IS NOT NULL DO NOTHING
  RETURNING id, tenant_id, automation_id, key, priority, trace_id),
queued AS (
  INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts)
  SELECT tenant_id, 'execution', priority, jsonb_build_object('execution_id', id), trace_id, %(max_attempts)s
  FROM made WHERE key IS NULL),
asked AS (
  INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts)
  SELECT tenant_id, '{KIND}', max(priority), jsonb_build_object('automation_id', automation_id, 'key', key),
    min(trace_id), %(max_attempts)s
  FROM made WHERE key IS NOT NULL GROUP BY tenant_id, automation_id, key)
SELECT id::text FROM made
"""

_RELEASE = f"""
INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts)
SELECT x.tenant_id, '{KIND}', max(x.priority), jsonb_build_object('automation_id', x.automation_id, 'key', x.key),
  min(x.trace_id), %(max_attempts)s
FROM automate_execution x
WHERE x.id = ANY(%(ids)s::uuid[]) AND x.key IS NOT NULL AND EXISTS (
  SELECT 1 FROM automate_execution h
  WHERE h.automation_id = x.automation_id AND h.key = x.key AND h.held_at IS NOT NULL)
GROUP BY x.tenant_id, x.automation_id, x.key
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Newcomer:
    """An execution that an event starts, not stored yet; ids are strings, `context` is JSON text."""

    id: str
    tenant_id: str
    automation_id: str
    version_id: str
    event_id: str
    event_type: str
    trigger_id: str
    context: str
    trace_id: str
    cause_execution_id: str | None
    depth: int
    priority: int
    key: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """How a new execution enters: its columns `priority`, `key` and `held_at`."""

    priority: int
    key: str | None
    held_at: datetime | None


def key_of(wanted: GraphSettings, automation_id: UUID | str, event: Mapping[str, Any]) -> str | None:
    """Return the key under which an execution takes a place; None when its workflow has no limit."""
    if wanted.concurrency is None:
        return None
    template = wanted.concurrency.key
    return str(automation_id) if template is None else render_key(template, event)


def terms(*, version_id: UUID, automation_id: UUID, event: Mapping[str, Any]) -> Terms:
    """Return how a new execution of a version enters; store it with these columns and then `queue` it.

    Args:
        version_id: the version it will run.
        automation_id: the automation it belongs to.
        event: what its templates see as `event`; needs `payload`.
    """
    wanted = settings.of_versions([str(version_id)]).get(str(version_id), GraphSettings())
    key = key_of(wanted, automation_id, event)
    return Terms(wanted.priority, key, None if key is None else timezone.now())


def queue(execution: Execution) -> None:
    """Promise that a worker will run the execution: at once, or as soon as there is a place for its key."""
    kind, payload = KIND, {"automation_id": str(execution.automation_id), "key": execution.key}
    if execution.held_at is None:
        kind, payload = "execution", {"execution_id": str(execution.id)}
    enqueue(kind=kind, payload=payload, priority=execution.priority, tenant_id=execution.tenant_id)


def store(newcomers: Sequence[Newcomer]) -> int:
    """Store executions, held where they have a key, with the promises that carry them on; return how many are new.

    One statement. One that is there already, because its event was dispatched before, is left alone.
    """
    if not newcomers:
        return 0
    params = {
        "ids": plain(one.id for one in newcomers),
        "tenants": plain(one.tenant_id for one in newcomers),
        "automations": plain(one.automation_id for one in newcomers),
        "versions": plain(one.version_id for one in newcomers),
        "events": plain(one.event_id for one in newcomers),
        "types": quoted(one.event_type for one in newcomers),
        "triggers": plain(one.trigger_id for one in newcomers),
        "contexts": quoted(one.context for one in newcomers),
        "traces": quoted(one.trace_id for one in newcomers),
        "causes": plain(one.cause_execution_id for one in newcomers),
        "depths": plain(one.depth for one in newcomers),
        "priorities": plain(one.priority for one in newcomers),
        "keys": quoted(one.key for one in newcomers),
        "max_attempts": conf.get().MAX_CLAIMS,
    }
    made = sql.execute(_STORE, params)
    if made:
        transaction.on_commit(doorbell.ring, robust=True)
    return len(made)


def release(execution_ids: Iterable[UUID | str]) -> None:
    """Have the places of executions that ended given to those who wait for them, if anybody does. One statement."""
    ids = plain(sorted({str(execution_id) for execution_id in execution_ids}))
    if sql.execute(_RELEASE, {"ids": ids, "max_attempts": conf.get().MAX_CLAIMS}):
        transaction.on_commit(doorbell.ring, robust=True)
