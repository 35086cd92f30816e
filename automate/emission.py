"""How an event is stored: checked, encoded, and put into the outbox with its row, a whole batch in one statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from automate_core import conf, metrics, sql
from automate_core.arrays import plain, quoted
from automate_core.context import current_cause, current_trace_id
from automate_core.errors import Problem, ValidationFailed
from automate_core.ids import uuid7
from automate_core.models import current_tenant_id
from automate_core.outbox import doorbell
from automate_core.outbox.statements import TABLE as OUTBOX

MAX_TYPE_LENGTH = 255
OWN_SOURCES = frozenset({"schedule", "model", "execution", "approval"})
"""Sources only this package emits from; nobody outside may claim them."""

# Rows are inserted in the order of their keys, so that two batches with the same keys wait and never deadlock.
EMIT = f"""
WITH given AS MATERIALIZED (
  SELECT * FROM unnest(%(ids)s::uuid[], %(tenants)s::uuid[], %(types)s::text[], %(sources)s::text[],
    %(payloads)s::jsonb[], %(keys)s::text[], %(prior_keys)s::text[], %(traces)s::text[], %(causes)s::uuid[],
    %(depths)s::int2[]) AS g(id, tenant_id, type, source, payload, key, prior_key, trace_id, cause, depth)),
made AS (
  INSERT INTO automate_event (id, tenant_id, type, source, payload, dedupe_key, trace_id, cause_execution_id, depth)
  SELECT id, tenant_id, type, source, payload, key, trace_id, cause, depth FROM given g
  WHERE prior_key IS NULL OR NOT EXISTS (
    SELECT 1 FROM automate_event e WHERE e.tenant_id = g.tenant_id AND e.source = g.source
      AND e.dedupe_key = g.prior_key AND e.created_at > clock_timestamp() - interval '300 seconds')
  ORDER BY tenant_id, source, key
  ON CONFLICT (tenant_id, source, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
  RETURNING id, tenant_id, trace_id),
queued AS (
  INSERT INTO {OUTBOX} (tenant_id, kind, payload, trace_id, max_attempts)
  SELECT tenant_id, 'event', jsonb_build_object('event_id', id), trace_id, %(max_attempts)s FROM made)
SELECT id::text FROM made
"""

FIND = """
SELECT g.n, e.id::text FROM unnest(%(tenants)s::uuid[], %(sources)s::text[], %(keys)s::text[], %(prior_keys)s::text[])
  WITH ORDINALITY AS g(tenant_id, source, key, prior_key, n)
JOIN automate_event e ON e.tenant_id = g.tenant_id AND e.source = g.source AND e.dedupe_key IN (g.key, g.prior_key)
"""


class EventTooDeep(ValidationFailed):
    """The chain of events caused by executions caused by events is too long; the workflows probably form a loop."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event about to be stored; `payload` is JSON text. `prior_key` makes a repeat within 5 minutes one too."""

    id: str
    tenant_id: str
    type: str
    source: str
    payload: str
    key: str | None
    trace_id: str
    prior_key: str | None = None
    cause_execution_id: str | None = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Emitted:
    """The event that stands for what was emitted, and whether it is new."""

    event_id: str
    created: bool


def emit(
    type: str,
    payload: Mapping[str, Any],
    dedupe_key: str | None = None,
    *,
    source: str = "",
    tenant_id: UUID | None = None,
) -> Emitted:
    """Store an event as `emit_event` does; also tell whether it is new. At most two statements."""
    event = new_event(type, payload, dedupe_key, source=source, tenant_id=tenant_id or current_tenant_id())
    if emit_batch([event]):
        return Emitted(event.id, created=True)
    return Emitted(sql.execute(FIND, params_to_find(batch_params([event])))[0][1], created=False)


def emit_batch(events: Sequence[NewEvent]) -> list[str]:
    """Store events in one statement of the current transaction; return the ids of those that are new."""
    if not events:
        return []
    made = [row[0] for row in sql.execute(EMIT, batch_params(events))]
    if made:
        transaction.on_commit(doorbell.ring, robust=True)
    ids = set(made)
    for source, count in Counter(event.source for event in events if event.id in ids).items():
        metrics.events_ingested.labels(source_kind=source if source in OWN_SOURCES else "code").inc(count)
    return made


def new_event(
    type: Any,
    payload: Any,
    dedupe_key: Any = None,
    *,
    source: str = "",
    tenant_id: UUID,
    prior_key: str | None = None,
) -> NewEvent:
    """Check and encode an event; raises ValidationFailed naming every wrong field."""
    problems = []
    if not _is_storable(type, MAX_TYPE_LENGTH):
        problems.append(Problem("type", f"must be a string of 1 to {MAX_TYPE_LENGTH} characters"))
    if dedupe_key is not None and not _is_storable(dedupe_key, 255):
        problems.append(Problem("dedupe_key", "must be a string of 1 to 255 characters, or absent"))
    if source and not _is_storable(source, 100):
        problems.append(Problem("source", "must be a string of at most 100 characters"))
    text = ""
    if not isinstance(payload, Mapping):
        problems.append(Problem("payload", "must be an object"))
    else:
        try:
            text = orjson.dumps(dict(payload)).decode()
        except TypeError as error:
            problems.append(Problem("payload", f"must be JSON: {error}"))
        if "\\u0000" in text and "\\u0000" in text.replace("\\\\", ""):
            problems.append(Problem("payload", "must not contain the NUL character"))
    if problems:
        raise ValidationFailed.of(problems)
    cause = current_cause()
    if cause and cause.depth > conf.get().MAX_CAUSATION_DEPTH:
        raise EventTooDeep(
            f"Event {type!r} would be number {cause.depth} in a chain of events and executions; "
            f"at most {conf.get().MAX_CAUSATION_DEPTH} are allowed"
        )
    return NewEvent(
        str(uuid7()), str(tenant_id), type, source, text, dedupe_key, current_trace_id(), prior_key,
        str(cause.execution_id) if cause else None, cause.depth if cause else 0,
    )  # fmt: skip


def _is_storable(text: Any, longest: int) -> bool:
    """Tell whether a value is a text of the right length without the characters PostgreSQL cannot hold."""
    if not isinstance(text, str) or not 1 <= len(text) <= longest or "\x00" in text:
        return False
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def batch_params(events: Sequence[NewEvent]) -> dict[str, Any]:
    """Return the parameters of EMIT for a batch."""
    return {
        "ids": plain(event.id for event in events),
        "tenants": plain(event.tenant_id for event in events),
        "types": quoted(event.type for event in events),
        "sources": quoted(event.source for event in events),
        "payloads": quoted(event.payload for event in events),
        "keys": quoted(event.key for event in events),
        "prior_keys": quoted(event.prior_key for event in events),
        "traces": quoted(event.trace_id for event in events),
        "causes": plain(event.cause_execution_id for event in events),
        "depths": plain(event.depth for event in events),
        "max_attempts": conf.get().MAX_CLAIMS,
    }


def params_to_find(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of FIND for the same batch."""
    return {name: params[name] for name in ("tenants", "sources", "keys", "prior_keys")}
