"""Dead letters: outbox items that failed for good, and what an operator may do with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet

from automate_core import audit, sql
from automate_core.context import tenant_scope
from automate_core.models import OutboxItem, OutboxStatus
from automate_core.outbox import doorbell, statements
from automate_core.outbox.base import ClaimedItem
from automate_core.outbox.handlers import handler_registry


def dead_letters(
    *, kind: str | None = None, ids: Iterable[int] | None = None, tenant_id: UUID | None = None
) -> QuerySet[OutboxItem]:
    """Return the dead letters of every tenant, oldest first, narrowed by what is given."""
    found = OutboxItem.all_tenants.filter(status=OutboxStatus.FAILED).order_by("id")
    if kind is not None:
        found = found.filter(kind=kind)
    if ids is not None:
        found = found.filter(id__in=list(ids))
    if tenant_id is not None:
        found = found.filter(tenant_id=tenant_id)
    return found


def redrive(ids: Iterable[int], *, by: str) -> list[ClaimedItem]:
    """Queue dead letters again with fresh attempts, in one transaction; each runs alone at first.

    Args:
        ids: of outbox items; those that are no dead letters (any more) are left alone.
        by: who does it, for the audit trail.

    Returns:
        What was queued again.
    """
    with transaction.atomic():
        items = _written(statements.REDRIVE, ids)
        kind = attrgetter("kind")
        for name, batch in groupby(sorted(items, key=kind), key=kind):
            if name in handler_registry:
                handler_registry.get(name).redriven(list(batch))
        _record(items, "outbox.redriven", by)
        transaction.on_commit(doorbell.ring, robust=True)
    return items


def discard(ids: Iterable[int], *, by: str) -> list[ClaimedItem]:
    """Delete dead letters for good, in one transaction; return them. Arguments as for `redrive`."""
    with transaction.atomic():
        items = _written(statements.DISCARD, ids)
        _record(items, "outbox.discarded", by)
    return items


def _written(statement: str, ids: Iterable[int]) -> list[ClaimedItem]:
    # In the order of their ids, so that two people who choose some of the same rows wait and never deadlock.
    dead = OutboxItem.all_tenants.filter(id__in=list(ids), status=OutboxStatus.FAILED).order_by("id")
    held = list(dead.select_for_update().values_list("id", flat=True))
    return [ClaimedItem.of_row(row) for row in sql.execute(statement, {"ids": held})] if held else []


def _record(items: Sequence[ClaimedItem], action: str, by: str) -> None:
    tenant = attrgetter("tenant_id")
    for tenant_id, batch in groupby(sorted(items, key=attrgetter("tenant_id", "id")), key=tenant):
        done = list(batch)
        with tenant_scope(tenant_id):
            audit.record(
                actor=by,
                action=action,
                target=f"outbox:{done[0].id}" if len(done) == 1 else f"outbox:{len(done)} items",
                before={"items": [{"id": item.id, "kind": item.kind} for item in done]},
                after={"status": "PENDING"} if action == "outbox.redriven" else None,
            )
