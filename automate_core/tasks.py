"""Celery tasks of the outbox: doorbells that carry nothing; the plain drain loop does the same work.

A task that is lost, doubled, late or out of order changes nothing but latency: what there is to do, and who
does it, stands in the database alone.
"""

from __future__ import annotations

import mmap
import threading
import time
from functools import cache
from typing import Any

# Says what to install when Celery is missing, so it comes first.
from automate_core.outbox.celery_bell import BellTask, Ringer  # isort: skip

from celery import shared_task
from celery.signals import worker_shutting_down

from automate_core import conf, sql
from automate_core.outbox.drain import Drain
from automate_core.outbox.duties import Duty, DutyThread, duty_registry
from automate_core.outbox.heartbeat import Heartbeat
from automate_core.outbox.reaper import OutboxReaper
from automate_core.outbox.worker import SWEEP

REAP_SECONDS = 5.0
RING_EXPIRES_SECONDS = 5.0
UNNOTICED_SECONDS = 0.5
"""How long a drain runs before it beats and does duties: one that finds nothing is over long before."""

ALIVE = """
INSERT INTO automate_core_workerbeat AS beat (worker, kinds, reaped_at)
VALUES ('celery', '', CASE WHEN %(reaped)s THEN clock_timestamp() END)
ON CONFLICT (worker) DO UPDATE SET
  started_at = CASE WHEN beat.seen_at < clock_timestamp() - interval '1 minute' THEN clock_timestamp()
                    ELSE beat.started_at END,
  seen_at = clock_timestamp(),
  reaped_at = coalesce(excluded.reaped_at, beat.reaped_at)
"""
"""One row stands for all Celery workers together: tasks come and go, and their processes know no beat."""

_shutting_down = mmap.mmap(-1, 1)
"""One byte that a Celery worker shares with the processes it forks."""


class Sweep(Drain):
    """A drain loop that ends when nothing is left to do, after `max_seconds`, or when its worker shuts down.

    What is in flight by then is finished, exactly as by a worker that is told to stop.
    """

    def __init__(self, max_seconds: float) -> None:
        super().__init__()
        self.over = threading.Event()
        self._deadline = time.monotonic() + max_seconds
        self._moved_since_look = False

    def turn(self) -> bool:
        """Do one round, without new claims once the time is over."""
        if time.monotonic() >= self._deadline or _shutting_down[0]:
            self.over.set()
            self._stopping = True
        moved = super().turn()
        self._moved_since_look |= moved
        return moved

    def wait(self, stop: threading.Event) -> None:
        """Wait for what is in flight; without any, look at the whole outbox once more, then end."""
        if self.store.held_count():
            super().wait(stop)
        elif self._moved_since_look:
            self._moved_since_look = False
            self.store.look_soon()
        else:
            stop.set()


class LateHeartbeat(Heartbeat):
    """A heartbeat that spares a short drain its connection: a claim outlives the delay many times over."""

    def run(self) -> None:
        """Beat until stopped, unless that comes first."""
        if not self._stopping.wait(min(UNNOTICED_SECONDS, self._drain.store.lease_seconds / 6)):
            super().run()


class LateDuties(DutyThread):
    """The duties beside a long drain, which may keep every process of a Celery worker from `run_duties`."""

    def run(self) -> None:
        """Do duties until stopped, unless that comes first."""
        if not self._stopping.wait(UNNOTICED_SECONDS):
            super().run()


@shared_task(base=BellTask, ignore_result=True, acks_late=True, name="automate_core.tasks.drain_outbox")  # type: ignore[untyped-decorator]
def drain_outbox(max_seconds: float = 50.0) -> None:
    """Drain the outbox until it is empty or `max_seconds` are over, and finish what is in flight."""
    sweep = Sweep(max_seconds)
    duties = [Duty("reap", REAP_SECONDS, reap), *_registered()]
    beside: list[LateHeartbeat | LateDuties] = [LateHeartbeat(sweep), LateDuties(duties)]
    for thread in beside:
        thread.start()
    try:
        sweep.run(sweep.over)
    finally:
        for thread in beside:
            thread.stop()
        for thread in beside:
            thread.join(timeout=5)


@shared_task(base=BellTask, ignore_result=True, acks_late=True, name="automate_core.tasks.reap_outbox")  # type: ignore[untyped-decorator]
def reap_outbox() -> None:
    """Take items back from workers that stopped, and note that somebody looks after that."""
    reap()


@shared_task(base=BellTask, ignore_result=True, acks_late=True, name="automate_core.tasks.run_duties")  # type: ignore[untyped-decorator]
def run_duties() -> None:
    """Do every registered duty that is due, schedules among them, and note that Celery is alive."""
    sql.execute(ALIVE, {"reaped": False})
    _duties_of_this_process().do_due()


def reap() -> None:
    """Take items back, note it, and drop the beats of processes that are long gone."""
    OutboxReaper(max(600.0, 2 * conf.get().LEASE_SECONDS)).reap_stale_items()
    sql.execute(ALIVE, {"reaped": True})
    sql.execute(SWEEP)


ringer = Ringer(lambda: drain_outbox.apply_async(expires=RING_EXPIRES_SECONDS, retry=False))
"""Rings Celery for new outbox items, when `AUTOMATE["CELERY_DOORBELL"]` is on."""


@cache
def _duties_of_this_process() -> DutyThread:
    return DutyThread(_registered())


def _registered() -> list[Duty]:
    return [duty_registry.get(name) for name in duty_registry]


def _stop_soon(**_: Any) -> None:
    _shutting_down[0] = 1


worker_shutting_down.connect(_stop_soon)
