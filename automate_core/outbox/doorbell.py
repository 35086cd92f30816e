"""The doorbell: tells idle workers to look now. It carries no content; losing one costs latency, nothing else.

A NOTIFY makes its transaction take a cluster-wide lock while committing, so it never rides in a caller's
transaction and goes out at most once a second from a process. A worker that hears one, or finds work,
looks every few milliseconds for longer than that second: no event falls between two rings.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

import psycopg
from django.db import DatabaseError

from automate_core import sql

logger = logging.getLogger(__name__)

CHANNEL = "automate_outbox"
RING_SECONDS = 1.0
"""Least time between two rings of one process."""
ALERT_SECONDS = 1.5
"""How long a worker stays alert after a ring or an item; longer than RING_SECONDS."""

NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify(%s, '')"

_lock = threading.Lock()
_last_ring = 0.0
_extra_bells: list[Callable[[], None]] = []


def is_due() -> bool:
    """Tell whether this process may ring now, and count it as having rung."""
    global _last_ring
    now = time.monotonic()
    with _lock:
        if now - _last_ring < RING_SECONDS:
            return False
        _last_ring = now
    return True


def ring() -> None:
    """Wake idle workers; does nothing when this process rang less than a second ago."""
    if not is_due():
        return
    ring_others()
    try:
        sql.execute(NOTIFY, (CHANNEL,))
    except DatabaseError:
        logger.warning("outbox.ring_failed", exc_info=True)


def ring_others() -> None:
    """Ring the bells beside NOTIFY; one that fails costs latency only."""
    for bell in _extra_bells:
        try:
            bell()
        except Exception:
            logger.warning("outbox.bell_failed", exc_info=True)


def has_others() -> bool:
    """Tell whether there are bells beside NOTIFY."""
    return bool(_extra_bells)


def add_bell(bell: Callable[[], None]) -> None:
    """Ring `bell` too: a Celery message, say."""
    if bell not in _extra_bells:
        _extra_bells.append(bell)


class Listener(threading.Thread):
    """Calls `heard` on every ring, on a connection of its own; reconnects with a pause when that breaks."""

    def __init__(self, heard: Callable[[], None]) -> None:
        super().__init__(name="automate-doorbell", daemon=True)
        self._heard = heard
        self._stopping = threading.Event()

    def run(self) -> None:
        """Listen until stopped."""
        while not self._stopping.is_set():
            try:
                self._listen()
            except psycopg.Error as error:
                logger.warning("outbox.listener_lost", extra={"error": str(error)})
                self._stopping.wait(1.0)

    def stop(self) -> None:
        """Ask the thread to end; it does within a second."""
        self._stopping.set()

    def _listen(self) -> None:
        with psycopg.connect(**sql.connect_params(), autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            while not self._stopping.is_set():
                for _ in connection.notifies(timeout=1.0, stop_after=1):
                    self._heard()
