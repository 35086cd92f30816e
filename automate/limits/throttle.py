"""Throttled triggers: of the events of a span of time, the first ones pass; the others are counted and dropped."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from automate.limits.windows import Candidate, Throttle
from automate_core import sql
from automate_core.arrays import plain, quoted

logger = logging.getLogger(__name__)

# Spans are multiples of `per_seconds` since 1970, so every worker finds the same one. The rows of the windows are
# taken in the order of their keys and stay locked until what was decided is written.
_OPEN = """
WITH clock AS MATERIALIZED (SELECT extract(epoch FROM clock_timestamp())::float8 AS now),
given AS MATERIALIZED (
  SELECT g.*, floor(clock.now / g.seconds) * g.seconds AS opened
  FROM unnest(%(tenants)s::uuid[], %(triggers)s::uuid[], %(keys)s::text[], %(seconds)s::float8[])
    AS g(tenant, trigger, key, seconds) CROSS JOIN clock JOIN automate_trigger t ON t.id = g.trigger
  FOR KEY SHARE OF t)
INSERT INTO automate_triggerwindow AS w (tenant_id, trigger_id, kind, key, opened_at, closes_at, events, started)
SELECT tenant, trigger, 'throttle', key, to_timestamp(opened), to_timestamp(opened + seconds), 0, 0
FROM given ORDER BY trigger, key
ON CONFLICT (trigger_id, key, opened_at) WHERE kind = 'throttle' DO UPDATE SET key = excluded.key
RETURNING w.id, w.trigger_id::text, w.key, w.started
"""

_KNOWN = """
SELECT k.trigger_id::text, k.event_id::text, k.has_passed
FROM unnest(%(triggers)s::uuid[], %(events)s::uuid[]) AS g(trigger, event)
JOIN automate_windowedevent k ON k.trigger_id = g.trigger AND k.event_id = g.event
"""

_DECIDE = """
WITH decided AS (
  INSERT INTO automate_windowedevent (trigger_id, event_id, has_passed)
  SELECT * FROM unnest(%(triggers)s::uuid[], %(events)s::uuid[], %(passed)s::bool[]) AS g(trigger, event, passed)
  ORDER BY trigger, event
  ON CONFLICT (trigger_id, event_id) DO NOTHING)
UPDATE automate_triggerwindow w SET events = w.events + g.events, started = w.started + g.started
FROM unnest(%(windows)s::bigint[], %(window_events)s::int4[], %(window_started)s::int4[]) AS g(id, events, started)
WHERE w.id = g.id
"""


@dataclass(slots=True)
class _Count:
    window_id: int
    room: int
    events: int = 0
    started: int = 0


def sift(candidates: Sequence[tuple[Candidate, Throttle]]) -> set[tuple[str, str]]:
    """Return the (trigger id, event id) of the candidates that pass; in one transaction of three statements.

    An event that was decided before, by a worker that did not get to the end, is answered alike and not counted.
    Nothing passes for a trigger that was deleted meanwhile.
    """
    if not candidates:
        return set()
    with transaction.atomic():
        counts = _open(candidates)
        known = _known([candidate for candidate, _ in candidates])
        decided: dict[tuple[str, str], bool] = {}
        for candidate, _ in candidates:
            count = counts.get((candidate.trigger_id, candidate.key))
            if (
                count is not None
                and candidate.verdict_key not in known
                and candidate.verdict_key not in decided
            ):
                decided[candidate.verdict_key] = count.started < count.room
                count.events += 1
                count.started += count.started < count.room
        if decided:
            _decide(decided, list(counts.values()))
    _log(counts)
    return {pair for pair, has_passed in (known | decided).items() if has_passed}


def _open(candidates: Sequence[tuple[Candidate, Throttle]]) -> dict[tuple[str, str], _Count]:
    spans = {(one.trigger_id, one.key): (one, throttle) for one, throttle in candidates}
    params = {
        "tenants": plain(one.tenant_id for one, _ in spans.values()),
        "triggers": plain(one.trigger_id for one, _ in spans.values()),
        "keys": quoted(one.key for one, _ in spans.values()),
        "seconds": plain(throttle.per_seconds for _, throttle in spans.values()),
    }
    return {
        (trigger_id, key): _Count(window_id, spans[trigger_id, key][1].limit - started)
        for window_id, trigger_id, key, started in sql.execute(_OPEN, params)
    }


def _known(candidates: Sequence[Candidate]) -> dict[tuple[str, str], bool]:
    params = {
        "triggers": plain(one.trigger_id for one in candidates),
        "events": plain(one.event_id for one in candidates),
    }
    return {(row[0], row[1]): row[2] for row in sql.execute(_KNOWN, params)}


def _decide(decided: dict[tuple[str, str], bool], counts: Sequence[_Count]) -> None:
    params = {
        "triggers": plain(trigger_id for trigger_id, _ in decided),
        "events": plain(event_id for _, event_id in decided),
        "passed": plain(decided.values()),
        "windows": plain(count.window_id for count in counts),
        "window_events": plain(count.events for count in counts),
        "window_started": plain(count.started for count in counts),
    }
    sql.execute(_DECIDE, params)


def _log(counts: dict[tuple[str, str], _Count]) -> None:
    dropped = Counter[str]()
    for (trigger_id, _), count in counts.items():
        dropped[trigger_id] += count.events - count.started
    for trigger_id, number in dropped.items():
        if number:
            logger.info("throttle.dropped", extra={"trigger": trigger_id, "events": number})
