"""Overdue executions: told of once for each time limit, while they are still open."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from automate.executions import overdue
from automate.executions.overdue import announce_overdue
from automate.models import Event, Execution
from automate_core.ids import uuid7
from automate_core.outbox.duties import duty_registry
from tests.factories.engine import drain, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_remembered():
    overdue.forget()
    yield
    overdue.forget()


def watching(slug="watcher", **config):
    return workflow(
        node("a", "merge"), slug=slug, trigger_type="execution", trigger_config={"on": "overdue", **config}
    )


def watched(slug="orders"):
    return workflow(node("a", "merge"), slug=slug, trigger_type="manual", trigger_config={})


def open_for(seconds, automation, status="WAITING", **more):
    age = timedelta(seconds=seconds)
    aged = UUID(int=uuid7().int - (int(age.total_seconds() * 1000) << 80))
    return Execution.objects.create(
        id=aged, automation=automation, status=status, created_at=timezone.now() - age, **more
    )


def told():
    return sorted(Event.objects.values_list("cause_execution_id", "payload__after_seconds"))


def test_execution_open_for_too_long_starts_the_watcher_once():
    made = watched()
    watching(after_seconds=60)
    late = open_for(90, made)
    open_for(30, made)
    assert [announce_overdue(), announce_overdue()] == [1, 0]
    event = Event.objects.get()
    assert (event.type, event.source, event.payload["status"]) == (
        "execution.overdue.orders",
        "execution",
        "WAITING",
    )
    assert event.payload["open_seconds"] >= 90
    drain()
    assert Execution.objects.get(automation__slug="watcher").cause_execution_id == late.id


def test_new_process_does_not_tell_again():
    watching(after_seconds=60)
    open_for(90, watched())
    announce_overdue()
    overdue.forget()
    assert announce_overdue() == 0


@pytest.mark.parametrize("status", ["QUEUED", "RUNNING", "WAITING"])
def test_any_open_status_may_be_overdue(status):
    watching(after_seconds=60)
    open_for(90, watched(), status)
    assert announce_overdue() == 1


def test_finished_execution_is_never_overdue():
    watching(after_seconds=60)
    open_for(90, watched(), "SUCCESS", finished_at=timezone.now())
    assert announce_overdue() == 0


def test_each_trigger_has_its_own_limit():
    made = watched()
    watching("soon", after_seconds=60)
    watching("late", after_seconds=3600)
    short, long = open_for(90, made), open_for(4000, made)
    announce_overdue()
    assert told() == sorted([(short.id, 60), (long.id, 60), (long.id, 3600)])
    drain()
    heard = Execution.objects.exclude(trigger=None).values_list("automation__slug", "cause_execution_id")
    assert sorted(heard) == sorted([("soon", short.id), ("soon", long.id), ("late", long.id)])


def test_execution_that_becomes_overdue_after_the_first_look_is_found():
    made = watched()
    watching(after_seconds=60)
    open_for(90, made)
    assert announce_overdue() == 1
    later = open_for(61, made)
    assert announce_overdue() == 1
    assert told()[-1] == (later.id, 60) or told()[0] == (later.id, 60)


def test_glob_picks_the_workflows_and_the_watcher_does_not_watch_itself():
    watcher = watching(after_seconds=60, workflow="*er*")
    orders, bills = open_for(90, watched("orders")), open_for(90, watched("bills"))
    open_for(90, watcher)
    announce_overdue()
    assert [cause for cause, _ in told()] == [orders.id]
    assert bills.id not in dict(told())


def test_more_than_a_batch_is_told_in_one_look(monkeypatch):
    monkeypatch.setattr(overdue, "BATCH", 2)
    made = watched()
    watching(after_seconds=60)
    for _ in range(5):
        open_for(90, made)
    assert announce_overdue() == 5


def test_workers_looking_at_once_tell_once():
    made = watched()
    watching(after_seconds=60)
    for _ in range(20):
        open_for(90, made)
    start = threading.Barrier(4)

    def look(_):
        start.wait(60)
        try:
            return announce_overdue()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(look, range(4))) == 20
    assert Event.objects.count() == 20


def test_workers_do_it_as_a_duty():
    assert duty_registry.get("overdue").run is announce_overdue
