"""A worker process: one drain loop with its heartbeat, its duties and its ear on the doorbell."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from automate_core import sql
from automate_core.outbox import doorbell
from automate_core.outbox.drain import Drain, Ring
from automate_core.outbox.duties import Duty, DutyThread, duty_registry
from automate_core.outbox.heartbeat import Heartbeat
from automate_core.outbox.reaper import OutboxReaper

logger = logging.getLogger(__name__)

REAPED = "UPDATE automate_core_workerbeat SET reaped_at = clock_timestamp() WHERE worker = %(worker)s"
SWEEP = "DELETE FROM automate_core_workerbeat WHERE seen_at < clock_timestamp() - interval '1 hour'"


class Worker:
    """Drains the outbox until told to stop."""

    def __init__(self, *, kinds: Sequence[str] | None = None) -> None:
        self.drain = Drain(kinds=kinds)
        self._stop = threading.Event()
        self._reaper = OutboxReaper(max(600.0, 2 * self.drain.store.lease_seconds))

    def run(self) -> None:
        """Drain, beat, reap and do duties until `stop`, then finish what is in flight and sign off."""
        reap_seconds = min(5.0, max(0.5, self.drain.store.lease_seconds / 6))
        duties = [
            Duty("reap", reap_seconds, self._reap),
            *(duty_registry.get(name) for name in duty_registry),
        ]
        threads: list[Heartbeat | DutyThread | doorbell.Listener] = [
            Heartbeat(self.drain),
            DutyThread(duties),
            doorbell.Listener(lambda: self.drain.inbox.put(Ring())),
        ]
        for thread in threads:
            thread.start()
        logger.info("worker.started", extra={"worker": self.drain.worker, "kinds": list(self.drain.kinds)})
        try:
            self.drain.run(self._stop)
        finally:
            for thread in threads:
                thread.stop()
            for thread in threads:
                thread.join(timeout=5)
            logger.info("worker.stopped", extra={"worker": self.drain.worker})

    def stop(self) -> None:
        """Ask the worker to finish; safe in a signal handler."""
        self._stop.set()
        self.drain.inbox.put(Ring())

    def _reap(self) -> None:
        self._reaper.reap_stale_items()
        sql.execute(REAPED, {"worker": self.drain.worker})
        sql.execute(SWEEP)
