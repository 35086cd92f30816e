"""Fires due schedules: one event for each fire time, however many workers look."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from django.db import connection, transaction

from automate.cron import InvalidSchedule, Schedule
from automate.enums import TriggerType
from automate.events import emit
from automate.models import Trigger
from automate_core.context import tenant_scope

logger = logging.getLogger(__name__)

EVENT_TYPE = "schedule.fired"
BATCH = 200


def fire_due() -> int:
    """Emit an event for every due schedule and set its next time, in one transaction; return how many fired.

    The row lock keeps other workers away, and the event's dedupe key (trigger, fire time) makes a fire unique
    even if two got past it. Time is the database's. A schedule that was not looked at for a while fires once.
    """
    with transaction.atomic():
        now = _database_now()
        due = (
            Trigger.all_tenants.select_for_update(skip_locked=True, of=("self",))
            .filter(
                type=TriggerType.SCHEDULE, is_enabled=True, next_fire_at__lte=now, automation__enabled=True
            )
            .order_by("next_fire_at")[:BATCH]
        )
        fired = [trigger for trigger in due if _fire(trigger, now)]
    return len(fired)


def _fire(trigger: Trigger, now: datetime) -> bool:
    fire_at = trigger.next_fire_at
    assert fire_at is not None
    try:
        next_fire_at = Schedule.parse(trigger.config).next_after(now)
    except InvalidSchedule as error:
        logger.error("schedule.invalid", extra={"trigger": str(trigger.id), "error": error.message})
        Trigger.all_tenants.filter(pk=trigger.pk).update(next_fire_at=None)
        return False
    with tenant_scope(trigger.tenant_id):
        emit(
            EVENT_TYPE,
            {"trigger_id": str(trigger.id), "fire_at": fire_at.astimezone(UTC).isoformat()},
            f"{trigger.id}:{fire_at.timestamp():.0f}",
            source=TriggerType.SCHEDULE.value,
        )
    Trigger.all_tenants.filter(pk=trigger.pk).update(next_fire_at=next_fire_at)
    return True


def _database_now() -> datetime:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment
