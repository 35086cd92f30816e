"""The drain loop: what happens to a claimed batch when the database goes away, a lease ends, or the worker stops."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now

from automate_core import sql
from automate_core.models import OutboxItem
from automate_core.outbox import OutboxReaper, enqueue
from automate_core.outbox.drain import Drain, Lost
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

    def claim_and_lose_the_database(*args):
        drain.store.claim_batch = claim
        items = claim(*args)
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


def test_stopping_worker_gives_back_the_suspect_it_was_about_to_run(register):
    finish = threading.Event()

    @register
    class Slow(OutboxHandler):
        kinds = ("slow",)

        def handle(self, items):
            self.items = [*getattr(self, "items", []), *items]

        def turn(self):
            done = self.items if finish.is_set() else []
            self.port.store.complete(done, self.port.worker)
            return bool(done)

    enqueue(kind="slow", payload={})
    drain = Drain(kinds=["slow"])
    drain.turn()
    suspect = enqueue(kind="slow", payload={})
    OutboxItem.all_tenants.filter(id=suspect).update(suspect=True)
    drain.store._lanes._next_look = 0.0
    drain.turn()
    assert OutboxItem.all_tenants.get(id=suspect).status == "CLAIMED"
    stop = threading.Event()
    stop.set()
    finish.set()
    loop = threading.Thread(target=lambda: (drain.run(stop), connection.close()), daemon=True)
    loop.start()
    loop.join(timeout=20)
    assert not loop.is_alive()
    rows = OutboxItem.all_tenants.values_list("id", "status", "attempts", "suspect")
    assert list(rows) == [(suspect, "PENDING", 0, True)]
