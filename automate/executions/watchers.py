"""Who watches executions end: the triggers of type `execution`, and the events that start them."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db.models.signals import post_delete, post_save

from automate.emission import EventTooDeep, NewEvent, emit_batch, new_event
from automate.enums import ExecutionStatus, TriggerType
from automate.models import Trigger
from automate_core import sql
from automate_core.arrays import plain
from automate_core.context import Cause, cause_scope, trace_scope

logger = logging.getLogger(__name__)

FRESH_SECONDS = 2.0
"""How long the set of watchers is believed; a trigger saved in this process counts at once."""
OUTPUT_LIMIT_BYTES = 65_536
"""Longest output, as JSON, an event carries; a longer one is left out and `output_left_out` says so."""

WORDS = {
    ExecutionStatus.SUCCESS.value: "succeeded",
    ExecutionStatus.FAILED.value: "failed",
    ExecutionStatus.CANCELLED.value: "cancelled",
}
"""How the end of an execution is called in types of events and configurations of triggers."""

SLUG_LIKE = "replace(replace(replace(t.config ->> 'workflow', '_', '\\_'), '*', '%%'), '?', '_')"
"""SQL: a trigger's glob of slugs as a pattern for LIKE; slugs hold neither backslash nor percent sign."""

_WATCHES = f"""
SELECT t.tenant_id::text, t.automation_id::text, t.config ->> 'on', w.id::text
FROM automate_trigger t JOIN automate_automation a ON a.id = t.automation_id AND a.enabled
LEFT JOIN automate_automation w ON w.tenant_id = t.tenant_id AND w.slug LIKE {SLUG_LIKE}
WHERE t.type = 'execution' AND t.is_enabled AND t.config ->> 'on' <> 'overdue'
  AND (t.config ->> 'workflow' IS NULL OR w.id IS NOT NULL)
"""

FACTS = """
x.id::text, x.tenant_id::text, a.id::text, a.slug, a.name, x.status, x.seq, x.depth, x.trace_id, x.error_code,
  x.error_summary, CASE WHEN octet_length(x.output::text) <= %(output_limit)s THEN x.output::text END,
  x.output IS NOT NULL, x.created_at, x.started_at, x.finished_at
"""
"""Columns of an Ended, of automate_execution x and its automate_automation a."""

_ENDED = f"""
SELECT {FACTS} FROM automate_execution x JOIN automate_automation a ON a.id = x.automation_id
WHERE x.id = ANY(%(ids)s::uuid[]) AND x.finished_at IS NOT NULL ORDER BY x.finished_at, x.id
"""


@dataclass(frozen=True, slots=True)
class Watch:
    """One workflow's interest: in every execution of its tenant (`target` is None), or in those of one workflow."""

    watcher: str
    on: str
    target: str | None

    def covers(self, automation_id: str, status: str | None = None) -> bool:
        """Tell whether it is about an automation's executions; nobody watches their own."""
        if self.watcher == automation_id or self.target not in (None, automation_id):
            return False
        return status is None or self.on in ("finished", WORDS.get(status))


@dataclass(frozen=True, slots=True)
class Observed:
    """An execution as those who watch it are told of it."""

    id: str
    tenant_id: str
    automation_id: str
    slug: str
    name: str
    status: str
    seq: int
    depth: int
    trace_id: str
    error_code: str
    error_summary: str
    output: str | None
    has_output: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    def event(self, word: str, key: str, **more: Any) -> NewEvent | None:
        """Return the event that tells of it, caused by it; None when the chain of executions is too long.

        Args:
            word: what happened to it, the second part of the event's type.
            key: dedupe key.
            more: further members of the payload.
        """
        with trace_scope(self.trace_id), cause_scope(Cause(UUID(self.id), self.depth + 1)):
            try:
                return new_event(
                    f"execution.{word}.{self.slug}",
                    {**self._payload(), **more},
                    key,
                    source=TriggerType.EXECUTION.value,
                    tenant_id=UUID(self.tenant_id),
                )
            except EventTooDeep as error:
                logger.warning("watchers.too_deep", extra={"execution": self.id, "error": error.message})
                return None

    def _payload(self) -> dict[str, Any]:
        error = {"code": self.error_code, "message": self.error_summary} if self.error_code else None
        output = orjson.loads(self.output) if self.output is not None else None
        return {
            "execution_id": self.id,
            "workflow": self.slug,
            "workflow_id": self.automation_id,
            "workflow_name": self.name,
            "status": self.status,
            "error": error,
            "output": output,
            "output_left_out": self.has_output and self.output is None,
            "created_at": self.created_at.isoformat(),
            "started_at": self.started_at.isoformat() if self.started_at else None,
            "finished_at": self.finished_at.isoformat() if self.finished_at else None,
            "duration_seconds": _seconds(self.started_at or self.created_at, self.finished_at),
        }


_watches: dict[str, list[Watch]] = {}
_read_at = float("-inf")


def connect() -> None:
    """Notice triggers saved or deleted in this process at once."""
    post_save.connect(_trigger_changed, sender=Trigger, dispatch_uid="automate.watchers.saved")
    post_delete.connect(_trigger_changed, sender=Trigger, dispatch_uid="automate.watchers.deleted")


def forget() -> None:
    """Read the set of watchers anew at the next question."""
    global _read_at
    _read_at = float("-inf")


def is_watched(tenant_id: str, automation_id: str) -> bool:
    """Tell whether a workflow other than itself wants to hear of the end of an automation's executions.

    Asks the database once in FRESH_SECONDS; another process's trigger counts after at most that long.
    """
    global _watches, _read_at
    now = time.monotonic()
    if now - _read_at > FRESH_SECONDS:
        _watches, _read_at = _read_watches(), now
    return any(watch.covers(automation_id) for watch in _watches.get(tenant_id, ()))


def announce(execution_ids: Iterable[UUID | str]) -> int:
    """Emit an event for each of these executions whose end is watched; return how many are new.

    Three statements at most. The dedupe key is the execution and its count of changes: telling it twice is one event.
    """
    ids = plain(sorted({str(execution_id) for execution_id in execution_ids}))
    watches = _read_watches()
    if not watches:
        return 0
    rows = sql.execute(_ENDED, {"ids": ids, "output_limit": OUTPUT_LIMIT_BYTES})
    ended = [Observed(*row) for row in rows]
    events = [
        one.event(WORDS[one.status], f"{one.id}:{one.seq}")
        for one in ended
        if any(watch.covers(one.automation_id, one.status) for watch in watches.get(one.tenant_id, ()))
    ]
    return len(emit_batch([event for event in events if event is not None]))


def _read_watches() -> dict[str, list[Watch]]:
    found: dict[str, list[Watch]] = {}
    for tenant_id, watcher, on, target in sql.execute(_WATCHES):
        found.setdefault(tenant_id, []).append(Watch(watcher, on, target))
    return found


def _trigger_changed(**_: Any) -> None:
    forget()


def _seconds(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - start).total_seconds(), 3)
