"""Celery tasks of the outbox: doorbells that carry nothing; the plain drain loop does the same work."""

from __future__ import annotations

from celery import shared_task

from automate_core.outbox.drain import Drain
from automate_core.outbox.heartbeat import Heartbeat
from automate_core.outbox.reaper import OutboxReaper


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
    """Take items back from workers that stopped."""
    OutboxReaper().reap_stale_items()
