"""Backfill: the events of fires a schedule had, or would have had, in a span of time that is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from automate.emission import emit_batch
from automate.enums import TriggerType
from automate.models import Automation
from automate.schedules import fire_event
from automate.timetable import Timetable
from automate_core import sql
from automate_core.errors import Conflict, NotFound, ValidationFailed

BATCH = 500
"""Events stored in one statement, which is a transaction of its own."""
MAX_FIRES = 100_000
"""Most fires one backfill makes up for."""


@dataclass(frozen=True, slots=True)
class Backfilled:
    """How many fires the span has, how many of them are looked at, and how many events were new."""

    fires: int
    done: int
    created: int


Progress = Callable[[Backfilled], None]


def fires_of(*, slug: str, since: datetime, until: datetime) -> tuple[Automation, list[datetime]]:
    """Return a scheduled workflow of the tenant in context and the times its schedule names in a span.

    Args:
        slug: of the workflow.
        since: beginning of the span, an aware datetime; a fire at this moment counts.
        until: end of the span; a fire at this moment does not count.

    Raises:
        NotFound: there is no such workflow.
        Conflict: it is disabled, or does not run on a schedule.
        ValidationFailed: the span is empty, not over yet, or holds more than MAX_FIRES fires.
    """
    automation = Automation.objects.filter(slug=slug).first()
    if automation is None:
        raise NotFound(f"There is no workflow {slug!r}")
    trigger = automation.triggers.filter(type=TriggerType.SCHEDULE).first()
    if trigger is None:
        raise Conflict(f"The workflow {slug!r} does not run on a schedule; run it with automate_run")
    if not automation.enabled or not trigger.is_enabled or automation.live_version_id is None:
        raise Conflict(f"The workflow {slug!r} is disabled; enable it, or its events start nothing")
    if since >= until:
        raise ValidationFailed("The span is empty; give an --until that is later than --since")
    if until > sql.execute("SELECT clock_timestamp()")[0][0]:
        raise ValidationFailed("The span is not over yet; the schedule itself takes care of times to come")
    named = Timetable.parse(trigger.config, seed=str(trigger.id)).named_between(since, until)
    fires = [fire.at for fire in islice(named, MAX_FIRES + 1)]
    if len(fires) > MAX_FIRES:
        raise ValidationFailed(f"The span holds more than {MAX_FIRES} fires; backfill it in parts")
    return automation, fires


def backfill(
    *, slug: str, since: datetime, until: datetime, progress: Progress = lambda _: None
) -> Backfilled:
    """Emit one event for each fire of a scheduled workflow in a span, oldest first; safe to interrupt and to repeat.

    An event has the dedupe key of the regular fire: what fired then, or was backfilled before, is not emitted again.

    Args:
        slug, since, until: see `fires_of`, which also says what is raised.
        progress: called after each batch with the counts so far.
    """
    automation, fires = fires_of(slug=slug, since=since, until=until)
    trigger_id = str(automation.triggers.get(type=TriggerType.SCHEDULE).id)
    tenant_id = str(automation.tenant_id)
    created = 0
    for start in range(0, len(fires), BATCH):
        batch = fires[start : start + BATCH]
        created += len(emit_batch([fire_event(trigger_id, tenant_id, at, backfill=True) for at in batch]))
        progress(Backfilled(len(fires), start + len(batch), created))
    return Backfilled(len(fires), len(fires), created)
