"""Enqueue: promise a delivery inside the caller's transaction."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.db import transaction

from automate_core import conf, sql
from automate_core.context import current_trace_id
from automate_core.models import current_tenant_id
from automate_core.outbox import doorbell, statements


def enqueue(
    *,
    kind: str,
    payload: dict[str, Any],
    available_at: datetime | None = None,
    key: str | None = None,
    priority: int = 0,
    max_attempts: int | None = None,
    tenant_id: UUID | None = None,
    using: str = "default",
) -> int:
    """Add an item to the outbox in the current transaction; a rollback takes it along.

    Args:
        kind: names the handler that will deliver it.
        payload: JSON object handed to the handler.
        available_at: earliest delivery (aware datetime); now when None.
        key: items of one tenant with the same key are delivered one after the other, in commit order.
        priority: higher is claimed first within a tenant; -32768 to 32767.
        max_attempts: claims before the item becomes a dead letter; `AUTOMATE["MAX_CLAIMS"]` when None.
        tenant_id: owner; the tenant in context when None.
        using: Django database alias.

    Returns:
        The item's id.
    """
    params = {
        "tenant": tenant_id or current_tenant_id(),
        "kind": kind,
        "key": key,
        "priority": priority,
        "payload": orjson.dumps(payload).decode(),
        "available_at": available_at,
        "max_attempts": max_attempts or conf.get().MAX_CLAIMS,
        "trace": current_trace_id(),
    }
    statement = statements.ENQUEUE if key is None else statements.ENQUEUE_IN_ORDER
    item_id: int = sql.execute(statement, params, using=using)[0][0]
    transaction.on_commit(doorbell.ring, using=using, robust=True)
    return item_id
