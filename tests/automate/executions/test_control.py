"""What may be done to an open execution: cancel, pause, resume, skip, retry now; alone and against workers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from automate.events import run_workflow
from automate.executions import control
from automate.models import Execution, StepRun
from automate_core import audit_chain
from automate_core.errors import Conflict, NotFound, TransientError
from automate_core.models import AuditEntry, OutboxItem
from automate_core.outbox.drain import Drain
from automate_core.steps import Effect
from tests.automate.runtime.conftest import gate, register_step, worker
from tests.factories.engine import drain, finish, node, steps, workflow
from tests.factories.racing import meeting

__all__ = ["gate", "register_step", "worker"]

pytestmark = pytest.mark.django_db(transaction=True)

MANUAL = {"trigger_type": "manual", "trigger_config": {}}
HOLD = node("hold", "delay", {"seconds": 3600})
LOG = node("log", "logging", {"message": "hello"})


def queued(*nodes):
    """Return an execution that waits for a worker."""
    workflow(*nodes, **MANUAL)
    return Execution.objects.get(pk=run_workflow("orders", {}))


def parked(*nodes):
    """Return an execution that waits for a time."""
    execution = queued(*nodes)
    drain()
    execution.refresh_from_db()
    assert execution.status == "WAITING"
    return execution


def items(kind="execution"):
    return list(OutboxItem.objects.filter(kind=kind).values_list("status", flat=True))


def entries():
    rows = AuditEntry.all_tenants.exclude(action__startswith="workflow.").order_by("id")
    return [(row.actor, row.action, row.target, row.after) for row in rows]


def a_second_later(at_work):
    """Let a worker go on for as long as it may take to hear of an order."""
    until, turns = time.monotonic() + 1.0, 0
    while time.monotonic() < until or turns < 10:
        turns += 1
        at_work.turn()
        at_work._hear(timeout=0.02)


# cancel


CANCELLED = {"status": "CANCELLED", "paused": False, "cancel_requested": True}


def test_queued_execution_is_cancelled_at_once():
    execution = control.cancel(queued(LOG), by="user:1", reason="not needed")
    assert (execution.status, execution.finished_at is not None, execution.seq) == ("CANCELLED", True, 1)
    assert execution.cancel_requested_at is not None
    assert (items(), items("finished")) == ([], ["PENDING"])
    target = f"execution:{execution.id}"
    assert entries() == [("user:1", "execution.cancel", target, {**CANCELLED, "reason": "not needed"})]
    drain()
    assert StepRun.objects.count() == 0


def test_parked_execution_is_cancelled_with_its_waiting_step():
    execution = parked(LOG, HOLD, node("after", "merge"))
    control.cancel(execution, by="test")
    assert steps(execution) == [("log", 1, "SUCCESS"), ("hold", 1, "CANCELLED")]
    step = StepRun.objects.get(path="hold")
    execution.refresh_from_db()
    assert (step.wake_at, step.finished_at is not None, step.seq) == (None, True, execution.seq - 1)
    assert items() == []


def test_execution_waiting_for_an_answer_alone_is_cancelled():
    execution = parked(node("hook", "wait_for_event", {"event_type": "order.paid"}))
    assert items() == []
    assert control.cancel(execution, by="test").status == "CANCELLED"


def test_held_execution_is_cancelled():
    execution = queued(LOG)
    Execution.objects.update(held_at=timezone.now())
    OutboxItem.objects.all().delete()
    execution = control.cancel(execution, by="test")
    assert (execution.status, execution.held_at) == ("CANCELLED", None)


def test_paused_execution_is_cancelled():
    execution = parked(HOLD)
    control.pause(execution, by="test")
    drain()
    assert control.cancel(execution, by="test").status == "CANCELLED"


def test_step_begun_by_a_lost_worker_is_not_forgotten_when_cancelled():
    execution = queued(LOG)
    for path, effect in (("mail", Effect.AT_MOST_ONCE), ("get", Effect.IDEMPOTENT), ("each", Effect.PURE)):
        StepRun.objects.create(
            execution=execution, path=path, node_key=path, node_type="x", status="RUNNING", effect=effect
        )
    control.cancel(execution, by="test")
    found = StepRun.objects.order_by("path").values_list("path", "status", "error_code")
    assert list(found) == [
        ("each", "CANCELLED", ""), ("get", "CANCELLED", ""), ("mail", "FAILED", "OUTCOME_UNKNOWN"),
    ]  # fmt: skip


def test_execution_in_a_call_is_asked_to_stop_and_starts_nothing_more(register_step, gate, worker):
    first = register_step(
        "first", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {"ok": 1}
    )
    second = register_step("second", Effect.IDEMPOTENT)
    execution = queued(node("a", "first"), node("b", "second"))
    at_work = worker()
    gate.turn_until_entered(at_work)
    execution = control.cancel(execution, by="test")
    assert (execution.status, execution.finished_at, items()) == ("RUNNING", None, ["CLAIMED"])
    a_second_later(at_work)
    gate.open.set()
    at_work.run_until_empty(max_seconds=120)
    execution.refresh_from_db()
    assert execution.status == "CANCELLED"
    assert steps(execution) == [("a", 1, "SUCCESS")]
    assert (len(first.calls), len(second.calls)) == (1, 0)


@pytest.mark.parametrize("status", ["SUCCESS", "FAILED", "CANCELLED"])
def test_finished_execution_cannot_be_changed(status):
    execution = queued(LOG)
    Execution.objects.update(status=status, finished_at=timezone.now())
    for verb in (control.cancel, control.pause, control.resume):
        with pytest.raises(Conflict, match=f"is {status}"):
            verb(execution, by="test")
    for verb in (control.skip, control.retry_now):
        with pytest.raises(Conflict, match=f"is {status}"):
            verb(execution, "log", by="test")
    assert entries() == []


def test_deleted_execution_is_not_found():
    execution = queued(LOG)
    Execution.objects.all().delete()
    with pytest.raises(NotFound):
        control.cancel(execution, by="test")


def test_cancel_reaches_children_and_theirs():
    workflow(HOLD, slug="leaf", **MANUAL)
    workflow(node("call", "subworkflow", {"workflow": "leaf"}), slug="middle", **MANUAL)
    execution = parked(node("call", "subworkflow", {"workflow": "middle"}), node("after", "merge"))
    drain()
    control.cancel(execution, by="test")
    assert set(Execution.objects.values_list("automation__slug", "status")) == {
        ("orders", "CANCELLED"), ("middle", "CANCELLED"), ("leaf", "CANCELLED"),
    }  # fmt: skip
    assert (len(entries()), items()) == (1, [])
    drain()
    assert OutboxItem.objects.count() == 0


def test_cancel_reaches_the_child_of_an_execution_at_work(register_step, gate, worker):
    register_step("slow", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or {})
    workflow(HOLD, slug="leaf", **MANUAL)
    graph = {"nodes": [node("s", "slow"), node("c", "subworkflow", {"workflow": "leaf"}), node("m", "merge")]}
    graph["edges"] = [{"source": "s", "target": "m"}, {"source": "c", "target": "m"}]
    workflow(*graph["nodes"], edges=graph["edges"], **MANUAL)
    execution = Execution.objects.get(pk=run_workflow("orders", {}))
    at_work = worker()
    gate.turn_until_entered(at_work)
    for _ in range(200):
        at_work.turn()
        if StepRun.objects.filter(path="hold", status="WAITING").exists():
            break
        at_work._hear(timeout=0.02)
    control.cancel(execution, by="test")
    child = Execution.objects.get(parent_execution_id=execution.id)
    execution.refresh_from_db()
    assert (execution.status, child.status) == ("RUNNING", "CANCELLED")
    gate.open.set()
    at_work.run_until_empty(max_seconds=120)
    execution.refresh_from_db()
    assert execution.status == "CANCELLED"


# cancel, against others


def test_of_many_cancels_one_ends_the_execution():
    execution = parked(HOLD)
    before = execution.seq

    def work(number):
        try:
            return control.cancel(execution, by=f"user:{number}").status
        except Conflict:
            return "conflict"
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        results = sorted(pool.map(work, range(6)))
    execution = Execution.objects.get()
    assert results == ["CANCELLED", *["conflict"] * 5]
    assert (execution.seq, items("finished"), len(entries())) == (before + 2, ["PENDING"], 1)
    assert audit_chain.verify() == []


def test_cancel_that_meets_the_end_comes_too_late():
    execution = queued(LOG)
    at_work = Drain()
    with meeting(lambda: control.cancel(execution, by="test")) as cancelled:
        assert at_work.turn()
    assert isinstance(cancelled.exception(), Conflict)
    execution.refresh_from_db()
    assert (execution.status, execution.cancel_requested_at) == ("SUCCESS", None)
    at_work.close()


def test_end_that_meets_a_cancel_counts():
    execution = queued(LOG)
    at_work = Drain()
    at_work._hand_out(at_work._claim())
    with meeting(at_work.turn):
        assert control.cancel(execution, by="test").status == "QUEUED"
    execution.refresh_from_db()
    assert (execution.status, execution.cancel_requested_at is not None) == ("SUCCESS", True)
    at_work.close()
    drain()
    assert items() == []


def test_cancel_that_meets_parking_finds_what_the_worker_left():
    execution = queued(HOLD)
    at_work = Drain()
    with meeting(lambda: control.cancel(execution, by="test").status) as cancelled:
        assert at_work.turn()
    assert cancelled.result() == "CANCELLED"
    assert (steps(execution), items()) == ([("hold", 1, "CANCELLED")], [])
    at_work.close()


def test_parking_that_meets_a_cancel_is_woken_and_cancelled():
    execution = queued(HOLD)
    at_work = Drain()
    at_work._hand_out(at_work._claim())
    with meeting(at_work.turn):
        assert control.cancel(execution, by="test").status == "QUEUED"
    at_work.run_until_empty()  # it may have claimed what woke it
    drain()
    execution.refresh_from_db()
    assert (execution.status, steps(execution), items()) == ("CANCELLED", [("hold", 1, "CANCELLED")], [])


def test_cancel_that_meets_a_claim_is_heard_by_the_worker():
    execution = queued(LOG)
    at_work = Drain()
    with meeting(lambda: control.cancel(execution, by="test").status) as cancelled:
        claimed = at_work._claim()
        assert len(claimed) == 1
    assert (cancelled.result(), items()) == ("QUEUED", ["CLAIMED"])
    at_work._hand_out(claimed)
    at_work.run_until_empty(max_seconds=120)
    execution.refresh_from_db()
    assert (execution.status, steps(execution), items()) == ("CANCELLED", [], [])


# pause and resume


def test_paused_execution_starts_nothing_until_it_is_resumed():
    execution = queued(LOG, node("after", "merge"))
    assert control.pause(execution, by="user:1").paused_at is not None
    drain()
    execution.refresh_from_db()
    assert (execution.status, steps(execution)) == ("WAITING", [])
    assert control.resume(execution, by="user:2").paused_at is None
    drain()
    execution.refresh_from_db()
    assert (execution.status, steps(execution)) == (
        "SUCCESS",
        [("log", 1, "SUCCESS"), ("after", 1, "SUCCESS")],
    )
    assert [entry[:2] for entry in entries()] == [
        ("user:1", "execution.pause"),
        ("user:2", "execution.resume"),
    ]


def test_call_under_way_is_recorded_and_nothing_follows_while_paused(register_step, gate, worker):
    register_step("first", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through() or {"ok": 1})
    second = register_step("second", Effect.IDEMPOTENT)
    execution = queued(node("a", "first"), node("b", "second"))
    at_work = worker()
    gate.turn_until_entered(at_work)
    control.pause(execution, by="test")
    a_second_later(at_work)
    gate.open.set()
    at_work.run_until_empty(max_seconds=120)
    execution.refresh_from_db()
    assert (execution.status, steps(execution), second.calls) == ("WAITING", [("a", 1, "SUCCESS")], [])
    control.resume(execution, by="test")
    assert finish(execution.id).status == "SUCCESS"
    assert len(second.calls) == 1


def test_delay_that_ends_while_paused_goes_on_after_the_resume():
    execution = parked(HOLD, LOG)
    control.pause(execution, by="test")
    StepRun.objects.update(wake_at=timezone.now() - timedelta(hours=1))
    drain()
    execution.refresh_from_db()
    assert execution.status == "WAITING"
    control.resume(execution, by="test")
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"


def test_pause_twice_and_resume_without_a_pause_are_refused():
    execution = queued(LOG)
    with pytest.raises(Conflict, match="is not paused"):
        control.resume(execution, by="test")
    control.pause(execution, by="test")
    with pytest.raises(Conflict, match="paused already"):
        control.pause(execution, by="test")


def test_execution_being_cancelled_cannot_be_paused():
    execution = queued(LOG)
    Execution.objects.update(cancel_requested_at=timezone.now())
    with pytest.raises(Conflict, match="being cancelled"):
        control.pause(execution, by="test")


# skip and retry


def fails_once(register_step, effect=Effect.IDEMPOTENT):
    """Register a step that fails the first time, and return it."""

    def act(config, context):
        if context.attempt == 1:
            raise TransientError("try again", performed=False)
        return {"attempt": context.attempt}

    return register_step("flaky", effect, act)


PATIENT = {"initial_seconds": 3000, "max_seconds": 3600, "jitter": False}


def test_skipped_delay_is_over():
    execution = parked(HOLD, node("after", "transform", {"output": "{{ steps.hold.output.skipped }}"}))
    control.skip(execution, "hold", by="user:1")
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"
    assert StepRun.objects.get(path="after").output_data is True
    assert entries()[0][:2] == ("user:1", "execution.skip")
    assert entries()[0][3] == {
        "path": "hold", "status": "WAITING", "paused": False, "cancel_requested": False,
    }  # fmt: skip


def test_skipped_step_is_not_tried_again(register_step):
    step = fails_once(register_step)
    execution = parked(
        node("a", "flaky", retry=PATIENT), node("b", "transform", {"output": "{{ steps.a.output }}"})
    )
    control.skip(execution, "a", by="test")
    drain()
    execution.refresh_from_db()
    assert (execution.status, len(step.calls)) == ("SUCCESS", 1)
    assert StepRun.objects.get(path="b").output_data == {"skipped": True}


def test_skipped_call_of_a_workflow_leaves_the_child_alone():
    workflow(HOLD, slug="child", **MANUAL)
    execution = parked(node("call", "subworkflow", {"workflow": "child"}))
    control.skip(execution, "call", by="test")
    drain()
    execution.refresh_from_db()
    child = Execution.objects.get(parent_execution_id=execution.id)
    assert (execution.status, child.status) == ("SUCCESS", "WAITING")
    assert finish(child.id).status == "SUCCESS"


def test_step_is_tried_again_now(register_step):
    step = fails_once(register_step)
    execution = parked(node("a", "flaky", retry=PATIENT))
    control.retry_now(execution, "a", by="user:1")
    drain()
    execution.refresh_from_db()
    assert (execution.status, len(step.calls)) == ("SUCCESS", 2)
    assert entries()[0][:2] == ("user:1", "execution.retry")


def test_delay_ends_now():
    execution = parked(HOLD)
    control.retry_now(execution, "hold", by="test")
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"


def test_deadline_of_a_step_that_awaits_an_answer_is_not_brought_forward():
    execution = parked(node("hook", "wait_for_event", {"event_type": "order.paid", "timeout_seconds": 60}))
    with pytest.raises(Conflict, match="No step waits for its next try at 'hook'"):
        control.retry_now(execution, "hook", by="test")
    control.skip(execution, "hook", by="test")
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"


@pytest.mark.parametrize("path", ["log", "absent", "hold[0]", ""])
def test_only_a_step_that_waits_can_be_skipped_or_retried(path):
    execution = parked(LOG, HOLD)
    with pytest.raises(Conflict):
        control.skip(execution, path, by="test")
    with pytest.raises(Conflict):
        control.retry_now(execution, path, by="test")
    assert entries() == []


def test_step_that_is_skipped_cannot_be_skipped_again():
    execution = parked(HOLD)
    control.skip(execution, "hold", by="test")
    with pytest.raises(Conflict):
        control.skip(execution, "hold", by="test")
