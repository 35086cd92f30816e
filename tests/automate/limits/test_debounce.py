"""Debounced triggers: one execution of the latest event when the events have ceased."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from automate.events import emit_event
from automate.limits.debounce import absorb, close_due
from automate.limits.windows import Candidate, Debounce
from automate.models import Automation, Execution, TriggerWindow
from automate.workflows import update_workflow
from automate_core.models import OutboxItem
from automate_core.outbox.drain import Drain
from tests.factories.engine import EVENT, drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

LOG = node("log", "logging", {"message": "done"})


def debounced(*, graph: Any = None, **debounce: Any) -> Automation:
    config = {"event_type": EVENT, "debounce": {"seconds": 60, **debounce}}
    made = workflow(LOG, trigger_config=config)
    return update_workflow(made, by="test", graph=graph) if graph else made


def emit(*numbers: int, **payload: Any) -> None:
    for n in numbers:
        emit_event(EVENT, {"n": n, **payload})
    drain()


def pass_time(seconds: float) -> None:
    """Move what is recorded into the past, which is the same as waiting."""
    earlier = timedelta(seconds=seconds)
    TriggerWindow.objects.filter(closed_at=None).update(
        opened_at=F("opened_at") - earlier,
        closes_at=F("closes_at") - earlier,
        closes_by=F("closes_by") - earlier,
    )
    OutboxItem.objects.filter(kind="debounce").update(available_at=F("available_at") - earlier)


def started() -> list[tuple[int, str]]:
    return list(Execution.objects.order_by("id").values_list("event__payload__n", "status"))


def windows() -> list[tuple[int, int, bool]]:
    rows = TriggerWindow.objects.order_by("id")
    return [(row.events, row.started, row.closed_at is not None) for row in rows]


def items() -> int:
    return OutboxItem.objects.filter(kind="debounce").count()


def test_nothing_starts_before_the_events_have_ceased():
    debounced()
    emit(1, 2)
    assert (started(), windows(), items()) == ([], [(2, 0, False)], 1)


def test_latest_event_starts_one_execution_when_the_time_is_over():
    debounced()
    emit(1, 2, 3)
    pass_time(61)
    drain()
    assert (started(), windows(), items()) == ([(3, "SUCCESS")], [(3, 1, True)], 0)


def test_event_in_between_postpones_the_start():
    debounced()
    emit(1)
    pass_time(40)
    emit(2)
    pass_time(40)
    drain()
    assert (started(), items()) == ([], 1)
    pass_time(40)
    drain()
    assert started() == [(2, "SUCCESS")]


def test_steady_events_are_not_waited_for_longer_than_the_maximum():
    debounced(max_seconds=100)
    for n in range(4):
        emit(n)
        pass_time(30)
    drain()
    assert (started(), windows()) == ([(3, "SUCCESS")], [(4, 1, True)])


def test_events_after_the_start_open_the_next_window():
    debounced()
    for n in (1, 2):
        emit(n)
        pass_time(61)
        drain()
    assert (started(), windows()) == ([(1, "SUCCESS"), (2, "SUCCESS")], [(1, 1, True), (1, 1, True)])


def test_each_key_has_a_window_of_its_own():
    debounced(key="{{ event.payload.account }}")
    emit(1, 2, account="a")
    emit(3, account="b")
    pass_time(61)
    drain()
    assert started() == [(2, "SUCCESS"), (3, "SUCCESS")]


def test_event_dispatched_again_is_not_gathered_again():
    debounced()
    emit_event(EVENT, {"n": 1})
    item = OutboxItem.objects.get(kind="event")
    drain()
    item.save(force_insert=True)
    drain()
    assert windows() == [(1, 0, False)]
    pass_time(61)
    drain()
    item.save(force_insert=True)
    drain()
    assert (started(), windows()) == ([(1, "SUCCESS")], [(1, 1, True)])


def test_earlier_event_dispatched_later_does_not_win():
    debounced()
    emit_event(EVENT, {"n": 1})
    early = OutboxItem.objects.get(kind="event")
    early.delete()
    emit(2)
    early.save(force_insert=True)
    drain()
    pass_time(61)
    drain()
    assert (started(), windows()) == ([(2, "SUCCESS")], [(2, 1, True)])


def test_window_closed_twice_starts_one_execution():
    debounced()
    emit(1)
    pass_time(61)
    (window,) = TriggerWindow.objects.all()
    close_due([window.id])
    close_due([window.id])
    drain()
    assert (started(), items()) == ([(1, "SUCCESS")], 0)


def test_worker_lost_while_it_closed_a_window_changes_nothing():
    debounced()
    emit(1)
    pass_time(61)
    item = OutboxItem.objects.get(kind="debounce")
    Drain(kinds=["debounce"]).run_until_empty()
    item.save(force_insert=True)
    drain()
    assert (started(), items()) == ([(1, "SUCCESS")], 0)


def test_workflow_switched_off_meanwhile_is_not_started():
    automation = debounced()
    emit(1)
    update_workflow(automation, by="test", enabled=False)
    pass_time(61)
    drain()
    assert (started(), windows(), items()) == ([], [(1, 0, True)], 0)


def test_deleted_workflow_leaves_nothing_behind():
    automation = debounced()
    emit(1)
    automation.delete()
    pass_time(61)
    drain()
    assert (TriggerWindow.objects.count(), OutboxItem.objects.count()) == (0, 0)


def test_trigger_deleted_meanwhile_gathers_nothing():
    automation = debounced()
    trigger = automation.triggers.get()
    event_id = emit_event("other", {})
    late = Candidate(str(trigger.tenant_id), str(trigger.id), event_id, "")
    automation.delete()
    absorb([(late, Debounce(60))])
    assert (TriggerWindow.objects.count(), items()) == (0, 0)


def test_debounced_execution_takes_a_place_under_the_limit_of_its_workflow():
    pause = node("pause", "delay", {"seconds": 3_600})
    graph = {"nodes": [pause], "settings": {"priority": 3, "concurrency": {"limit": 1}}}
    debounced(graph=graph)
    for n in (1, 2):
        emit(n)
        pass_time(61)
        drain()
    rows = Execution.objects.order_by("id")
    assert [(row.status, row.priority, row.held_at is not None) for row in rows] == [
        ("WAITING", 3, False),
        ("QUEUED", 3, True),
    ]


def test_events_dispatched_by_many_while_windows_close_start_an_execution_for_the_last():
    debounced(key="{{ event.payload.account }}", seconds=0.05)
    total = 160
    for n in range(total):
        emit_event(EVENT, {"n": n, "account": n % 2})

    def work(_: int) -> None:
        try:
            Drain(kinds=["event", "debounce"], limit=5).run_until_empty()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    while items():
        work(0)
    found = windows()
    assert sum(events for events, *_ in found) == total
    assert all(closed and number == 1 for _, number, closed in found)
    assert len(started()) == len(found)
    assert {total - 2, total - 1} <= {n for n, _ in started()}
