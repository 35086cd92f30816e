"""Firing schedules: each fire time once, however many workers look, and late rather than never."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from automate import schedules
from automate.events import emit_event
from automate.models import Event, Execution, Trigger
from automate.schedules import fire_due
from automate.workflows import update_workflow
from automate_core.context import tenant_scope
from automate_core.models import Tenant
from tests.factories.engine import drain, node, workflow

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
        start.wait(20)
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
