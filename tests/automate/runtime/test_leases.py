"""What the engine does about a lease that ends at an awkward moment and is kept after all."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import OperationalError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from automate.events import emit_event, run_workflow
from automate.models import Execution, StepRun
from automate.workflows import create_workflow
from automate_core.models import OutboxItem, Tenant
from automate_core.outbox import OutboxReaper
from automate_core.steps import Effect
from tests.factories.engine import EVENT, finish, lose_workers, node, workflow

pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE_SECONDS = 60.0


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.AT_MOST_ONCE])
def test_call_held_back_by_a_late_heartbeat_is_made_once_the_lease_is_renewed(
    register_step, worker, settings, effect
):
    settings.AUTOMATE = {**settings.AUTOMATE, "RETRY_INITIAL_SECONDS": 0.01}
    drain = worker()

    def end_leases(config, context):
        for held in drain.store._held.values():
            held.deadline = 0.0

    register_step("t.first", Effect.IDEMPOTENT, end_leases)
    second = register_step("t.second", effect)
    nodes = [{"id": "first", "type": "t.first"}, {"id": "second", "type": "t.second"}]
    create_workflow(
        name="W", graph={"nodes": nodes}, by="test", trigger_type="event", trigger_config={"event_type": "go"}
    )
    emit_event("go", {})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not Execution.objects.filter(status="SUCCESS").exists() and time.monotonic() < deadline:
        drain.turn()
        if StepRun.objects.filter(path="second", status="RUNNING").exists():
            drain.store.renew(drain.worker)
        time.sleep(0.01)
    rows = StepRun.objects.order_by("seq").values_list("path", "attempt", "status")
    assert list(rows) == [("first", 1, "SUCCESS"), ("second", 1, "FAILED"), ("second", 2, "SUCCESS")]
    assert [context.attempt for context in second.calls] == [2]


def start(kind):
    """Make a workflow of one step and emit the event that starts it."""
    graph = {"nodes": [{"id": "write", "type": kind}]}
    create_workflow(
        name="W", graph=graph, by="test", trigger_type="event", trigger_config={"event_type": "go"}
    )
    emit_event("go", {})


def made():
    return list(Tenant.objects.filter(slug__startswith="made").values_list("slug", flat=True))


def test_database_step_whose_after_commit_hook_fails_has_succeeded(register_step):
    def act(config, context):
        Tenant.objects.create(slug=f"made-{context.attempt}", name="Made")
        transaction.on_commit(lambda: 1 / 0)

    step = register_step("t.database", Effect.DATABASE, act)
    start("t.database")
    execution = finish()
    assert (execution.status, made(), len(step.calls)) == ("SUCCESS", ["made-1"], 1)


def test_database_step_takes_effect_once_when_the_answer_to_its_commit_is_lost(
    register_step, worker, monkeypatch
):
    def act(config, context):
        Tenant.objects.create(slug=f"made-{context.attempt}", name="Made")
        patch.setattr(BaseDatabaseWrapper, "_commit", commit_and_lose_the_answer)

    def commit_and_lose_the_answer(self):
        patch.undo()
        self._commit()
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        step = register_step("t.database", Effect.DATABASE, act)
        start("t.database")
        lost = worker()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not made() or (lost.store.held_count() and time.monotonic() < deadline):
            lost.turn()
            time.sleep(0.01)
    assert lose_workers() == 1
    execution = finish()
    assert (execution.status, made(), len(step.calls)) == ("SUCCESS", ["made-1"], 1)
    assert list(StepRun.objects.values_list("path", "attempt", "status")) == [("write", 1, "SUCCESS")]


def test_drain_whose_time_is_over_finishes_the_call_it_began(register_step, gate, worker):
    register_step("t.once", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through())
    start("t.once")
    drain = worker()
    gate.turn_until_entered(drain)
    threading.Timer(0.3, gate.open.set).start()
    drain.run_until_empty(max_seconds=0.0)
    assert (Execution.objects.get().status, drain.store.held_count()) == ("SUCCESS", 0)
    emit_event("go", {})
    drain.run_until_empty(max_seconds=0.0)
    assert Execution.objects.count() == 1


def test_execution_without_a_call_under_way_is_no_suspect(register_step, worker, gate):
    register_step("t.call", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    lost = worker()
    gate.turn_until_entered(lost)
    calling = OutboxItem.objects.get().id
    run_workflow("orders", {})
    resting = OutboxItem.objects.exclude(pk=calling).get().id
    emit_event(EVENT, {})
    assert len(lost.store.claim_batch(lost.worker)) == 2
    assert OutboxReaper().reap_stale_items() == 0
    OutboxItem.objects.update(lease_expires_at=timezone.now() - timedelta(minutes=1))
    assert OutboxReaper().reap_stale_items() == 3
    suspects = set(OutboxItem.objects.filter(suspect=True).values_list("kind", "id"))
    assert ("execution", calling) in suspects
    assert ("execution", resting) not in suspects
    assert {kind for kind, _ in suspects} == {"execution", "event"}
    gate.open.set()
