from __future__ import annotations

from threading import Barrier, Thread

import pytest

from automate.models import Event
from benchmarks import firing

pytestmark = pytest.mark.django_db(transaction=True)


def night(since, until, schedulers=3):
    firing.set_clocks(since)
    barrier, stored = Barrier(schedulers), []
    threads = [
        Thread(target=lambda: stored.append(firing.fire(since, until, barrier))) for _ in range(schedulers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(stored)


def test_schedulers_fire_each_schedule_once_in_both_nights():
    firing.prepare(4)

    stored = [night(since, until) for since, until in firing.NIGHTS]

    # 02:30 once each; every hour 6 and, on the wall clock, 6; the half hours from 1 to 4 are 4 and 8; 6 intervals.
    assert stored == [1 + 6 + 4 + 6, 1 + 6 + 8 + 6]
    assert firing.differences() == []


def test_differences_name_a_fire_that_is_missing_and_one_too_many():
    firing.prepare(1)
    for since, until in firing.NIGHTS:
        night(since, until, schedulers=1)
    lost = Event.objects.filter(type="schedule.fired").earliest("created_at")
    Event.objects.create(
        type="schedule.fired", payload={**lost.payload, "fire_at": "2026-01-01T00:00:00+00:00"}
    )
    lost.delete()

    trigger, at = lost.payload["trigger_id"], lost.payload["fire_at"]
    assert firing.differences() == [
        f"{trigger} at 2026-01-01T00:00:00+00:00: 1 events, not 0",
        f"{trigger} at {at}: 0 events, not 1",
    ]
