"""Throttled triggers: the first events of a window pass, whoever dispatches them and however often."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Sum

from automate.events import emit_event
from automate.limits.throttle import sift
from automate.limits.windows import Candidate, Throttle
from automate.models import Automation, Execution, Trigger, TriggerWindow
from automate_core.ids import uuid7
from automate_core.models import OutboxItem
from tests.factories.engine import EVENT, drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

A_DAY = 86_400


def throttled(**throttle: Any) -> Automation:
    """Create a workflow with a throttled trigger; its windows are long, so that no test meets a window's end."""
    throttle = {"per_seconds": 30 * A_DAY, **throttle}
    return workflow(
        node("log", "logging", {"message": "done"}),
        trigger_config={"event_type": EVENT, "throttle": throttle},
    )


def counts() -> list[tuple[str, int, int]]:
    return list(TriggerWindow.objects.order_by("key").values_list("key", "events", "started"))


def candidate(key: str = "") -> Candidate:
    trigger = Trigger.objects.get()
    return Candidate(str(trigger.tenant_id), str(trigger.id), str(uuid7()), key)


def test_events_over_the_limit_start_nothing_and_are_counted(caplog):
    throttled(limit=2)
    for n in range(5):
        emit_event(EVENT, {"n": n})
    with caplog.at_level(logging.INFO, "automate.limits.throttle"):
        drain()
    passed = Execution.objects.order_by("id").values_list("event__payload__n", flat=True)
    assert (sorted(passed), counts()) == ([0, 1], [("", 5, 2)])
    assert [record.events for record in caplog.records if record.message == "throttle.dropped"] == [3]


def test_each_key_has_a_limit_of_its_own():
    throttled(limit=1, key="{{ event.payload.account }}")
    for account in ("a", "b", "a", "a"):
        emit_event(EVENT, {"account": account})
    drain()
    assert counts() == [("a", 3, 1), ("b", 1, 1)]
    assert Execution.objects.count() == 2


def test_next_window_starts_anew():
    throttled(limit=1)
    emit_event(EVENT, {})
    drain()
    TriggerWindow.objects.update(
        opened_at=F("opened_at") - F("closes_at") + F("opened_at"), closes_at=F("opened_at")
    )
    emit_event(EVENT, {})
    drain()
    assert (Execution.objects.count(), counts()) == (2, [("", 1, 1), ("", 1, 1)])


def test_event_dispatched_again_is_answered_alike_and_not_counted():
    throttled(limit=1)
    for _ in range(2):
        emit_event(EVENT, {})
    items = list(OutboxItem.objects.filter(kind="event"))
    drain()
    first = set(Execution.objects.values_list("id", flat=True))
    for item in items:
        item.save(force_insert=True)
    drain()
    assert set(Execution.objects.values_list("id", flat=True)) == first
    assert counts() == [("", 2, 1)]


def test_event_that_passed_still_starts_its_execution_after_its_worker_was_lost():
    throttled(limit=1)
    event_id = emit_event(EVENT, {})
    trigger = Trigger.objects.get()
    lost = Candidate(str(trigger.tenant_id), str(trigger.id), event_id, "")
    assert sift([(lost, Throttle(1, 30 * A_DAY))]) == {(str(trigger.id), event_id)}
    emit_event(EVENT, {})
    drain()
    assert [str(row.event_id) for row in Execution.objects.all()] == [event_id]


def test_threads_together_let_exactly_the_limit_pass():
    throttled(limit=10)
    rule = Throttle(50, 30 * A_DAY)
    batches = [
        [(candidate(key), rule) for key in ("ab" if number % 2 else "ba") for _ in range(5)]
        for number in range(40)
    ]

    def work(batch: list[tuple[Candidate, Throttle]]) -> int:
        try:
            return len(sift(batch))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(work, batches)) == 100
    assert counts() == [("a", 200, 50), ("b", 200, 50)]
    assert TriggerWindow.objects.aggregate(total=Sum("events")) == {"total": 400}


def test_trigger_deleted_meanwhile_lets_nothing_pass():
    automation = throttled(limit=1)
    late = candidate()
    automation.delete()
    assert sift([(late, Throttle(1, A_DAY))]) == set()
    assert TriggerWindow.objects.count() == 0


def test_candidates_of_no_throttled_trigger_cost_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        assert sift([]) == set()
