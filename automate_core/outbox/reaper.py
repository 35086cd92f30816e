"""The reaper: takes items back from workers that stopped, and gives up on those that keep stopping workers."""

from __future__ import annotations

import logging
from itertools import groupby
from operator import attrgetter

from django.db import transaction

from automate_core import metrics, sql
from automate_core.arrays import plain
from automate_core.outbox import statements
from automate_core.outbox.base import ClaimedItem
from automate_core.outbox.handlers import DeadItem, handler_registry

logger = logging.getLogger(__name__)

BACKOFF_SECONDS = 1.0
"""Wait added for each earlier claim, so that a poison item does not monopolise restarted workers."""


class OutboxReaper:
    """Recovers items whose lease expired, or whose worker gave no sign of life.

    Args:
        stale_threshold_seconds: an item not renewed for this long is stale even if its lease still runs.
        limit: most items one statement takes.
        using: Django database alias.
    """

    def __init__(
        self, stale_threshold_seconds: float = 600, *, limit: int = 500, using: str = "default"
    ) -> None:
        self.stale_threshold_seconds = float(stale_threshold_seconds)
        self.limit = limit
        self.using = using

    def reap_stale_items(self) -> int:
        """Give stale items back, or make them dead letters when their attempts are used up; return how many."""
        total = 0
        while True:
            reaped = self._reap()
            total += reaped
            if reaped < self.limit:
                return total

    def _reap(self) -> int:
        params = {"stale": self.stale_threshold_seconds, "limit": self.limit, "backoff": BACKOFF_SECONDS}
        with transaction.atomic(using=self.using):
            rows = sql.execute(statements.REAP, params, using=self.using)
            bury([DeadItem(ClaimedItem.of_row(row), row[11]) for row in rows if row[10] == "FAILED"])
            cleared = _cleared([ClaimedItem.of_row(row) for row in rows if row[10] != "FAILED"])
            if cleared:
                sql.execute(statements.CLEAR, {"ids": plain(cleared)}, using=self.using)
        if rows:
            dead = sum(row[10] == "FAILED" for row in rows)
            metrics.outbox_failed.inc(dead)
            logger.warning("outbox.reaped", extra={"count": len(rows), "dead": dead})
        return len(rows)


def _cleared(items: list[ClaimedItem]) -> list[int]:
    """Return the ids of items that, as their kind's handler knows, were not at work when their worker stopped."""
    kind = attrgetter("kind")
    cleared: list[int] = []
    for name, group in groupby(sorted(items, key=kind), key=kind):
        if name in handler_registry:
            cleared += handler_registry.get(name).idle(list(group))
    return cleared


def bury(dead: list[DeadItem]) -> None:
    """Tell each kind's handler which of its items were given up, inside the transaction that did it."""
    kind = attrgetter("item.kind")
    for name, items in groupby(sorted(dead, key=kind), key=kind):
        if name in handler_registry:
            handler_registry.get(name).dead(list(items))
