"""Claims from many connections at once: each item once, tenants in turn, keys in order."""

from __future__ import annotations

import random
import threading
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from automate.events import emit_event
from automate.models import Event
from automate_core.context import tenant_scope
from automate_core.models import DEFAULT_TENANT_ID, OutboxItem, Tenant
from automate_core.outbox import LeaseLost, OutboxReaper, SkipLockedClaimOutboxStore, enqueue

pytestmark = pytest.mark.django_db(transaction=True)

THREADS = 8


def together(work, count=THREADS):
    """Run `work(number)` in threads that start at the same moment; return their results."""
    start = threading.Barrier(count)

    def begin(number):
        start.wait(60)
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def fill(count, tenant_id=DEFAULT_TENANT_ID):
    OutboxItem.all_tenants.bulk_create(
        OutboxItem(
            tenant_id=tenant_id, kind="a", payload={}, available_at=timezone.now() - timedelta(hours=1)
        )
        for _ in range(count)
    )


@pytest.mark.timeout(600)
def test_eight_threads_claim_each_of_five_thousand_items_exactly_once():
    fill(5_000)

    def work(number):
        store, mine, empty = SkipLockedClaimOutboxStore(), [], 0
        while empty < 3:
            items = store.claim_batch(f"w{number}", limit=50)
            empty = 0 if items else empty + 1
            store.look_soon()
            assert store.complete(items, f"w{number}") == {item.id for item in items}
            mine += [item.id for item in items]
        return mine

    claims = Counter(item_id for mine in together(work) for item_id in mine)
    assert (len(claims), set(claims.values()), OutboxItem.objects.count()) == (5_000, {1}, 0)


def test_renewed_lease_outlives_its_first_end_and_an_expired_one_does_not():
    first, second = enqueue(kind="a", payload={}), enqueue(kind="a", payload={})
    store = SkipLockedClaimOutboxStore(lease_seconds=300)
    store.claim_batch("w", limit=2)
    OutboxItem.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    store.forget(second)
    assert store.renew("w") == set()
    assert OutboxReaper().reap_stale_items() == 1
    assert dict(OutboxItem.objects.values_list("id", "status")) == {first: "CLAIMED", second: "PENDING"}
    store.mark_success(first, "w")
    with pytest.raises(LeaseLost, match=f"no longer holds outbox item {second}"):
        store.mark_success(second, "w")


def test_item_without_a_sign_of_life_is_stale_although_its_lease_runs():
    enqueue(kind="a", payload={})
    SkipLockedClaimOutboxStore(lease_seconds=86_400).claim_batch("w")
    OutboxItem.objects.update(lease_renewed_at=timezone.now() - timedelta(seconds=700))
    assert OutboxReaper(stale_threshold_seconds=800).reap_stale_items() == 0
    assert OutboxReaper(stale_threshold_seconds=600).reap_stale_items() == 1


def test_reapers_at_the_same_time_take_each_item_once():
    fill(400)
    SkipLockedClaimOutboxStore().claim_batch("w", limit=400)
    OutboxItem.objects.update(lease_expires_at=timezone.now() - timedelta(hours=1))
    assert sum(together(lambda number: OutboxReaper(limit=30).reap_stale_items(), 4)) == 400
    assert set(OutboxItem.objects.values_list("status", "attempts")) == {("PENDING", 1)}


def test_small_tenant_is_not_starved_by_a_large_one():
    fill(1_000)
    small = Tenant.objects.create(slug="small", name="Small")
    fill(5, small.id)
    store = SkipLockedClaimOutboxStore()
    seen = [store.claim_batch("w", limit=10) for _ in range(2)]
    claimed = Counter(item.tenant_id for items in seen for item in items)
    assert claimed[small.id] == 5


def test_keyed_items_of_concurrent_producers_are_delivered_in_commit_order():
    keys, each = ("k1", "k2"), 15

    def produce(number):
        for _ in range(each):
            with transaction.atomic():
                key = random.choice(keys)
                enqueue(kind="a", payload={}, key=key)

    delivered = defaultdict(list)
    lock = threading.Lock()
    in_flight = Counter()
    produced = threading.Event()

    def consume(number):
        store = SkipLockedClaimOutboxStore()
        while True:
            done = produced.is_set()
            store.look_soon()
            items = store.claim_batch(f"w{number}", limit=3)
            if done and not items and not OutboxItem.all_tenants.exists():
                return
            for item in items:
                with lock:
                    in_flight[item.key] += 1
                    assert in_flight[item.key] == 1, "two items of one key at the same time"
                    delivered[item.key].append(item.id)
                with lock:
                    in_flight[item.key] -= 1
                store.mark_success(item.id, f"w{number}")

    def work(number):
        if number < 4:
            produce(number)
            with lock:
                left.pop()
                if not left:
                    produced.set()
        else:
            consume(number)

    left = [1, 2, 3, 4]
    together(work, 7)
    assert sum(map(len, delivered.values())) == 4 * each
    for ids in delivered.values():
        assert ids == sorted(ids)


def test_keyed_enqueue_waits_for_the_transaction_before_it():
    """Without the wait, a later commit could carry an earlier id and be delivered out of turn."""
    entered, finish = threading.Event(), threading.Event()

    def early():
        with transaction.atomic():
            item_id = enqueue(kind="a", payload={}, key="k")
            entered.set()
            assert finish.wait(60)
        connection.close()
        return item_id

    def late():
        assert entered.wait(60)
        item_id = enqueue(kind="a", payload={}, key="k")
        connection.close()
        return item_id

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(early), pool.submit(late)
        assert entered.wait(60)
        wait_until_somebody_waits_for_a_lock()
        assert not second.done()
        finish.set()
        assert first.result() < second.result()


def wait_until_somebody_waits_for_a_lock():
    for _ in range(12_000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
        threading.Event().wait(0.005)
    raise AssertionError("nobody waits for a lock")


def test_rolled_back_transactions_emit_nothing():
    """A thousand emits, half of them rolled back at random: exactly the committed set is left."""
    dice = random.Random(20_240_229)
    kept = set()

    class Rollback(Exception):
        pass

    for number in range(1_000):
        try:
            with transaction.atomic():
                event_id = emit_event("order.created", {"n": number})
                if dice.random() < 0.5:
                    raise Rollback
        except Rollback:
            continue
        kept.add(event_id)
    assert 400 < len(kept) < 600
    assert {str(pk) for pk in Event.objects.values_list("pk", flat=True)} == kept
    assert {item["event_id"] for item in OutboxItem.objects.values_list("payload", flat=True)} == kept


def test_savepoint_rolled_back_takes_its_event_along():
    with transaction.atomic():
        kept = emit_event("order.created", {})
        with transaction.atomic():
            emit_event("order.created", {})
            transaction.set_rollback(True)
    assert [str(pk) for pk in Event.objects.values_list("pk", flat=True)] == [kept]


def test_emits_at_the_same_time_with_one_dedupe_key_are_one_event():
    ids = together(lambda number: [emit_event("paid", {"by": number}, dedupe_key="k") for _ in range(8)])
    assert len({event_id for mine in ids for event_id in mine}) == 1
    assert (Event.objects.count(), OutboxItem.objects.count()) == (1, 1)


def test_dedupe_key_of_a_rolled_back_event_is_free_for_the_one_that_waited():
    entered, finish = threading.Event(), threading.Event()

    def loser():
        with transaction.atomic():
            emit_event("paid", {"by": "loser"}, dedupe_key="k")
            entered.set()
            assert finish.wait(60)
            transaction.set_rollback(True)
        connection.close()

    def winner():
        assert entered.wait(60)
        event_id = emit_event("paid", {"by": "winner"}, dedupe_key="k")
        connection.close()
        return event_id

    with ThreadPoolExecutor(2) as pool:
        pool.submit(loser)
        won = pool.submit(winner)
        assert entered.wait(60)
        wait_until_somebody_waits_for_a_lock()
        finish.set()
        event_id = won.result()
    assert list(Event.objects.values_list("id", "payload")) == [(Event.objects.get().id, {"by": "winner"})]
    assert str(Event.objects.get().id) == event_id


def test_dedupe_key_is_the_tenants_and_the_sources_own():
    other = Tenant.objects.create(slug="other", name="Other")
    first = emit_event("paid", {}, dedupe_key="k")
    with tenant_scope(other.id):
        second = emit_event("paid", {}, dedupe_key="k")
    third = emit_event("paid", {}, dedupe_key="k", source="shop")
    assert len({first, second, third}) == 3
