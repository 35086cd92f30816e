"""Workflows to test with, and the ways a worker's life can go: drained to the end, or lost in the middle."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.db.models import F
from django.utils import timezone

from automate.models import Automation, Execution, StepRun
from automate.workflows import create_workflow
from automate_core.models import OutboxItem, OutboxStatus
from automate_core.outbox import OutboxReaper
from automate_core.outbox.drain import Drain

EVENT = "order.created"
PATIENCE_SECONDS = 60.0

THREE_PURE = {
    "nodes": [
        {"id": "vars", "type": "set", "config": {"values": {"n": "{{ event.payload.n }}"}}},
        {"id": "shape", "type": "transform", "config": {"output": {"n": "{{ variables.n }}"}}},
        {"id": "log", "type": "logging", "config": {"message": "order {{ steps.shape.output.n }}"}},
    ]
}


def node(key: str, kind: str, config: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """Return a node of a graph."""
    return {"id": key, "type": kind, "config": dict(config or {}), **more}


def edge(source: str, target: str, handle: str | None = None) -> dict[str, Any]:
    """Return an edge of a graph."""
    return {"source": source, "target": target, **({"source_handle": handle} if handle else {})}


def workflow(*nodes: Mapping[str, Any], edges: Any = (), slug: str = "orders", **more: Any) -> Automation:
    """Create a workflow that EVENT starts."""
    settings = {"trigger_type": "event", "trigger_config": {"event_type": EVENT}, **more}
    graph = {"nodes": list(nodes), "edges": list(edges)}
    return create_workflow(name=slug, slug=slug, graph=graph, by="test", **settings)


def drain() -> None:
    """Run one worker until nothing is ready or in flight."""
    Drain().run_until_empty(max_seconds=120)


def wake() -> None:
    """Make every waiting item ready, by moving what waits rather than the clock."""
    waiting = OutboxItem.all_tenants.filter(status=OutboxStatus.PENDING)
    waiting.update(available_at=timezone.now() - timedelta(hours=1))
    due = StepRun.all_tenants.filter(wake_at__isnull=False)
    due.update(wake_at=F("wake_at") - timedelta(days=800))


def lose_workers() -> int:
    """Make every lease look as old as that of a lost worker, reap, and make the items ready; return how many."""
    held = OutboxItem.all_tenants.filter(status=OutboxStatus.CLAIMED)
    held.update(lease_expires_at=timezone.now() - timedelta(hours=2))
    stale, reaped = held.filter(lease_expires_at__lt=timezone.now() - timedelta(hours=1)), 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        reaped += OutboxReaper().reap_stale_items()
        if not stale.exists():
            break
        # A thread of the lost worker records something just now, and the reaper passes by what it has locked.
        assert time.monotonic() < deadline, "an item cannot be reaped"
        time.sleep(0.01)
    wake()
    return reaped


def finish(execution_id: Any = None, *, rounds: int = 20) -> Execution:
    """Drain and wake until the (only) execution is over; return it."""
    for _ in range(rounds):
        drain()
        found = Execution.all_tenants.filter(pk=execution_id) if execution_id else Execution.all_tenants.all()
        execution = found.get()
        if execution.finished_at is not None:
            return execution
        wake()
    raise AssertionError(f"Execution {execution.id} is still {execution.status}")


def steps(execution: Execution) -> list[tuple[str, int, str]]:
    """Return (path, attempt, status) of the execution's steps in the order they last changed."""
    rows = StepRun.all_tenants.filter(execution=execution).order_by("seq")
    return [(row.path, row.attempt, row.status) for row in rows]
