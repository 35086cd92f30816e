"""Promises: for each event and subscription that agree, an outbox item that delivers the one to the other.

Dispatch makes them before it settles the event's item. When a worker is lost in between, dispatch sees the event
again; the item's key, made of both ids, keeps a promise that is still open from being made twice. One kept in the
meantime is made again, with the same message id: delivery is at least once.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from automate.subscriptions.schedule import MAX_ATTEMPTS
from automate_core import sql
from automate_core.arrays import plain, quoted
from automate_core.outbox import statements

KIND = "delivery"

SUBSCRIBED = (
    "EXISTS (SELECT 1 FROM automate_webhooksubscription w WHERE w.tenant_id = e.tenant_id AND w.is_enabled)"
)
"""Whether anybody subscribed in the tenant of event `e`: a column for the statement that reads the event."""

_SUBSCRIPTIONS = """
SELECT tenant_id::text, id::text, event_type FROM automate_webhooksubscription
WHERE tenant_id = ANY(%(tenants)s::uuid[]) AND is_enabled ORDER BY id
"""

_PROMISE = f"""
INSERT INTO {statements.TABLE} (tenant_id, kind, key, payload, max_attempts, trace_id)
SELECT g.tenant_id, '{KIND}', g.key, jsonb_build_object('subscription_id', g.subscription, 'event_id', g.event),
  {MAX_ATTEMPTS}, g.trace
FROM unnest(%(tenants)s::uuid[], %(keys)s::text[], %(subscriptions)s::uuid[], %(events)s::uuid[], %(traces)s::text[])
  AS g(tenant_id, key, subscription, event, trace)
WHERE NOT EXISTS (SELECT 1 FROM {statements.TABLE} o WHERE o.tenant_id = g.tenant_id AND o.key = g.key)
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Told:
    """An event of a tenant with subscriptions."""

    tenant_id: str
    event_id: str
    type: str
    trace_id: str


def promise(events: Sequence[Told]) -> int:
    """Promise each event to every subscription to its type; return how many promises were new."""
    if not events:
        return 0
    tenants = sorted({told.tenant_id for told in events})
    subscriptions = sql.execute(_SUBSCRIPTIONS, {"tenants": tenants})
    pairs = [
        (told, subscription_id)
        for told in events
        for tenant_id, subscription_id, event_type in subscriptions
        if tenant_id == told.tenant_id and _pattern(event_type).match(told.type)
    ]
    if not pairs:
        return 0
    params = {
        "tenants": plain(told.tenant_id for told, _ in pairs),
        "keys": plain(f"{KIND}/{subscription_id}/{told.event_id}" for told, subscription_id in pairs),
        "subscriptions": plain(subscription_id for _, subscription_id in pairs),
        "events": plain(told.event_id for told, _ in pairs),
        "traces": quoted(told.trace_id for told, _ in pairs),
    }
    return len(sql.execute(_PROMISE, params))


@lru_cache(maxsize=1_024)
def _pattern(event_type: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(event_type))
