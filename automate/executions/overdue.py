"""Executions that take too long: each overdue one is told of once to every trigger that waits for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from automate.emission import emit_batch
from automate.executions.watchers import FACTS, OUTPUT_LIMIT_BYTES, SLUG_LIKE, Observed
from automate_core import sql

BATCH = 500
CLOCK_MARGIN = timedelta(minutes=10)
"""Ids carry the clock of the process that made them; exact times decide, ids only bound the scan."""

_WATCHES = f"""
SELECT t.id::text, t.tenant_id::text, t.automation_id::text, (t.config ->> 'after_seconds')::bigint, {SLUG_LIKE},
  statement_timestamp()
FROM automate_trigger t JOIN automate_automation a ON a.id = t.automation_id AND a.enabled
WHERE t.type = 'execution' AND t.is_enabled AND t.config ->> 'on' = 'overdue'
"""

_OVERDUE = f"""
SELECT {FACTS} FROM automate_execution x JOIN automate_automation a ON a.id = x.automation_id
WHERE x.tenant_id = %(tenant)s::uuid AND x.status IN ('QUEUED', 'RUNNING', 'WAITING')
  AND x.id > %(after_id)s::uuid AND x.id < %(before_id)s::uuid
  AND x.created_at > %(after)s AND x.created_at <= %(before)s
  AND x.automation_id <> %(watcher)s::uuid AND (%(slugs)s::text IS NULL OR a.slug LIKE %(slugs)s)
  AND NOT EXISTS (SELECT 1 FROM automate_event e WHERE e.tenant_id = x.tenant_id AND e.source = 'execution'
    AND e.dedupe_key = x.id::text || %(key)s)
ORDER BY x.id LIMIT %(limit)s
"""

_BEGINNING = datetime.fromisoformat("1970-01-02T00:00:00+00:00")
_looked_until: dict[tuple[Any, ...], datetime] = {}


def forget() -> None:
    """Look at every open execution again at the next look."""
    _looked_until.clear()


def announce_overdue() -> int:
    """Emit an event for each execution that has been open for too long; return how many are new.

    The first look of a process takes all of them, later ones what became overdue since. The dedupe key makes it one
    event for each execution and time limit, however many workers look.
    """
    return sum(_announce(*watch) for watch in sql.execute(_WATCHES))


def _announce(
    trigger_id: str, tenant_id: str, watcher: str, after_seconds: int, slugs: str | None, now: datetime
) -> int:
    look = (trigger_id, after_seconds, slugs)
    before = now - timedelta(seconds=after_seconds)
    after = _looked_until.get(look, _BEGINNING)
    key = f":overdue:{after_seconds}"
    params = {
        "tenant": tenant_id, "watcher": watcher, "slugs": slugs, "key": key, "limit": BATCH,
        "output_limit": OUTPUT_LIMIT_BYTES, "before": before, "before_id": _bound(before + CLOCK_MARGIN),
        "after": after, "after_id": _bound(max(after - CLOCK_MARGIN, _BEGINNING)),
    }  # fmt: skip
    emitted = 0
    while True:
        late = [Observed(*row) for row in sql.execute(_OVERDUE, params)]
        events = [
            one.event(
                "overdue",
                f"{one.id}{key}",
                after_seconds=after_seconds,
                open_seconds=round((now - one.created_at).total_seconds(), 3),
            )
            for one in late
        ]
        emitted += len(emit_batch([event for event in events if event is not None]))
        if len(late) < BATCH:
            break
        params["after_id"] = late[-1].id
    # A row may carry an earlier time than its commit: look a little further back the next time.
    _looked_until[look] = before - CLOCK_MARGIN
    return emitted


def _bound(moment: datetime) -> UUID:
    """Return the smallest UUIDv7 of a millisecond (RFC 9562, section 5.7)."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)
