"""Named checks of the promises that the mutation gate breaks; each raises when its promise does not hold."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from automate.enums import ExecutionStatus
from automate.events import emit_event
from automate.executions.record import record
from automate.executions.rows import Change, ExecutionRow
from automate.models import Event, Execution
from automate_core import sql
from automate_core.models import OutboxItem
from automate_core.outbox import OutboxReaper, SkipLockedClaimOutboxStore, enqueue, statements
from automate_core.outbox.base import ClaimedItem
from tests.factories.engine import EVENT, drain, lose_workers, node, workflow

PATIENCE_SECONDS = 60.0


def claim_and_lose() -> tuple[SkipLockedClaimOutboxStore, ClaimedItem]:
    """Claim an item, lose it, and let the same worker name claim it again; return the stale store and claim."""
    enqueue(kind="a", payload={})
    stale = SkipLockedClaimOutboxStore()
    (item,) = stale.claim_batch("w")
    assert lose_workers() == 1
    assert len(SkipLockedClaimOutboxStore().claim_batch("w")) == 1
    return stale, item


def stale_worker_settles_nothing() -> None:
    """A worker whose lease was taken away cannot settle, renew or give back, not even under its own name."""
    stale, item = claim_and_lose()
    lease = OutboxItem.objects.values_list("lease_expires_at", flat=True).get()
    assert stale.renew("w") == {item.id}
    assert OutboxItem.objects.values_list("lease_expires_at", flat=True).get() == lease
    stale.release([item], "w")
    assert stale.fail([(item, "x")], "w") == set()
    assert stale.complete([item], "w") == set()
    assert OutboxItem.objects.values_list("status", "attempts", "lease_epoch").get() == ("CLAIMED", 2, 2)


def stale_worker_records_nothing() -> None:
    """A worker whose lease was taken away cannot write an execution's progress."""
    made = workflow(node("wait", "delay", {"seconds": 60}))
    execution = Execution.objects.create(automation=made, version=made.live_version, context={})
    stale, item = claim_and_lose()
    row = ExecutionRow(
        id=str(execution.id), tenant_id=str(execution.tenant_id), automation_id=str(made.id),
        version_id=str(made.live_version_id), event_id=None, trigger_id=None,
        status=ExecutionStatus.SUCCESS.value, context="{}", trace_id="", cause_execution_id=None, depth=0,
        priority=0, started_at=0.0, finished_at=1.0,
    )  # fmt: skip
    for settles in (False, True):
        recorded = record(
            [Change(item, settles, changed=[row])], worker="w", lease_seconds=stale.lease_seconds
        )
        assert recorded.held == frozenset()
    execution.refresh_from_db()
    assert (execution.status, OutboxItem.objects.get().status) == ("QUEUED", "CLAIMED")


def item_that_kills_its_worker_runs_out_of_attempts() -> None:
    """Three claims that never come back make a dead letter: nobody is left to count a failure."""
    enqueue(kind="a", payload={}, max_attempts=3)
    for _ in range(3):
        assert len(SkipLockedClaimOutboxStore().claim_batch("w")) == 1
        assert lose_workers() == 1
    assert OutboxItem.objects.values_list("status", "attempts").get() == ("FAILED", 3)


def reaper_spares_a_lease_renewed_meanwhile() -> None:
    """A renewal that commits while the reaper is at work is seen by it: the item stays with its worker."""
    enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore(lease_seconds=300)
    store.claim_batch("w")
    OutboxItem.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert store.renew("w") == set()
            reaping = pool.submit(_reap)
            _wait_until_done_or_blocked(reaping)
        assert reaping.result(PATIENCE_SECONDS) == 0
    assert OutboxItem.objects.values_list("status", "lease_owner").get() == ("CLAIMED", "w")


def lease_runs_on_the_databases_clock() -> None:
    """A lease ends its length after now as the database sees it, whatever the worker's clock says."""
    enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore(lease_seconds=300)
    store.claim_batch("w")
    _assert_lease_is_between(290, 301)
    assert OutboxReaper().reap_stale_items() == 0
    assert store.renew("w") == set()
    _assert_lease_is_between(290, 301)


def dedupe_key_makes_one_event() -> None:
    """Emits with one key at the same time are one event and one delivery."""
    start = threading.Barrier(4)

    def emit(number: int) -> set[str]:
        start.wait(PATIENCE_SECONDS)
        try:
            return {emit_event(EVENT, {"by": number}, dedupe_key="k") for _ in range(3)}
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        ids = set().union(*pool.map(emit, range(4)))
    assert (len(ids), Event.objects.count(), OutboxItem.objects.count()) == (1, 1, 1)


def event_starts_each_automation_once() -> None:
    """An event delivered twice starts one execution for each trigger."""
    workflow(node("a", "merge"))
    event_id = emit_event(EVENT, {})
    enqueue(kind="event", payload={"event_id": event_id})
    drain()
    enqueue(kind="event", payload={"event_id": event_id})
    drain()
    assert list(Execution.objects.values_list("event_id", "status")) == [(Event.objects.get().id, "SUCCESS")]


def _reap() -> int:
    try:
        return OutboxReaper().reap_stale_items()
    finally:
        connection.close()


def _wait_until_done_or_blocked(reaping) -> None:
    for _ in range(int(PATIENCE_SECONDS / 0.01)):
        sql.execute("SELECT pg_stat_clear_snapshot()")
        blocked = sql.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        if reaping.done() or blocked:
            return
        threading.Event().wait(0.01)
    raise AssertionError("the reaper neither finished nor waits")


def _assert_lease_is_between(least: float, most: float) -> None:
    ((remaining,),) = sql.execute(
        f"SELECT extract(epoch FROM lease_expires_at - clock_timestamp())::float8 FROM {statements.TABLE}"
    )
    assert least < remaining < most
