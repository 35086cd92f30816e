"""The drain loop: what happens to a claimed batch when the database goes away, a lease ends, or the worker stops."""

from __future__ import annotations

import time
from datetime import timedelta

import psycopg
import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from automate_core import sql
from automate_core.models import OutboxItem
from automate_core.outbox import OutboxReaper, enqueue
from automate_core.outbox import drain as drain_module
from automate_core.outbox.drain import SUSPECT_PATIENCE_SECONDS, SUSPECT_WATCH_SECONDS, Drain, Lost, Ring
from automate_core.outbox.handlers import ItemHandler, OutboxHandler, handler_registry

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def register():
    kinds = []

    def register(handler):
        for kind in handler.kinds:
            handler_registry.register(kind, handler)
            kinds.append(kind)
        return handler

    yield register
    for kind in kinds:
        handler_registry.unregister(kind)


def cut_connection():
    """End this thread's server process, as a crash of the server would."""
    (pid,) = sql.execute("SELECT pg_backend_pid()")[0]
    with psycopg.connect(**sql.connect_params(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", [pid])


def test_batch_is_handed_out_again_after_its_handler_lost_the_database(register):
    handed = []

    @register
    class Reading(OutboxHandler):
        kinds = ("reading",)

        def handle(self, items):
            handed.append([item.id for item in items])
            sql.execute("SELECT 1")
            self.port.store.complete(items, self.port.worker)

    ids = [enqueue(kind="reading", payload={}) for _ in range(2)]
    drain = Drain(kinds=["reading"])
    claim = drain.store.claim_batch

    def claim_and_lose_the_database(*args, **options):
        drain.store.claim_batch = claim
        items = claim(*args, **options)
        cut_connection()
        return items

    drain.store.claim_batch = claim_and_lose_the_database
    with pytest.raises(OperationalError):
        drain.turn()
    connection.close()
    drain.turn()
    assert (handed, drain.store.held_count(), OutboxItem.all_tenants.count()) == ([ids, ids], 0, 0)


def test_delivered_item_is_settled_once_the_database_is_back_and_not_delivered_again(register):
    delivered = []

    @register
    class Cutting(ItemHandler):
        kinds = ("cutting",)

        def deliver(self, item):
            delivered.append(item.id)
            cut_connection()

    item_id = enqueue(kind="cutting", payload={})
    drain = Drain(kinds=["cutting"])
    with pytest.raises(OperationalError):
        drain.turn()
    connection.close()
    drain.turn()
    assert (delivered, drain.store.held_count(), OutboxItem.all_tenants.count()) == ([item_id], 0, 0)


def test_item_whose_lease_ended_during_its_batch_is_not_delivered(register):
    delivered = []

    @register
    class Losing(ItemHandler):
        kinds = ("losing",)

        def deliver(self, item):
            delivered.append(item.id)
            for held in self.port.store._held.values():
                held.deadline = 0.0

    first, second = (enqueue(kind="losing", payload={}) for _ in range(2))
    drain = Drain(kinds=["losing"])
    drain.turn()
    assert delivered == [first]
    assert list(OutboxItem.all_tenants.values_list("id", "status")) == [(second, "CLAIMED")]
    assert drain.store.held_count() == 0


def test_item_claimed_again_before_its_loss_was_noticed_is_kept(register):
    lost = []

    @register
    class Keeping(OutboxHandler):
        kinds = ("keeping",)

        def handle(self, items):
            pass

        def lost(self, item_ids):
            lost.append(item_ids)

    again, gone = (enqueue(kind="keeping", payload={}) for _ in range(2))
    drain = Drain(kinds=["keeping"])
    drain.turn()
    rows = OutboxItem.all_tenants
    rows.update(lease_expires_at=Now() - timedelta(hours=1))
    assert OutboxReaper().reap_stale_items() == 2
    drain.inbox.put(Lost(frozenset(drain.store.renew(drain.worker))))
    rows.filter(id=gone).update(available_at=Now() + timedelta(hours=1))
    assert [item.id for item in drain.store.claim_suspect(drain.worker)] == [again]
    drain.turn()
    assert (lost, drain.store.held_count()) == ([{gone}], 1)
    assert drain.store.renew(drain.worker) == set()


def held_in_order(register):
    """Register a kind whose items are kept until told; return the ids handled so far and the finishing touch."""
    handled, finished = [], set()

    @register
    class Long(OutboxHandler):
        kinds = ("long",)

        def __init__(self, port):
            super().__init__(port)
            self.items = []

        def handle(self, items):
            handled.extend(item.id for item in items)
            self.items.extend(items)

        def turn(self):
            done = [item for item in self.items if item.id in finished]
            self.items = [item for item in self.items if item.id not in finished]
            self.port.store.complete(done, self.port.worker)
            return bool(done)

    return handled, finished


def make_suspect(item_id, *, ready_for=0.0, attempts=1):
    OutboxItem.all_tenants.filter(id=item_id).update(
        suspect=True, attempts=attempts, available_at=Now() - timedelta(seconds=ready_for)
    )


def turn_after(drain, seconds, monkeypatch, *, since=None):
    """Let the drain look, and act on it, that much later on its own clock; the database's stays."""
    later = (since or time.monotonic()) + seconds
    with monkeypatch.context() as patch:
        patch.setattr(drain_module.time, "monotonic", lambda: later)
        drain.store.look_soon()
        drain.turn()
        drain.turn()


def test_ring_makes_a_worker_look_whatever_the_last_look_cost(register):
    handled, _ = held_in_order(register)
    drain = Drain(kinds=["long"])
    drain.turn()
    drain.store._lanes._next_look = float("inf")
    item_id = enqueue(kind="long", payload={})
    drain.turn()
    assert handled == []
    drain.inbox.put(Ring())
    drain.turn()
    assert handled == [item_id]


def test_busy_worker_leaves_a_fresh_suspect_to_idle_ones(register, monkeypatch):
    handled, _ = held_in_order(register)
    first = enqueue(kind="long", payload={})
    drain = Drain(kinds=["long"])
    drain.turn()
    make_suspect(enqueue(kind="long", payload={}))
    turn_after(drain, 5, monkeypatch)
    assert handled == [first]
    assert list(OutboxItem.all_tenants.filter(suspect=True).values_list("status", flat=True)) == ["PENDING"]


def test_busy_worker_takes_a_suspect_nobody_else_took(register, monkeypatch):
    handled, _ = held_in_order(register)
    first = enqueue(kind="long", payload={})
    drain = Drain(kinds=["long"])
    drain.turn()
    second = enqueue(kind="long", payload={})
    make_suspect(second, ready_for=SUSPECT_PATIENCE_SECONDS + 1)
    turn_after(drain, 5, monkeypatch)
    assert handled == [first, second]


def test_nothing_is_claimed_beside_a_suspect_until_it_has_run_for_a_while(register, monkeypatch):
    handled, _ = held_in_order(register)
    suspect = enqueue(kind="long", payload={})
    make_suspect(suspect)
    drain = Drain(kinds=["long"])
    began = time.monotonic()
    drain.turn()
    other = enqueue(kind="long", payload={})
    turn_after(drain, 0, monkeypatch, since=began)
    assert handled == [suspect]
    turn_after(drain, SUSPECT_WATCH_SECONDS + 0.1, monkeypatch)
    assert handled == [suspect, other]


def test_nothing_is_claimed_beside_a_suspect_that_has_its_last_claim(register, monkeypatch):
    handled, finished = held_in_order(register)
    suspect = enqueue(kind="long", payload={}, max_attempts=3)
    make_suspect(suspect, attempts=2)
    drain = Drain(kinds=["long"])
    drain.turn()
    other = enqueue(kind="long", payload={})
    turn_after(drain, 20, monkeypatch)
    assert handled == [suspect]
    finished.add(suspect)
    turn_after(drain, 21, monkeypatch)
    assert handled == [suspect, other]
