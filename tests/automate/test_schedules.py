"""Firing schedules: each fire time once, however many workers look, and late rather than never."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from automate import schedules
from automate.events import emit_event
from automate.models import Automation, Event, Execution, Trigger
from automate.schedules import fire_due
from automate.timetable import Timetable
from automate.workflows import update_workflow
from automate_core.context import tenant_scope
from automate_core.models import DEFAULT_TENANT_ID, Tenant
from tests.factories.engine import drain, node, workflow
from tests.factories.wire import traffic

pytestmark = pytest.mark.django_db(transaction=True)

HOURLY = {"cron": "0 * * * *", "timezone": "UTC"}


def scheduled(slug="hourly", config=HOURLY):
    return workflow(node("a", "merge"), slug=slug, trigger_type="schedule", trigger_config=config)


def make_due(*, ago=timedelta(seconds=5)):
    due = timezone.now() - ago
    Trigger.all_tenants.update(next_fire_at=due)
    return due


def test_new_schedule_waits_for_its_first_time():
    before = timezone.now()
    scheduled()
    due = Trigger.objects.get().next_fire_at
    assert before < due <= before + timedelta(hours=1)
    assert (due.minute, due.second, fire_due(), Event.objects.count()) == (0, 0, 0, 0)


def test_due_schedule_fires_and_runs_its_workflow_and_no_other():
    made = scheduled()
    scheduled(slug="other", config={"cron": "30 * * * *"})
    due = timezone.now() - timedelta(seconds=5)
    Trigger.objects.filter(automation=made).update(next_fire_at=due)
    assert fire_due() == 1
    event = Event.objects.get()
    assert (event.type, event.source) == ("schedule.fired", "schedule")
    assert event.payload == {
        "trigger_id": str(made.triggers.get().id),
        "fire_at": due.isoformat(),
    }
    drain()
    execution = Execution.objects.get()
    assert (execution.automation_id, execution.status) == (made.id, "SUCCESS")
    assert made.triggers.get().next_fire_at > timezone.now()


def test_four_workers_at_once_fire_each_schedule_once():
    for number in range(12):
        scheduled(slug=f"s{number}")
    make_due()
    start = threading.Barrier(4)

    def work(_):
        start.wait(60)
        try:
            return [fire_due() for _ in range(3)]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        fired = sum(sum(counts) for counts in pool.map(work, range(4)))
    assert (fired, Event.objects.count()) == (12, 12)
    drain()
    assert Execution.objects.count() == 12
    assert Execution.objects.values("automation").distinct().count() == 12


def test_same_fire_time_is_one_event_even_when_fired_twice():
    scheduled()
    due = make_due()
    assert fire_due() == 1
    Trigger.objects.update(next_fire_at=due)
    fire_due()
    assert Event.objects.count() == 1


def test_schedule_missed_for_days_fires_once_and_goes_on_from_now():
    scheduled()
    make_due(ago=timedelta(days=3))
    assert [fire_due(), fire_due()] == [1, 0]
    assert (Event.objects.count(), Trigger.objects.get().next_fire_at > timezone.now()) == (1, True)


def test_invalid_schedule_is_switched_off_with_a_log_and_holds_up_no_other(caplog):
    broken = scheduled(slug="broken")
    scheduled(slug="fine")
    make_due()
    Trigger.objects.filter(automation=broken).update(config={"cron": "not a cron"})
    with caplog.at_level(logging.ERROR, logger=schedules.logger.name):
        assert fire_due() == 1
    assert [record.message for record in caplog.records] == ["schedule.invalid"]
    assert Trigger.objects.get(automation=broken).next_fire_at is None
    assert Event.objects.get().payload["trigger_id"] == str(Trigger.objects.get(automation__slug="fine").id)


def test_disabled_workflow_does_not_fire_until_it_is_enabled():
    made = scheduled()
    update_workflow(made, by="test", enabled=False)
    make_due()
    assert fire_due() == 0
    update_workflow(made, by="test", enabled=True)
    assert fire_due() == 1


def test_event_belongs_to_the_triggers_tenant():
    other = Tenant.objects.create(slug="other", name="Other")
    with tenant_scope(other.id):
        scheduled()
    make_due()
    assert fire_due() == 1
    assert Event.all_tenants.get().tenant_id == other.id


def test_schedule_event_forged_by_somebody_else_starts_nothing():
    made = scheduled()
    emit_event("schedule.fired", {"trigger_id": str(made.triggers.get().id)}, source="shop")
    drain()
    assert Execution.objects.count() == 0


# What each schedule fires in the six hours around a change of Berlin's clock, told by hand, in UTC.
SPRING, AUTUMN = datetime(2026, 3, 28, 22, 10, tzinfo=UTC), datetime(2026, 10, 24, 22, 10, tzinfo=UTC)
THROUGH_THE_CHANGE = {
    SPRING: {
        "0 * * * *": ["23:00", "00:00", "01:00", "02:00", "03:00", "04:00"],
        "30 2 * * *": ["01:00"],
        "0 3 * * *": ["01:00"],
    },
    AUTUMN: {
        "0 * * * *": ["23:00", "00:00", "01:00", "02:00", "03:00", "04:00"],
        "30 2 * * *": ["00:30"],
        "0 3 * * *": ["02:00"],
    },
}


def many_schedules(start):
    """Make 1,000 schedules of three kinds, a third of them spread, as they stand at a moment."""
    crons = list(THROUGH_THE_CHANGE[start])
    automations = [Automation(name=f"s{n}", slug=f"s{n}", tenant_id=DEFAULT_TENANT_ID) for n in range(1_000)]
    Automation.objects.bulk_create(automations)
    triggers = []
    for number, automation in enumerate(automations):
        config = {"cron": crons[number % 3], "timezone": "Europe/Berlin", "missed": "all"}
        if number % 9 < 3:
            config["jitter_seconds"] = 300
        trigger = Trigger(automation=automation, tenant_id=DEFAULT_TENANT_ID, type="schedule", config=config)
        trigger.next_fire_at = Timetable.parse(config, seed=str(trigger.id)).next_after(start).due
        triggers.append(trigger)
    Trigger.objects.bulk_create(triggers)
    return triggers


@pytest.mark.parametrize("start", [SPRING, AUTUMN], ids=["spring", "autumn"])
def test_four_workers_fire_a_thousand_schedules_once_each_through_a_change_of_the_clock(start):
    triggers = many_schedules(start)
    moments = [start + timedelta(minutes=10 * step) for step in range(1, 37)]
    ready = threading.Barrier(4)

    def work(_):
        try:
            return sum(fire_due(now=moment) for moment in moments if ready.wait(60) >= 0)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        fired = sum(pool.map(work, range(4)))
    expected = sorted(
        (str(trigger.id), time)
        for trigger in triggers
        for time in THROUGH_THE_CHANGE[start][trigger.config["cron"]]
    )
    happened = sorted(
        (payload["trigger_id"], payload["fire_at"][11:16])
        for payload in Event.objects.values_list("payload", flat=True)
    )
    assert happened == expected
    assert fired == len(expected)


def test_thousand_due_schedules_are_a_few_statements():
    many_schedules(SPRING)
    with traffic() as seen:
        assert fire_due(now=SPRING + timedelta(hours=1)) == 334
    # One batch: begin, what is due, the events, the next times, commit, and the ring for the workers.
    assert len([one for one in seen.statements if one.split()[0] not in ("BEGIN", "COMMIT")]) <= 4
    with traffic() as seen:
        fire_due(now=SPRING + timedelta(days=1))
    assert Event.objects.count() > 8_000
    assert len([one for one in seen.statements if one.split()[0] not in ("BEGIN", "COMMIT")]) <= 40


def test_schedule_missed_for_days_does_what_its_policy_says():
    due = datetime(2026, 5, 1, 9, tzinfo=UTC)
    for missed in ("skip", "one", "all"):
        scheduled(slug=missed, config={**HOURLY, "missed": missed, "missed_limit": 3})
    Trigger.objects.update(next_fire_at=due)
    assert fire_due(now=due + timedelta(hours=5, minutes=30)) == 4
    fires = {missed: [] for missed in ("skip", "one", "all")}
    slugs = dict(Trigger.objects.values_list("id", "automation__slug"))
    for payload in Event.objects.order_by("payload__fire_at").values_list("payload", flat=True):
        fires[slugs[UUID(payload["trigger_id"])]].append(payload["fire_at"][11:16])
    assert fires == {"skip": [], "one": ["14:00"], "all": ["12:00", "13:00", "14:00"]}
    assert set(Trigger.objects.values_list("next_fire_at", flat=True)) == {due + timedelta(hours=6)}


def test_schedule_that_has_ended_is_not_looked_at_again():
    scheduled(config={**HOURLY, "end_at": "2026-05-01T10:00:00Z"})
    Trigger.objects.update(next_fire_at=datetime(2026, 5, 1, 10, tzinfo=UTC))
    assert fire_due(now=datetime(2026, 5, 1, 10, 0, 1, tzinfo=UTC)) == 1
    assert Trigger.objects.get().next_fire_at is None


def test_schedule_saved_after_its_end_never_fires():
    scheduled(config={**HOURLY, "end_at": "2020-05-01T10:00:00Z"})
    assert Trigger.objects.get().next_fire_at is None


def test_spread_schedule_waits_for_its_own_moment():
    made = scheduled(config={**HOURLY, "jitter_seconds": 1800})
    trigger = made.triggers.get()
    fire = Timetable.parse(trigger.config, seed=str(trigger.id)).next_after(timezone.now())
    assert trigger.next_fire_at == fire.due
    assert fire_due(now=fire.due - timedelta(milliseconds=1)) == 0
    assert fire_due(now=fire.due) == 1
    assert Event.objects.get().payload["fire_at"] == fire.at.isoformat()
