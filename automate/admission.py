"""Admission: gives the places of limited workflows to the executions that wait for them, one key at a time.

An advisory lock of the transaction serialises the admissions of a key, so that no two count the same free place; it
works behind pgBouncer in transaction mode. Everything that may free a place or want one leaves an outbox item behind
which this is done again, so nothing waits for good; the duty `admit_overlooked` is for what left none, such as a
deleted execution or a limit that was raised.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from django.db import transaction

from automate.enums import ExecutionStatus
from automate.executions import control, finished, notices
from automate.limits import gate, settings
from automate.limits.refusals import refusals_as_errors
from automate_core import conf, metrics, sql
from automate_core.arrays import plain, quoted
from automate_core.errors import ErrorCodes
from automate_core.outbox import doorbell
from automate_core.outbox.base import ClaimedItem
from automate_core.outbox.duties import Duty
from automate_core.outbox.handlers import OutboxHandler
from automate_core.outbox.statements import TABLE as OUTBOX

logger = logging.getLogger(__name__)

OVERLOOKED_SECONDS = 30.0
"""How often a worker looks for executions that wait although there may be a place."""
BATCH = 200
"""Keys whose places are given in one transaction."""
UNLIMITED = 2**31 - 1

# Locks are taken in one order, so that two batches wait for each other and never in a circle.
_LOCK = """
WITH turn AS MATERIALIZED (
  SELECT DISTINCT hashtextextended('automate.admission/' || automation || '/' || key, 0) AS number
  FROM unnest(%(automations)s::text[], %(keys)s::text[]) AS p(automation, key) ORDER BY number)
SELECT pg_advisory_xact_lock(number) FROM turn
"""

_TRY_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('automate.admission', 0))"

_LIVE = """
SELECT id::text, live_version_id::text FROM automate_automation WHERE id = ANY(%(ids)s::uuid[])
"""

_PLACES = """
WITH place AS MATERIALIZED (
  SELECT * FROM unnest(%(automations)s::uuid[], %(keys)s::text[], %(limits)s::int8[], %(versions)s::uuid[])
    AS p(automation, key, most, version))"""

_ADMIT = f"""{_PLACES},
room AS MATERIALIZED (
  SELECT place.*, greatest(0, most - (
    SELECT count(*) FROM automate_execution x WHERE x.automation_id = place.automation AND x.key = place.key
      AND x.finished_at IS NULL AND x.held_at IS NULL)) AS free
  FROM place),
pick AS MATERIALIZED (
  SELECT first.id FROM room CROSS JOIN LATERAL (
    SELECT x.id FROM automate_execution x
    WHERE x.automation_id = room.automation AND x.key = room.key AND x.held_at IS NOT NULL
    ORDER BY x.priority DESC, x.id LIMIT room.free) first),
admitted AS (
  UPDATE automate_execution x SET held_at = NULL
  WHERE x.id = ANY(ARRAY(SELECT id FROM pick)) AND x.held_at IS NOT NULL AND x.finished_at IS NULL
  RETURNING x.id, x.tenant_id, x.priority, x.trace_id)
INSERT INTO {OUTBOX} (tenant_id, kind, priority, payload, trace_id, max_attempts)
SELECT tenant_id, 'execution', priority, jsonb_build_object('execution_id', id), trace_id, %(max_attempts)s
FROM admitted ORDER BY priority DESC, id
RETURNING payload ->> 'execution_id'
"""

# Those that came under an earlier version keep waiting: when they came, the workflow did not drop.
_LATE = f"""{_PLACES}
SELECT x.id::text FROM place JOIN automate_execution x
  ON x.automation_id = place.automation AND x.key = place.key AND x.held_at IS NOT NULL AND x.version_id = place.version
"""

_OUTDATED = f"""{_PLACES},
held AS MATERIALIZED (
  SELECT x.id, place.automation, place.key, place.most,
    row_number() OVER (PARTITION BY place.automation, place.key ORDER BY x.id DESC) AS age
  FROM place JOIN automate_execution x
    ON x.automation_id = place.automation AND x.key = place.key AND x.held_at IS NOT NULL),
running AS MATERIALIZED (
  SELECT x.id, place.automation, place.key, place.most,
    row_number() OVER (PARTITION BY place.automation, place.key ORDER BY x.id DESC) AS age
  FROM place JOIN automate_execution x
    ON x.automation_id = place.automation AND x.key = place.key AND x.finished_at IS NULL AND x.held_at IS NULL
      AND x.cancel_requested_at IS NULL)
SELECT id::text, true FROM held WHERE age > most
UNION ALL
SELECT r.id::text, false FROM running r
WHERE r.age > r.most - (
  SELECT count(*) FROM held h WHERE h.automation = r.automation AND h.key = r.key AND h.age <= h.most)
"""

_END = """
UPDATE automate_execution SET status = 'CANCELLED', finished_at = clock_timestamp(), held_at = NULL, paused_at = NULL,
  seq = seq + 1, marks = marks || 'x' || seq + 1, error_code = %(code)s, error_summary = %(summary)s
WHERE id = ANY(%(ids)s::uuid[]) AND held_at IS NOT NULL AND finished_at IS NULL
RETURNING id::text, seq - 1
"""

# Skips from key to key through the index of what is held.
_WAITED_FOR = """
WITH RECURSIVE place AS (
  (SELECT automation_id, key FROM automate_execution WHERE held_at IS NOT NULL AND key IS NOT NULL
   ORDER BY automation_id, key LIMIT 1)
  UNION ALL
  SELECT following.automation_id, following.key FROM place CROSS JOIN LATERAL (
    SELECT x.automation_id, x.key FROM automate_execution x
    WHERE x.held_at IS NOT NULL AND x.key IS NOT NULL AND (x.automation_id, x.key) > (place.automation_id, place.key)
    ORDER BY x.automation_id, x.key LIMIT 1) following)
SELECT automation_id::text, key FROM place
"""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """What executions wait for: room under the limit of one key of one automation."""

    automation_id: str
    key: str


@dataclass(frozen=True, slots=True)
class _Rule:
    """What the live version of a place's workflow says about it."""

    place: Place
    most: int
    when_full: str
    version_id: str | None


class AdmissionHandler(OutboxHandler):
    """Admits for the keys its items name, each once however many items name it."""

    kinds: ClassVar[tuple[str, ...]] = (gate.KIND,)

    def handle(self, items: Sequence[ClaimedItem]) -> None:
        """Admit, and settle the items in the same transaction."""
        places = [_place(item) for item in items]
        with refusals_as_errors(), transaction.atomic():
            admit(places)
            done = self.port.store.complete(items, self.port.worker)
        metrics.outbox_done.labels(kind=gate.KIND).inc(len(done))


def admit(places: Iterable[Place]) -> list[str]:
    """Admit for these places, in one transaction; return the ids of the executions that may now run.

    The first of the highest priority is admitted first. Where the workflow drops or replaces, those there is no
    place for are ended, or those that run are cancelled.
    """
    wanted = sorted(set(places))
    if not wanted:
        return []
    with transaction.atomic():
        sql.execute(
            _LOCK,
            {
                "automations": plain(place.automation_id for place in wanted),
                "keys": quoted(place.key for place in wanted),
            },
        )
        rules = _rules(wanted)
        _replace([rule for rule in rules if rule.when_full == "replace"])
        admitted = [row[0] for row in sql.execute(_ADMIT, _params(rules))]
        _drop([rule for rule in rules if rule.when_full == "drop"])
    if admitted:
        transaction.on_commit(doorbell.ring, robust=True)
    return admitted


def admit_overlooked() -> int:
    """Admit for every key somebody waits for, unless another worker is doing it; return how many may now run."""
    with transaction.atomic():
        if not sql.execute(_TRY_LOCK)[0][0]:
            return 0
        places = [Place(*row) for row in sql.execute(_WAITED_FOR)]
    admitted = 0
    for first in range(0, len(places), BATCH):
        admitted += len(admit(places[first : first + BATCH]))
    return admitted


OVERLOOKED = Duty("admission", OVERLOOKED_SECONDS, admit_overlooked)


def _place(item: ClaimedItem) -> Place:
    return Place(str(UUID(item.payload["automation_id"])), str(item.payload["key"]))


def _rules(places: Sequence[Place]) -> list[_Rule]:
    """Return what the live versions say now; where nothing limits any more, all who wait may come."""
    live: dict[str, str | None] = dict(
        sql.execute(_LIVE, {"ids": plain({place.automation_id for place in places})})
    )
    wanted = settings.of_versions(version_id for version_id in live.values() if version_id)
    rules = []
    for place in places:
        version_id = live.get(place.automation_id)
        found = wanted.get(version_id) if version_id else None
        limit = found.concurrency if found else None
        if limit is None:
            rules.append(_Rule(place, UNLIMITED, "queue", version_id))
        else:
            rules.append(_Rule(place, limit.limit, limit.on_limit, version_id))
    return rules


def _params(rules: Sequence[_Rule]) -> dict[str, object]:
    return {
        "automations": plain(rule.place.automation_id for rule in rules),
        "keys": quoted(rule.place.key for rule in rules),
        "limits": plain(rule.most for rule in rules),
        "versions": plain(rule.version_id for rule in rules),
        "max_attempts": conf.get().MAX_CLAIMS,
    }


def _drop(rules: Sequence[_Rule]) -> None:
    """End those who came when there was no place."""
    if rules:
        late = [row[0] for row in sql.execute(_LATE, _params(rules))]
        _end(late, ErrorCodes.DROPPED, "Dropped: as many executions as the workflow allows at once were open")


def _replace(rules: Sequence[_Rule]) -> None:
    """Cancel what the newest have no place beside, and end those who wait behind the newest."""
    if not rules:
        return
    outdated = sql.execute(_OUTDATED, _params(rules))
    waiting = [execution_id for execution_id, is_held in outdated if is_held]
    running = [execution_id for execution_id, is_held in outdated if not is_held]
    _end(waiting, ErrorCodes.REPLACED, "Replaced by a newer execution before there was a place for it")
    if running:
        logger.info("admission.replaced", extra={"executions": len(running)})
        control.stop(running)


def _end(execution_ids: Sequence[str], code: ErrorCodes, summary: str) -> None:
    if not execution_ids:
        return
    params = {"ids": plain(sorted(execution_ids)), "code": code.value, "summary": summary}
    before: dict[str, int] = dict(sql.execute(_END, params))
    ended = list(before)
    if ended:
        logger.info("admission.ended", extra={"executions": len(ended), "code": code.value})
        finished.promise(ended)
        notices.announce(before)
        counter = metrics.executions_finished.labels(status=ExecutionStatus.CANCELLED.value)
        transaction.on_commit(lambda: counter.inc(len(ended)), robust=True)
