"""Schedules fired by several schedulers at once, on a clock that runs through the nights the clocks change.

`python -m benchmarks.firing COUNT SCHEDULERS RUNS` makes the schedules, fires them so often and prints JSON.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from threading import BrokenBarrierError
from typing import Any, Protocol

import django

NIGHTS = (
    (datetime(2026, 3, 28, 22, tzinfo=UTC), datetime(2026, 3, 29, 4, tzinfo=UTC)),
    (datetime(2026, 10, 24, 22, tzinfo=UTC), datetime(2026, 10, 25, 4, tzinfo=UTC)),
)
"""From and until, of the nights in 2026 in which Berlin loses and gains an hour."""
TICK = timedelta(minutes=30)
CONFIGS: tuple[dict[str, Any], ...] = (
    {"cron": "30 2 * * *", "timezone": "Europe/Berlin"},
    {"cron": "0 * * * *", "timezone": "Europe/Berlin"},
    {"cron": "*/30 1-3 * * *", "timezone": "Europe/Berlin"},
    {"interval_seconds": 3600},
)
GRAPH = {"nodes": [{"id": "at", "type": "transform", "config": {"output": "{{ input.fire_at }}"}}]}
PATIENCE_SECONDS = 60.0


class Barrier(Protocol):
    """Where the schedulers wait for each other, so that they look at the same moment."""

    def wait(self, timeout: float | None = None) -> int: ...


def prepare(count: int) -> None:
    """Create workflows with schedules of every kind, in one transaction."""
    from django.db import transaction

    from automate.workflows import create_workflow

    with transaction.atomic():
        for number in range(count):
            create_workflow(
                name=f"schedule {number}", slug=f"schedule-{number}", graph=GRAPH, by="benchmarks",
                trigger_type="schedule", trigger_config=CONFIGS[number % len(CONFIGS)],
            )  # fmt: skip


def set_clocks(moment: datetime) -> None:
    """Let every schedule wait for its first fire from a moment on."""
    from automate.models import Trigger
    from automate.timetable import Timetable

    triggers = list(Trigger.all_tenants.filter(type="schedule"))
    for trigger in triggers:
        fire = Timetable.parse(trigger.config, seed=str(trigger.id)).next_after(
            moment - timedelta(microseconds=1)
        )
        trigger.next_fire_at = fire.due if fire else None
    Trigger.all_tenants.bulk_update(triggers, ["next_fire_at"], batch_size=500)


def moments(since: datetime, until: datetime) -> Iterator[datetime]:
    """Yield the moments at which the schedulers look, a little after each time a schedule may name."""
    moment = since
    while moment < until:
        yield moment + timedelta(seconds=1)
        moment += TICK


def fire(since: datetime, until: datetime, barrier: Barrier) -> int:
    """Be one scheduler for a night; return how many events it stored."""
    from django.db import connection

    from automate.schedules import fire_due

    stored = 0
    for moment in moments(since, until):
        barrier.wait(PATIENCE_SECONDS)
        stored += fire_due(now=moment)
    connection.close()
    return stored


def differences() -> list[str]:
    """Compare the events there are with the fires the schedules name in these nights; return what differs."""
    from automate.models import Event, Trigger
    from automate.timetable import Timetable

    named = Counter(
        (str(trigger.id), f.at.astimezone(UTC).isoformat())
        for trigger in Trigger.all_tenants.filter(type="schedule")
        for since, until in NIGHTS
        for f in Timetable.parse(trigger.config, seed=str(trigger.id)).named_between(since, until)
    )
    payloads = Event.all_tenants.filter(type="schedule.fired").values_list("payload", flat=True)
    fired = Counter((payload["trigger_id"], payload["fire_at"]) for payload in payloads)
    found = named.keys() | fired.keys()
    return [
        f"{trigger} at {at}: {fired[trigger, at]} events, not {named[trigger, at]}"
        for trigger, at in sorted(found)
        if fired[trigger, at] != named[trigger, at]
    ]


def run(schedulers: int) -> dict[str, Any]:
    """Fire every schedule by several processes through each night; return seconds, events and differences."""
    from automate_core import sql

    sql.execute("TRUNCATE automate_event, automate_core_outboxitem CASCADE")
    context = multiprocessing.get_context("spawn")
    seconds, stored = 0.0, 0
    for since, until in NIGHTS:
        set_clocks(since)
        barrier, results = context.Barrier(schedulers + 1), context.SimpleQueue()
        processes = [
            context.Process(target=_scheduler, args=(since, until, barrier, results))
            for _ in range(schedulers)
        ]
        for process in processes:
            process.start()
        began = 0.0
        for _moment in moments(since, until):
            barrier.wait(PATIENCE_SECONDS)
            began = began or time.perf_counter()
        for process in processes:
            process.join()
        seconds += time.perf_counter() - began
        stored += sum(results.get() for _ in processes)
    return {"seconds": seconds, "events": stored, "differences": differences()}


def _scheduler(since: datetime, until: datetime, barrier: Any, results: Any) -> None:
    django.setup()
    try:
        results.put(fire(since, until, barrier))
    except BrokenBarrierError:
        results.put(0)


def main(arguments: Sequence[str]) -> None:
    """Fire and print."""
    django.setup()
    count, schedulers, runs = map(int, arguments)
    prepare(count)
    print(json.dumps([run(schedulers) for _ in range(runs)]))


if __name__ == "__main__":
    main(sys.argv[1:])
