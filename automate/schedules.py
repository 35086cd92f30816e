"""Fires due schedules: one event for each fire, however many workers look."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from automate.cron import InvalidSchedule
from automate.emission import NewEvent, emit_batch, new_event
from automate.enums import TriggerType
from automate.timetable import Timetable
from automate_core import sql
from automate_core.arrays import plain

logger = logging.getLogger(__name__)

EVENT_TYPE = "schedule.fired"
BATCH = 500
"""Schedules fired in one transaction, and events stored in one statement."""
ROUNDS = 40
"""Transactions of one look, so that other duties of the worker get their turn."""

# The time of the statement, unlike clock_timestamp(), can be looked up in the index.
_DUE = """
SELECT t.id::text, t.tenant_id::text, t.config::text, t.next_fire_at,
  coalesce(%(now)s::timestamptz, statement_timestamp())
FROM automate_trigger t JOIN automate_automation a ON a.id = t.automation_id
WHERE t.type = 'schedule' AND t.is_enabled AND a.enabled
  AND t.next_fire_at <= coalesce(%(now)s::timestamptz, statement_timestamp())
ORDER BY t.next_fire_at LIMIT %(limit)s
FOR UPDATE OF t SKIP LOCKED
"""

_WAIT = """
UPDATE automate_trigger t SET next_fire_at = g.at
FROM unnest(%(ids)s::uuid[], %(at)s::timestamptz[]) AS g(id, at) WHERE t.id = g.id
"""


def fire_due(*, now: datetime | None = None) -> int:
    """Emit the events of every due schedule and set its next time, batch by batch; return how many were emitted.

    The row lock keeps other workers away, and the event's dedupe key (trigger, fire time) makes a fire unique
    even if two got past it. A schedule that was not looked at for a while does what its `missed` says.

    Args:
        now: the present moment; the database's clock when None.
    """
    fired = 0
    for _ in range(ROUNDS):
        looked_at, emitted = _fire_batch(now)
        fired += emitted
        if looked_at < BATCH:
            break
    return fired


def fire_event(trigger_id: str, tenant_id: str, fire_at: datetime, **more: Any) -> NewEvent:
    """Return the event of one fire; the same fire gives the same dedupe key.

    Args:
        trigger_id: the schedule's trigger.
        tenant_id: its owner.
        fire_at: the time the schedule names.
        more: further members of the payload.
    """
    return new_event(
        EVENT_TYPE,
        {"trigger_id": trigger_id, "fire_at": fire_at.astimezone(UTC).isoformat(), **more},
        f"{trigger_id}:{fire_at.timestamp():.0f}",
        source=TriggerType.SCHEDULE.value,
        tenant_id=UUID(tenant_id),
    )


def _fire_batch(now: datetime | None) -> tuple[int, int]:
    """Fire one batch; return how many schedules were looked at and how many events are new."""
    with transaction.atomic():
        due = sql.execute(_DUE, {"now": now, "limit": BATCH})
        events: list[NewEvent] = []
        following: list[datetime | None] = []
        for trigger_id, tenant_id, config, due_at, present in due:
            fires, at = _fires(trigger_id, orjson.loads(config), due_at, present)
            events += [fire_event(trigger_id, tenant_id, fire) for fire in fires]
            following.append(at)
        # In the order of their keys across statements too: who emits the same ones may wait, and never deadlocks.
        events.sort(key=lambda event: (event.tenant_id, event.key))
        emitted = sum(
            len(emit_batch(events[start : start + BATCH])) for start in range(0, len(events), BATCH)
        )
        if due:
            waiting = plain(at.isoformat() if at else None for at in following)
            sql.execute(_WAIT, {"ids": plain(row[0] for row in due), "at": waiting})
    return len(due), emitted


def _fires(
    trigger_id: str, config: Mapping[str, Any], due_at: datetime, now: datetime
) -> tuple[list[datetime], datetime | None]:
    """Return the times to fire for and when to look again; a schedule that makes no sense is not looked at again."""
    try:
        fires, following = Timetable.parse(config, seed=trigger_id).owed(due_at, now)
    except InvalidSchedule as error:
        logger.error("schedule.invalid", extra={"trigger": trigger_id, "error": error.message})
        return [], None
    return [fire.at for fire in fires], following.due if following else None
