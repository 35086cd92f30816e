from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from automate.emission import emit
from automate.executions import verbs
from automate.models import Automation, Event, Execution, StepRun, TriggerWindow, WindowedEvent
from automate.pruning import Pruned, prunable, prune
from automate.replays import replay as again
from automate.workflows import create_workflow
from automate_core.ids import uuid7
from automate_core.models import OutboxItem
from automate_core.outbox import enqueue
from automate_core.outbox.drain import Drain

pytestmark = pytest.mark.django_db(transaction=True)

LONG_AGO = timedelta(days=40)
GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "done"}}]}


def cutoff() -> datetime:
    return timezone.now() - timedelta(days=30)


def ages_id(pk: UUID, age: timedelta) -> UUID:
    """Return the id as it would have been made `age` ago: its first 48 bits are milliseconds."""
    return UUID(int=pk.int - (int(age.total_seconds() * 1000) << 80))


def make_workflow() -> Automation:
    return create_workflow(
        name="Orders",
        slug="orders",
        graph=GRAPH,
        trigger_type="event",
        trigger_config={"event_type": "order.*"},
        by="test",
    )


def aged_execution(automation: Automation, *, event_id: UUID | None = None, replay_of: Execution | None = None,
                   status: str = "SUCCESS") -> Execution:  # fmt: skip
    now = timezone.now()
    execution = Execution.objects.create(
        automation=automation,
        version=automation.live_version,
        event_id=event_id,
        replay_of=replay_of,
        status=status,
        created_at=now - LONG_AGO,
        finished_at=now - LONG_AGO if status == "SUCCESS" else None,
    )
    fresh, aged = execution.id, ages_id(execution.id, LONG_AGO)
    Execution.objects.filter(pk=fresh).update(id=aged)
    StepRun.objects.create(
        execution_id=aged, path="log", node_key="log", node_type="logging", status="SUCCESS", effect="pure"
    )
    return Execution.objects.get(pk=aged)


def aged_event(key: str | None = None) -> UUID:
    fresh = UUID(emit("order.created", {"n": 1}, key).event_id)
    aged = ages_id(fresh, LONG_AGO)
    Event.objects.filter(pk=fresh).update(id=aged, created_at=timezone.now() - LONG_AGO)
    OutboxItem.objects.all().delete()
    return aged


def test_prune_deletes_old_finished_executions_with_their_steps() -> None:
    automation = make_workflow()
    old = aged_execution(automation)
    waiting = aged_execution(automation, status="WAITING")
    new = verbs.start_execution(slug="orders", payload={})
    Drain().run_until_empty()
    expected = Pruned(executions=1, steps=1)
    assert prunable(before=cutoff()) == expected
    assert prune(before=cutoff()) == expected
    assert set(Execution.objects.values_list("id", flat=True)) == {waiting.id, new.id}
    assert not StepRun.objects.filter(execution_id=old.id).exists()
    assert StepRun.objects.filter(execution_id=new.id).count() == 1


def test_prune_works_in_batches_and_reports_each() -> None:
    automation = make_workflow()
    for _ in range(5):
        aged_execution(automation)
    seen = []
    prune(before=cutoff(), batch=2, progress=lambda done: seen.append(done.executions))
    assert seen == [2, 4, 5]
    assert Execution.objects.count() == 0


def test_prune_deletes_events_nothing_refers_to() -> None:
    automation = make_workflow()
    lone, used_up, needed, promised = (aged_event() for _ in range(4))
    aged_execution(automation, event_id=used_up)
    aged_execution(automation, event_id=needed, status="WAITING")
    enqueue(kind="event", payload={"event_id": str(promised)})
    new = UUID(emit("order.created", {}).event_id)
    expected = Pruned(executions=1, steps=1, events=2)
    assert prunable(before=cutoff()) == expected
    assert prune(before=cutoff()) == expected
    assert set(Event.objects.values_list("id", flat=True)) == {needed, promised, new}
    assert not Event.objects.filter(pk=lone).exists()


def test_dedupe_outlives_pruning() -> None:
    make_workflow()
    event_id = aged_event("order-1")
    assert prunable(before=cutoff()) == Pruned(payloads=1)
    assert prune(before=cutoff()) == Pruned(payloads=1)
    event = Event.objects.get(pk=event_id)
    assert (event.payload, event.pruned_at is not None) == ({}, True)
    again = emit("order.created", {"n": 1}, "order-1")
    assert (again.event_id, again.created) == (str(event_id), False)
    assert OutboxItem.objects.count() == 0
    assert prune(before=cutoff()) == Pruned()


def test_prune_keeps_what_a_dead_letter_would_run_again() -> None:
    automation = make_workflow()
    execution = aged_execution(automation)
    verbs.queue(execution)
    OutboxItem.objects.update(status="FAILED")
    assert prunable(before=cutoff()) == Pruned()
    assert prune(before=cutoff()) == Pruned()
    OutboxItem.objects.all().delete()
    assert prune(before=cutoff()) == Pruned(executions=1, steps=1)


def test_prune_keeps_the_original_of_a_replay_that_stays() -> None:
    automation = make_workflow()
    event_id = aged_event("order-1")
    original = aged_execution(automation, event_id=event_id)
    replay = aged_execution(automation, event_id=event_id, replay_of=original)
    again(replay, by="test")
    assert prunable(before=cutoff()) == Pruned()
    assert prune(before=cutoff()) == Pruned()
    Drain().run_until_empty()
    Execution.objects.exclude(pk__in=[original.id, replay.id]).delete()
    expected = Pruned(executions=2, steps=2, payloads=1)
    assert prunable(before=cutoff()) == expected
    assert prune(before=cutoff(), batch=1) == expected
    assert Execution.objects.count() == 0


def test_windows_of_triggers_and_what_was_decided_in_them_go_when_they_are_old():
    trigger = make_workflow().triggers.get()
    for age in (LONG_AGO, timedelta(days=1)):
        moment = timezone.now() - age
        for kind, closed_at in (("throttle", None), ("debounce", moment), ("debounce", None)):
            TriggerWindow.objects.create(
                trigger=trigger,
                kind=kind,
                key=f"{kind} {age}",
                opened_at=moment,
                closes_at=moment,
                closed_at=closed_at,
            )
        WindowedEvent.objects.create(trigger=trigger, event_id=uuid7(), has_passed=True, created_at=moment)
    prune(before=cutoff(), batch=1)
    kept = TriggerWindow.objects.filter(opened_at__lt=cutoff())
    assert list(kept.values_list("kind", "closed_at")) == [("debounce", None)]
    assert (TriggerWindow.objects.count(), WindowedEvent.objects.count()) == (4, 1)


def test_event_an_open_window_will_start_stays():
    trigger = make_workflow().triggers.get()
    waiting, over = (emit("other", {}).event_id for _ in range(2))
    OutboxItem.objects.all().delete()
    now = timezone.now()
    for event_id, closed_at in ((waiting, None), (over, now)):
        TriggerWindow.objects.create(
            trigger=trigger,
            kind="debounce",
            opened_at=now,
            closes_at=now,
            closed_at=closed_at,
            event_id=event_id,
        )
    prune(before=now + timedelta(days=1))
    assert [str(event.id) for event in Event.objects.all()] == [waiting]
