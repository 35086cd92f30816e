"""The store: who may claim what, and whose writes count."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from automate_core.context import tenant_scope
from automate_core.models import OutboxItem, OutboxStatus, Tenant
from automate_core.outbox import LeaseLost, OutboxReaper, OutboxStore, SkipLockedClaimOutboxStore, enqueue

pytestmark = pytest.mark.django_db(transaction=True)


def expire(*ids: int) -> None:
    """Make leases look as old as they would be after their time."""
    OutboxItem.all_tenants.filter(id__in=ids).update(lease_expires_at=timezone.now() - timedelta(hours=2))


def test_claim_leases_oldest_first_and_counts_attempt():
    ids = [enqueue(kind="a", payload={"n": n}) for n in range(3)]
    store = SkipLockedClaimOutboxStore(lease_seconds=300)
    assert isinstance(store, OutboxStore)
    claimed = store.claim_batch("worker-1", limit=2)
    assert [(item.id, item.payload, item.attempts, item.epoch) for item in claimed] == [
        (ids[0], {"n": 0}, 1, 1),
        (ids[1], {"n": 1}, 1, 1),
    ]
    assert [item.id for item in SkipLockedClaimOutboxStore().claim_batch("worker-2")] == [ids[2]]


def test_mark_success_removes_the_item():
    enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore()
    (item,) = store.claim_batch("w")
    store.mark_success(item.id, "w")
    assert OutboxItem.all_tenants.count() == 0


def test_mark_retry_waits_and_keeps_the_error():
    enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore()
    (item,) = store.claim_batch("w")
    later = timezone.now() + timedelta(hours=1)
    store.mark_retry(item.id, "w", later, "busy")
    row = OutboxItem.all_tenants.get()
    assert (row.status, row.available_at, row.error) == (OutboxStatus.PENDING, later, "busy")
    assert SkipLockedClaimOutboxStore().claim_batch("w") == []


def test_mark_retry_beyond_the_attempts_is_a_dead_letter():
    enqueue(kind="a", payload={}, max_attempts=1)
    store = SkipLockedClaimOutboxStore()
    (item,) = store.claim_batch("w")
    store.mark_retry(item.id, "w", timezone.now(), "busy")
    assert OutboxItem.all_tenants.get().status == OutboxStatus.FAILED


def test_stale_epoch_cannot_write():
    enqueue(kind="a", payload={})
    stale = SkipLockedClaimOutboxStore()
    (item,) = stale.claim_batch("w")
    expire(item.id)
    assert OutboxReaper().reap_stale_items() == 1
    OutboxItem.all_tenants.update(available_at=timezone.now())
    (again,) = SkipLockedClaimOutboxStore().claim_batch("w")
    assert (again.id, again.epoch) == (item.id, item.epoch + 1)
    for settle in (
        lambda: stale.mark_success(item.id, "w"),
        lambda: stale.mark_failed(item.id, "w", "x"),
        lambda: stale.mark_retry(item.id, "w", timezone.now(), "x"),
    ):
        stale.adopt(item)
        with pytest.raises(LeaseLost):
            settle()
    stale.adopt(item)
    assert stale.renew("w") == {item.id}
    assert stale.complete([item], "w") == set()
    assert OutboxItem.all_tenants.get().status == OutboxStatus.CLAIMED


def test_reaped_item_is_claimed_alone_and_dies_after_its_claims():
    enqueue(kind="poison", payload={})
    enqueue(kind="a", payload={})
    for claim in (1, 2, 3):
        items = SkipLockedClaimOutboxStore().claim_batch("w")
        assert [item.kind for item in items] == (["poison", "a"] if claim == 1 else ["poison"])
        if claim == 1:
            OutboxItem.all_tenants.filter(kind="a").delete()
        expire(items[0].id)
        assert OutboxReaper().reap_stale_items() == 1
        OutboxItem.all_tenants.update(available_at=timezone.now())
    row = OutboxItem.all_tenants.get()
    assert (row.status, row.attempts, row.suspect) == (OutboxStatus.FAILED, 3, True)
    assert SkipLockedClaimOutboxStore().claim_batch("w") == []


def test_claims_go_round_tenants():
    other = Tenant.objects.create(slug="other", name="Other")
    for n in range(50):
        enqueue(kind="a", payload={"n": n})
    with tenant_scope(other.id):
        late = enqueue(kind="a", payload={"n": "late"})
    claimed = SkipLockedClaimOutboxStore().claim_batch("w", limit=10)
    assert late in [item.id for item in claimed]
    assert len(claimed) == 6


def test_higher_priority_is_claimed_first():
    low = enqueue(kind="a", payload={})
    high = enqueue(kind="a", payload={}, priority=5)
    assert [item.id for item in SkipLockedClaimOutboxStore().claim_batch("w", limit=2)] == [high, low]


def test_key_is_delivered_in_order_one_at_a_time():
    first = enqueue(kind="a", payload={}, key="k")
    second = enqueue(kind="a", payload={}, key="k")
    free = enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore()
    claimed = store.claim_batch("w")
    assert [item.id for item in claimed] == [first, free]
    assert SkipLockedClaimOutboxStore().claim_batch("w2") == []
    store.mark_success(first, "w")
    assert [item.id for item in SkipLockedClaimOutboxStore().claim_batch("w2")] == [second]


def test_dead_key_stalls_only_itself():
    first = enqueue(kind="a", payload={}, key="k")
    enqueue(kind="a", payload={}, key="k")
    other = enqueue(kind="a", payload={}, key="other")
    store = SkipLockedClaimOutboxStore()
    store.claim_batch("w")
    store.mark_failed(first, "w", "broken")
    assert [item.id for item in SkipLockedClaimOutboxStore().claim_batch("w2")] == []
    store.mark_success(other, "w")
    assert list(OutboxItem.all_tenants.filter(status="PENDING").values_list("key", flat=True)) == ["k"]


def test_release_gives_back_without_counting():
    enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore()
    store.release(store.claim_batch("w"), "w")
    (item,) = SkipLockedClaimOutboxStore().claim_batch("w")
    assert (item.attempts, item.epoch) == (1, 2)


def test_defer_gives_back_for_later_without_counting():
    soon, late = enqueue(kind="a", payload={}), enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore()
    first, second = store.claim_batch("w")
    before = timezone.now()
    store.defer([(first, 30.0), (second, 60.0)], "w")
    assert store.held_count() == 0
    assert SkipLockedClaimOutboxStore().claim_batch("w") == []
    rows = OutboxItem.all_tenants.in_bulk([soon, late])
    assert [(row.status, row.attempts) for row in rows.values()] == [("PENDING", 0)] * 2
    waits = [(rows[one].available_at - before).total_seconds() // 10 for one in (soon, late)]
    assert waits == [3, 6]


def test_defer_of_a_lost_claim_changes_nothing():
    enqueue(kind="a", payload={})
    stale = SkipLockedClaimOutboxStore()
    (item,) = stale.claim_batch("w")
    expire(item.id)
    OutboxReaper().reap_stale_items()
    (again,) = SkipLockedClaimOutboxStore().claim_suspect("w2")
    stale.defer([(item, 60.0)], "w")
    row = OutboxItem.all_tenants.get()
    assert (row.status, row.lease_owner, row.lease_epoch) == ("CLAIMED", "w2", again.epoch)


def test_kinds_limit_what_is_claimed():
    enqueue(kind="a", payload={})
    b = enqueue(kind="b", payload={})
    assert [item.id for item in SkipLockedClaimOutboxStore(kinds=["b"]).claim_batch("w")] == [b]


def test_future_item_is_not_claimed():
    enqueue(kind="a", payload={}, available_at=timezone.now() + timedelta(hours=1))
    assert SkipLockedClaimOutboxStore().claim_batch("w") == []


def test_busy_store_still_notices_suspects_and_late_items(monkeypatch):
    enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore()
    (poisoned,) = store.claim_batch("gone")
    expire(poisoned.id)
    OutboxReaper().reap_stale_items()
    OutboxItem.all_tenants.update(available_at=timezone.now())
    store.forget(poisoned.id)
    monkeypatch.setattr("automate_core.outbox.lanes.LOOK_AT_LEAST_SECONDS", 0.0)
    monkeypatch.setattr("automate_core.outbox.lanes.LOOK_SHARE", 0)
    store.look_soon()
    for n in range(3):
        enqueue(kind="a", payload={"n": n})
    assert [item.payload for item in store.claim_batch("w", limit=1)] == [{"n": 0}]
    assert store.suspects_waiting is True
    late = enqueue(kind="a", payload={"n": "late"})
    OutboxItem.all_tenants.filter(pk=late).update(available_at=timezone.now() - timedelta(minutes=5))
    assert [item.id for item in store.claim_batch("w", limit=1)] == [late]
