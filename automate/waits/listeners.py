"""Listeners: the steps that wait for an event, found and answered when one is dispatched.

The guarantee: an event whose transaction commits after a step's wait was recorded wakes that step. Dispatch reads
the event and whether its tenant has listeners in one statement, whose snapshot sees the event and therefore every
wait committed before it; nothing about listeners is remembered between batches. An event committed before the wait
may or may not wake it, so whoever causes the event has to wait first (or in a branch of its own).

An execution takes one event once. All its listeners are answered in one transaction, which finds nobody to answer
when the event's item is delivered again, not even a step that began to wait in between.
"""

from __future__ import annotations

import fnmatch
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from django.db import transaction

from automate.executions import signals
from automate.executions.signals import Answer
from automate.rules import CompiledRule, compile_rule
from automate.waits.correlation import sought
from automate_core import sql
from automate_core.arrays import plain, quoted
from automate_core.errors import AutomateError
from automate_core.redaction import redact

logger = logging.getLogger(__name__)

LISTENED = """EXISTS (
  SELECT 1 FROM automate_steprun s
  WHERE s.tenant_id = e.tenant_id AND s.status = 'WAITING' AND s.wake_event > '')"""
"""Whether anybody in the tenant of event `e` listens: a column for the statement that reads the event."""

_CORRELATED = "hashtextextended(s.wake_rule #>> '{and,0,===}', 0)"

_FIND = f"""
WITH heard AS MATERIALIZED (
  SELECT * FROM unnest(%(numbers)s::int4[], %(tenants)s::uuid[], %(types)s::text[]) AS h(n, tenant_id, type)),
clause AS MATERIALIZED (
  SELECT c.n, hashtextextended(c.clause::text, 0) AS hash
  FROM unnest(%(clause_of)s::int4[], %(clauses)s::jsonb[]) AS c(n, clause)),
found AS (
  SELECT h.n, h.type, s.id FROM heard h JOIN clause USING (n)
  JOIN automate_steprun s ON s.tenant_id = h.tenant_id AND {_CORRELATED} = clause.hash
    AND s.status = 'WAITING' AND s.wake_event > ''
  UNION
  SELECT h.n, h.type, s.id FROM heard h
  JOIN automate_steprun s ON s.tenant_id = h.tenant_id AND s.status = 'WAITING' AND s.wake_event > ''
    AND ({_CORRELATED} IS NULL OR h.n = ANY(%(unsought)s::int4[])))
SELECT f.n, s.id::text, s.execution_id::text, s.wake_event, s.wake_rule::text
FROM found f JOIN automate_steprun s ON s.id = f.id
WHERE s.answer IS NULL AND (s.wake_event = f.type OR s.wake_event ~ '[][*?]')
ORDER BY f.n, s.id
"""

_ANSWER = """
UPDATE automate_steprun s SET answer = a.answer
FROM unnest(%(ids)s::uuid[], %(executions)s::uuid[], %(events)s::text[], %(answers)s::jsonb[])
  AS a(id, execution_id, event_id, answer)
WHERE s.id = a.id AND s.status = 'WAITING' AND s.answer IS NULL AND NOT EXISTS (
  SELECT 1 FROM automate_steprun p
  WHERE p.execution_id = a.execution_id AND p.answer #>> '{output,event,id}' = a.event_id)
RETURNING s.id
"""


@dataclass(frozen=True, slots=True)
class Heard:
    """One event as listeners see it."""

    tenant_id: str
    event: Mapping[str, Any]
    context: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Build what rules read, the same that a trigger's rule does."""
        payload = self.event["payload"]
        context = {**payload, **self.event, "event": self.event, "input": payload}
        object.__setattr__(self, "context", context)


def tell(events: Sequence[Heard]) -> int:
    """Answer every step that waits for one of these events, with the first it accepts; return how many.

    Args:
        events: of tenants with listeners, in the order they happened.
    """
    accepted = _accepted(events) if events else {}
    if not accepted:
        return 0
    with transaction.atomic():
        # Locks the executions in one order, before any step of theirs: two batches wait and never deadlock.
        alive = set(signals.poke({execution_id for execution_id, _ in accepted.values()}))
        rows = [(step, run, heard) for step, (run, heard) in accepted.items() if run in alive]
        answered = sql.execute(
            _ANSWER,
            {
                "ids": plain(step for step, _, _ in rows),
                "executions": plain(run for _, run, _ in rows),
                "events": plain(heard.event["id"] for _, _, heard in rows),
                "answers": quoted(_answer(heard) for _, _, heard in rows),
            },
        )
    logger.info("waits.answered", extra={"count": len(answered), "events": len(events)})
    return len(answered)


def _accepted(events: Sequence[Heard]) -> dict[str, tuple[str, Heard]]:
    """Return the first acceptable event for each waiting step, as step id -> (execution id, event)."""
    accepted: dict[str, tuple[str, Heard]] = {}
    for number, step_id, execution_id, event_type, rule in sql.execute(_FIND, _params(events)):
        heard = events[number]
        if step_id in accepted or not _pattern(event_type).match(heard.event["type"]):
            continue
        if rule is None or _holds(rule, heard, step_id):
            accepted[step_id] = (execution_id, heard)
    return accepted


def _params(events: Sequence[Heard]) -> dict[str, Any]:
    clauses = [sought(heard.event["payload"]) for heard in events]
    pairs = [(number, text) for number, texts in enumerate(clauses) for text in texts or ()]
    return {
        "numbers": plain(range(len(events))),
        "tenants": plain(heard.tenant_id for heard in events),
        "types": quoted(heard.event["type"] for heard in events),
        "clause_of": plain(number for number, _ in pairs),
        "clauses": quoted(text for _, text in pairs),
        "unsought": plain(number for number, texts in enumerate(clauses) if texts is None),
    }


def _holds(rule: str, heard: Heard, step_id: str) -> bool:
    """Tell whether a stored rule accepts an event; one that cannot be evaluated does not."""
    try:
        return _compiled(rule).evaluate(heard.context)
    except AutomateError as error:
        logger.warning("waits.rule_failed", extra={"step": step_id, "error": error.message})
        return False


def _answer(heard: Heard) -> str:
    output = {"event": {name: heard.event[name] for name in ("id", "type", "source", "payload")}}
    return orjson.dumps(Answer(output=redact(output), route="main").as_data()).decode()


@lru_cache(maxsize=1_024)
def _compiled(rule: str) -> CompiledRule:
    return compile_rule(orjson.loads(rule))


@lru_cache(maxsize=1_024)
def _pattern(event_type: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(event_type))
