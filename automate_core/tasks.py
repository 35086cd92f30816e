"""Celery tasks of the outbox: doorbells that carry nothing; the plain drain loop does the same work."""

from __future__ import annotations

from celery import shared_task

from automate_core import sql
from automate_core.outbox.drain import Drain
from automate_core.outbox.duties import duty_registry
from automate_core.outbox.heartbeat import Heartbeat
from automate_core.outbox.reaper import OutboxReaper

REAPER_BEAT = """
INSERT INTO automate_core_workerbeat (worker, kinds, reaped_at) VALUES ('celery-reaper', '', clock_timestamp())
ON CONFLICT (worker) DO UPDATE SET seen_at = clock_timestamp(), reaped_at = clock_timestamp()
"""


@shared_task(ignore_result=True, name="automate_core.tasks.drain_outbox")  # type: ignore[untyped-decorator]
def drain_outbox(max_seconds: float = 50.0) -> None:
    """Drain the outbox until it is empty or `max_seconds` are over."""
    drain = Drain()
    heartbeat = Heartbeat(drain)
    heartbeat.start()
    try:
        drain.run_until_empty(max_seconds=max_seconds)
    finally:
        heartbeat.stop()
        heartbeat.join(timeout=5)


@shared_task(ignore_result=True, name="automate_core.tasks.reap_outbox")  # type: ignore[untyped-decorator]
def reap_outbox() -> None:
    """Take items back from workers that stopped, and note that somebody looks after that."""
    OutboxReaper().reap_stale_items()
    sql.execute(REAPER_BEAT)


@shared_task(ignore_result=True, name="automate_core.tasks.run_duties")  # type: ignore[untyped-decorator]
def run_duties() -> None:
    """Do every registered duty once: schedules, and what else workers do on the side."""
    for name in duty_registry:
        duty_registry.get(name).run()
