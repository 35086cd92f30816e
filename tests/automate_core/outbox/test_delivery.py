"""Delivery by a drain loop: what a handler raises decides what becomes of its item, and of no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from automate_core.context import current_trace_id, tenant_in_context, trace_scope
from automate_core.errors import PermanentError, TransientError
from automate_core.models import DEFAULT_TENANT_ID, OutboxItem
from automate_core.outbox import enqueue
from automate_core.outbox.drain import Drain
from automate_core.outbox.handlers import ItemHandler, handler_registry, register_handler

pytestmark = pytest.mark.django_db(transaction=True)

KIND = "tests.recorded"


@pytest.fixture
def delivered():
    """Register a handler that raises what its item asks for; return what it was given, in order."""
    seen = []
    errors = {
        "busy": TransientError("busy"),
        "later": TransientError("later", retry_after_seconds=1000),
        "never": PermanentError("never"),
        "odd": ValueError("odd\x00"),
    }

    class Recorder(ItemHandler):
        kinds = (KIND,)

        def deliver(self, item):
            seen.append((item.payload["say"], tenant_in_context(), current_trace_id()))
            if item.payload["say"] in errors:
                raise errors[item.payload["say"]]

    register_handler(Recorder)
    yield seen
    handler_registry.unregister(KIND)


def test_delivered_item_leaves_the_outbox_in_its_tenant_and_trace(delivered):
    with trace_scope("trace-1"):
        enqueue(kind=KIND, payload={"say": "ok"})
    Drain(kinds=[KIND]).run_until_empty()
    assert (delivered, OutboxItem.objects.count()) == ([("ok", DEFAULT_TENANT_ID, "trace-1")], 0)


def test_errors_decide_item_by_item(delivered):
    for say in ("ok", "later", "never", "odd"):
        enqueue(kind=KIND, payload={"say": say}, max_attempts=1 if say == "odd" else 3)
    before = timezone.now()
    Drain(kinds=[KIND]).run_until_empty()
    rows = OutboxItem.objects.order_by("id").values_list("payload__say", "status", "error")
    assert list(rows) == [
        ("later", "PENDING", "later"),
        ("never", "FAILED", "never"),
        ("odd", "FAILED", "ValueError: odd"),
    ]
    wait = OutboxItem.objects.get(status="PENDING").available_at - before
    assert timedelta(seconds=990) < wait < timedelta(seconds=1100)


def test_item_that_stays_busy_becomes_a_dead_letter(delivered):
    enqueue(kind=KIND, payload={"say": "busy"}, max_attempts=3)
    for _ in range(3):
        Drain(kinds=[KIND]).run_until_empty()
        OutboxItem.objects.filter(status="PENDING").update(available_at=timezone.now() - timedelta(hours=1))
    Drain(kinds=[KIND]).run_until_empty()
    assert len(delivered) == 3
    assert list(OutboxItem.objects.values_list("status", "attempts", "error")) == [("FAILED", 3, "busy")]


def test_loop_leaves_other_kinds_alone(delivered):
    enqueue(kind="tests.other", payload={"say": "ok"})
    enqueue(kind=KIND, payload={"say": "ok"})
    Drain(kinds=[KIND]).run_until_empty()
    assert list(OutboxItem.objects.values_list("kind", "status")) == [("tests.other", "PENDING")]


def test_loop_is_not_done_before_a_fresh_look_finds_nothing(delivered):
    """Looks are rationed by what they cost; one that was slow must not make the outbox look empty."""
    drain = Drain(kinds=[KIND])
    drain.turn()
    drain.store._lanes.found([], took_seconds=60.0)
    enqueue(kind=KIND, payload={"say": "ok"})
    drain.run_until_empty()
    assert len(delivered) == 1


def test_items_of_several_claims_are_all_delivered_in_order(delivered):
    for number in range(25):
        enqueue(kind=KIND, payload={"say": number})
    Drain(kinds=[KIND], limit=10).run_until_empty()
    assert [say for say, *_ in delivered] == list(range(25))


def test_handler_learns_of_items_given_up(monkeypatch):
    from automate_core.errors import PermanentError, TransientError
    from automate_core.outbox import enqueue
    from automate_core.outbox.drain import Drain
    from automate_core.outbox.handlers import ItemHandler, handler_registry, register_handler

    told = []

    class Refusing(ItemHandler):
        kinds = ("refused",)

        def deliver(self, item):
            raise PermanentError("never") if item.payload["n"] else TransientError("not now")

        @classmethod
        def dead(cls, items):
            told.extend((one.item.payload["n"], one.error) for one in items)

    register_handler(Refusing)
    try:
        enqueue(kind="refused", payload={"n": 0}, max_attempts=1)
        enqueue(kind="refused", payload={"n": 1})
        Drain(kinds=["refused"]).run_until_empty()
    finally:
        handler_registry.unregister("refused")
    assert told == [(0, "not now"), (1, "never")]
