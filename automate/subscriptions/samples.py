"""Which types of events a tenant can subscribe to, with samples: its last real ones, or one that is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from automate.subscriptions.messages import shown_event
from automate_core import sql
from automate_core.arrays import quoted
from automate_core.models import current_tenant_id

MAX_TYPES = 100
SAMPLES = 3
LARGEST_SAMPLE_BYTES = 16_384
"""Events with larger payloads are no samples; a hundred types have to fit one answer."""

# Skips from type to type through the index instead of reading the events.
_TYPES = """
WITH RECURSIVE seen AS (
  (SELECT type FROM automate_event WHERE tenant_id = %(tenant)s ORDER BY type LIMIT 1)
  UNION ALL
  SELECT following.type FROM seen CROSS JOIN LATERAL (
    SELECT e.type FROM automate_event e WHERE e.tenant_id = %(tenant)s AND e.type > seen.type
    ORDER BY e.type LIMIT 1) following
),
listened AS (
  SELECT t.event_type FROM automate_trigger t JOIN automate_automation a ON a.id = t.automation_id
  WHERE t.tenant_id = %(tenant)s AND t.is_enabled AND a.enabled
  UNION SELECT event_type FROM automate_webhooksubscription WHERE tenant_id = %(tenant)s AND is_enabled
)
SELECT type FROM (SELECT type FROM seen LIMIT %(limit)s) s
UNION SELECT event_type FROM listened WHERE event_type > '' AND event_type !~ '[][*?]'
ORDER BY 1 LIMIT %(limit)s
"""

_SAMPLES = """
SELECT g.type, e.id::text, e.source, e.payload::text, e.trace_id, e.created_at
FROM unnest(%(types)s::text[]) AS g(type) CROSS JOIN LATERAL (
  SELECT * FROM automate_event e WHERE e.tenant_id = %(tenant)s AND e.type = g.type
  ORDER BY e.created_at DESC, e.id DESC LIMIT %(samples)s) e
WHERE e.pruned_at IS NULL AND octet_length(e.payload::text) <= %(largest)s
ORDER BY g.type, e.created_at DESC, e.id DESC
"""


def known_types() -> list[str]:
    """Return the types of the tenant's events, triggers and subscriptions, in order; at most MAX_TYPES."""
    rows = sql.execute(_TYPES, {"tenant": current_tenant_id(), "limit": MAX_TYPES})
    return [row[0] for row in rows]


def samples(types: Sequence[str]) -> Mapping[str, list[dict[str, Any]]]:
    """Return up to SAMPLES events of each type, newest first, as they would be delivered."""
    found: dict[str, list[dict[str, Any]]] = {event_type: [] for event_type in types}
    params = {
        "types": quoted(found), "tenant": current_tenant_id(), "samples": SAMPLES, "largest": LARGEST_SAMPLE_BYTES
    }  # fmt: skip
    for event_type, event_id, source, payload, trace_id, created_at in sql.execute(_SAMPLES, params):
        shown = shown_event(
            id=event_id, type=event_type, source=source, payload=orjson.loads(payload), trace_id=trace_id,
            created_at=created_at,
        )  # fmt: skip
        found[event_type].append(shown)
    return {event_type: events or [made_up(event_type)] for event_type, events in found.items()}


def made_up(event_type: str) -> dict[str, Any]:
    """Return an event of a type that has not happened yet."""
    return shown_event(
        id="00000000-0000-7000-8000-000000000000",
        type=event_type,
        source="",
        payload={"key": "value"},
        trace_id="abc123",
        created_at=datetime(2024, 1, 15, 10, 30, tzinfo=UTC),
    )


def name_of(event_type: str) -> str:
    """Return a type as people read it: `order.created` as `Order created`."""
    words = event_type.replace(".", " ").replace("_", " ").replace("-", " ").split()
    return " ".join(words).capitalize() or event_type
