"""Ingest for servers of threads (WSGI): an event at a time, over the connection Django keeps for the thread."""

from __future__ import annotations

import logging
import threading
import time

from django.db import DatabaseError, transaction

from automate.emission import EMIT, FIND, Emitted, NewEvent, batch_params, params_to_find
from automate.webhooks.ingest import FULL, FULL_LOOK_SECONDS, IngestUnavailable, QueueFull
from automate_core import conf, sql
from automate_core.outbox import doorbell

logger = logging.getLogger(__name__)


class FullQueues:
    """Which tenants of this process have too long a queue, as it was seconds ago."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._full: frozenset[str] = frozenset()
        self._look_at = 0.0

    def check(self, tenant_id: str) -> None:
        """Return when the tenant's queue has room; raises QueueFull."""
        if self._is_due():
            self._full = frozenset(row[0] for row in sql.execute(FULL, {"limit": conf.get().MAX_QUEUE}))
        if tenant_id in self._full:
            raise QueueFull(retry_after_seconds=FULL_LOOK_SECONDS)

    def forget(self) -> None:
        """Look again before the next event."""
        self._look_at = 0.0

    def _is_due(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if now < self._look_at:
                return False
            self._look_at = now + FULL_LOOK_SECONDS
            return True


full_queues = FullQueues()


def put(event: NewEvent) -> Emitted:
    """Store an event durably.

    Raises:
        IngestUnavailable: that did not work.
        QueueFull: too much of the tenant waits already.
    """
    params = batch_params([event])
    try:
        full_queues.check(event.tenant_id)
        with transaction.atomic():
            is_new = bool(sql.execute(EMIT, params))
            transaction.on_commit(doorbell.ring, robust=True)
        found = event.id if is_new else str(sql.execute(FIND, params_to_find(params))[0][1])
    except DatabaseError as error:
        logger.error("ingest.failed", exc_info=error, extra={"count": 1})
        raise IngestUnavailable(
            "The event could not be stored just now; send it again", retry_after_seconds=1
        ) from error
    return Emitted(found, created=is_new)
