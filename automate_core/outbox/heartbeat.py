"""The heartbeat: keeps the leases of a busy worker, and tells the world the worker is alive."""

from __future__ import annotations

import logging
import threading
import time

from django.db import Error, connection

from automate_core import sql
from automate_core.outbox.drain import Drain, Lost

logger = logging.getLogger(__name__)

BEAT = """
INSERT INTO automate_core_workerbeat (worker, kinds) VALUES (%(worker)s, %(kinds)s)
ON CONFLICT (worker) DO UPDATE SET seen_at = clock_timestamp()
"""
FORGET = "DELETE FROM automate_core_workerbeat WHERE worker = %(worker)s"
MISSES_ALLOWED = 2


class Heartbeat(threading.Thread):
    """Beats every third of the lease, on its own connection; after two misses the drain stops claiming."""

    def __init__(self, drain: Drain) -> None:
        super().__init__(name="automate-heartbeat", daemon=True)
        self._drain = drain
        self._misses = 0
        self._stopping = threading.Event()

    def run(self) -> None:
        """Beat until stopped, then sign off."""
        while not self._stopping.is_set():
            started = time.monotonic()
            self._beat()
            interval = self._drain.store.lease_seconds / 3 if not self._misses else 0.5
            self._stopping.wait(max(0.1, interval - (time.monotonic() - started)))
        self._sign_off()

    def stop(self) -> None:
        """Ask the thread to sign off and end."""
        self._stopping.set()

    def _beat(self) -> None:
        worker = self._drain.worker
        try:
            sql.execute(BEAT, {"worker": worker, "kinds": ",".join(self._drain.kinds)[:255]})
            lost = self._drain.store.renew(worker)
        except Error as error:
            self._misses += 1
            logger.warning("worker.heartbeat_missed", extra={"misses": self._misses, "error": str(error)})
            self._drain.healthy = self._misses < MISSES_ALLOWED
            connection.close()
            return
        self._misses = 0
        self._drain.healthy = True
        if lost:
            self._drain.inbox.put(Lost(frozenset(lost)))

    def _sign_off(self) -> None:
        try:
            sql.execute(FORGET, {"worker": self._drain.worker})
        except Error:
            logger.warning("worker.sign_off_failed", exc_info=True)
        connection.close()
