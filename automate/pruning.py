"""Pruning: removes what is over and old, in short transactions, so that dedupe outlives it.

An event with a dedupe key keeps its row, without its payload: a late repeat still finds it. What an outbox item
or an execution that stays refers to, stays; so does an execution whose replay stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef

from automate.models import Event, Execution
from automate_core import sql
from automate_core.models import Tenant
from automate_core.outbox.statements import TABLE as OUTBOX

BATCH = 1_000
"""Rows one transaction removes at most, so that it never holds locks for long."""
CLOCK_MARGIN = timedelta(days=1)
"""Ids carry the clock of the process that made them; exact times decide, ids only bound the scan."""

Progress = Callable[["Pruned"], None]

_OLD_EXECUTION = f"""x.id < %(bound)s::uuid AND x.finished_at < %(before)s
  AND NOT EXISTS (SELECT 1 FROM {OUTBOX} o WHERE o.kind = 'execution' AND o.payload ->> 'execution_id' = x.id::text)"""

_OLD_EVENT = f"""e.id < %(bound)s::uuid AND e.created_at < %(before)s
  AND NOT EXISTS (SELECT 1 FROM {OUTBOX} o WHERE o.kind = 'event' AND o.payload ->> 'event_id' = e.id::text)
  AND NOT EXISTS (SELECT 1 FROM automate_triggerwindow w
    WHERE w.event_id = e.id AND w.kind = 'debounce' AND w.closed_at IS NULL)"""

_UNUSED = "NOT EXISTS (SELECT 1 FROM automate_execution x WHERE x.event_id = e.id)"

_DELETE_EXECUTIONS = f"""
WITH batch AS MATERIALIZED (
  SELECT x.id FROM automate_execution x
  WHERE x.id > %(after)s::uuid AND {_OLD_EXECUTION}
    AND NOT EXISTS (SELECT 1 FROM automate_execution r WHERE r.replay_of_id = x.id)
  ORDER BY x.id LIMIT %(limit)s FOR UPDATE OF x SKIP LOCKED),
steps AS (DELETE FROM automate_steprun s USING batch WHERE s.execution_id = batch.id RETURNING s.id),
gone AS (DELETE FROM automate_execution x USING batch WHERE x.id = batch.id RETURNING x.id)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM steps), (SELECT id FROM batch ORDER BY id DESC LIMIT 1)
"""

_DELETE_EVENTS = f"""
WITH batch AS MATERIALIZED (
  SELECT e.id FROM automate_event e
  WHERE e.id > %(after)s::uuid AND e.dedupe_key IS NULL AND {_OLD_EVENT} AND {_UNUSED}
  ORDER BY e.id LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED),
gone AS (DELETE FROM automate_event e USING batch WHERE e.id = batch.id RETURNING e.id)
SELECT (SELECT count(*) FROM gone), 0, (SELECT id FROM batch ORDER BY id DESC LIMIT 1)
"""

_BLANK_EVENTS = f"""
WITH batch AS MATERIALIZED (
  SELECT e.id FROM automate_event e
  WHERE e.id > %(after)s::uuid AND e.dedupe_key IS NOT NULL AND e.pruned_at IS NULL AND {_OLD_EVENT} AND {_UNUSED}
  ORDER BY e.id LIMIT %(limit)s FOR UPDATE OF e SKIP LOCKED),
blanked AS (
  UPDATE automate_event e SET payload = '{{}}', pruned_at = clock_timestamp() FROM batch WHERE e.id = batch.id
  RETURNING e.id)
SELECT (SELECT count(*) FROM blanked), 0, (SELECT id FROM batch ORDER BY id DESC LIMIT 1)
"""

# What was decided about an event outlives the event's item by far, and a window what was decided in it.
_DELETE_DECISIONS = """
WITH batch AS MATERIALIZED (
  SELECT id FROM automate_windowedevent WHERE created_at < %(before)s ORDER BY created_at LIMIT %(limit)s),
gone AS (DELETE FROM automate_windowedevent k USING batch WHERE k.id = batch.id RETURNING k.id)
SELECT (SELECT count(*) FROM gone), 0, (SELECT max(id) FROM batch)
"""

_DELETE_WINDOWS = """
WITH batch AS MATERIALIZED (
  SELECT id FROM automate_triggerwindow
  WHERE closes_at < %(before)s AND (kind = 'throttle' OR closed_at IS NOT NULL) ORDER BY closes_at LIMIT %(limit)s),
gone AS (DELETE FROM automate_triggerwindow w USING batch WHERE w.id = batch.id RETURNING w.id)
SELECT (SELECT count(*) FROM gone), 0, (SELECT max(id) FROM batch)
"""

# An execution stays when one of its replays stays, however long the chain of replays.
_COUNT = f"""
WITH RECURSIVE old AS MATERIALIZED (SELECT x.id FROM automate_execution x WHERE {_OLD_EXECUTION}),
needed AS (
  SELECT r.replay_of_id AS id FROM automate_execution r
  WHERE r.replay_of_id IS NOT NULL AND r.id NOT IN (SELECT id FROM old)
  UNION SELECT x.replay_of_id FROM automate_execution x JOIN needed ON x.id = needed.id
  WHERE x.replay_of_id IS NOT NULL),
going AS MATERIALIZED (SELECT id FROM old WHERE id NOT IN (SELECT id FROM needed)),
events AS (
  SELECT e.dedupe_key IS NULL AS deleted FROM automate_event e
  WHERE (e.dedupe_key IS NULL OR e.pruned_at IS NULL) AND {_OLD_EVENT} AND NOT EXISTS (
    SELECT 1 FROM automate_execution x WHERE x.event_id = e.id AND x.id NOT IN (SELECT id FROM going)))
SELECT (SELECT count(*) FROM going),
  (SELECT count(*) FROM automate_steprun s JOIN going ON s.execution_id = going.id),
  (SELECT count(*) FROM events WHERE deleted), (SELECT count(*) FROM events WHERE NOT deleted)
"""


@dataclass(slots=True)
class Pruned:
    """How many rows were removed, or would be."""

    executions: int = 0
    steps: int = 0
    events: int = 0
    payloads: int = 0


def prune(*, before: datetime, batch: int = BATCH, progress: Progress = lambda _: None) -> Pruned:
    """Remove what was over before a moment; safe to interrupt, to repeat and to run twice at once.

    Args:
        before: aware datetime; executions that finished, events that came and windows that closed earlier go.
        batch: most executions or events one transaction removes.
        progress: called after each transaction with the counts so far.
    """
    done = Pruned()
    # Replays go before what they replay, so an original may only be free on a later pass.
    while True:
        deleted = 0
        for count, steps in _batches(_DELETE_EXECUTIONS, before, batch):
            deleted += count
            done.executions += count
            done.steps += steps
            progress(done)
        if not deleted:
            break
    for count, _ in _batches(_DELETE_EVENTS, before, batch):
        done.events += count
        progress(done)
    for count, _ in _batches(_BLANK_EVENTS, before, batch):
        done.payloads += count
        progress(done)
    for statement in (_DELETE_DECISIONS, _DELETE_WINDOWS):
        for _ in _batches(statement, before, batch):
            progress(done)
    return done


def prunable(*, before: datetime) -> Pruned:
    """Count what `prune` would remove, without removing it."""
    return Pruned(*sql.execute(_COUNT, _params(before))[0])


def tenants_with_old(*, before: datetime) -> list[UUID]:
    """Return the tenants that have executions or events from before a moment."""
    events = Event.all_tenants.filter(tenant_id=OuterRef("pk"), created_at__lt=before, pruned_at=None)
    runs = Execution.all_tenants.filter(tenant_id=OuterRef("pk"), created_at__lt=before)
    tenants = Tenant.objects.filter(Exists(events) | Exists(runs)).order_by("id")
    return list(tenants.values_list("id", flat=True))


def _batches(statement: str, before: datetime, limit: int) -> Iterator[tuple[int, int]]:
    params = {**_params(before), "after": UUID(int=0), "limit": limit}
    while True:
        try:
            with transaction.atomic():
                count, more, last = sql.execute(statement, params)[0]
        except IntegrityError:
            # Something came to refer to a row of the batch before we committed; the next look sees it.
            continue
        if last is None:
            return
        yield count, more
        params["after"] = last


def _params(before: datetime) -> dict[str, Any]:
    milliseconds = int((before + CLOCK_MARGIN).timestamp() * 1000)
    # The smallest UUIDv7 of that millisecond (RFC 9562, section 5.7).
    return {"before": before, "bound": UUID(int=milliseconds << 80)}
