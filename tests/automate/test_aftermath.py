"""What follows the end of an execution: once each, in the commit that completes the item, and only when wanted."""

from __future__ import annotations

import pytest
from django.db import DataError

from automate import aftermath
from automate.events import run_workflow
from automate.executions import control, finished
from automate.executions.burial import bury, revive
from automate.models import Execution, StepRun
from automate.workflows import create_workflow
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import OutboxItem, Tenant
from automate_core.outbox.drain import Drain
from tests.factories.engine import drain, finish, lose_workers, node, wake

pytestmark = pytest.mark.django_db(transaction=True)

BAD = node("bad", "transform", {"output": "{{ input.missing }}"})
HOLD = node("hold", "delay", {"seconds": 3600})
MANUAL = {"trigger_type": "manual", "trigger_config": {}}


def save(slug, *nodes, error_workflow=None):
    """Create a workflow with an error workflow."""
    graph = {"nodes": list(nodes), "settings": {"error_workflow": error_workflow} if error_workflow else {}}
    return create_workflow(name=slug, slug=slug, graph=graph, by="test", **MANUAL)


def alarm(**more):
    """Create the workflow that runs after failures."""
    return save("alarm", node("note", "transform", {"output": "{{ input }}"}), **more)


def runs_of(slug):
    return Execution.objects.filter(automation__slug=slug)


def items():
    return list(OutboxItem.objects.values_list("kind", flat=True))


def test_success_nobody_waits_for_leaves_no_item():
    save("orders", node("a", "merge"), error_workflow="alarm")
    run_workflow("orders", {})
    worker = Drain(kinds=["event", "execution"])
    worker.run_until_empty()
    assert (Execution.objects.get().status, items()) == ("SUCCESS", [])


def test_failure_starts_the_error_workflow_with_what_happened():
    alarm()
    save("orders", BAD, error_workflow="alarm")
    failed_id = run_workflow("orders", {"order": 7})
    drain()
    failed = Execution.objects.get(pk=failed_id)
    ran = runs_of("alarm").get()
    assert (ran.status, ran.cause_execution_id, ran.depth, ran.trace_id) == (
        "SUCCESS",
        failed.id,
        1,
        failed.trace_id,
    )
    assert ran.context == {
        "execution_id": failed_id,
        "workflow": "orders",
        "status": "FAILED",
        "error": {"code": "TEMPLATE_ERROR", "message": failed.error_summary, "step": "bad"},
        "trace_id": failed.trace_id,
        "input": {"order": 7},
    }


def test_error_workflow_starts_once_however_often_the_worker_is_lost(monkeypatch):
    alarm()
    save("orders", BAD, error_workflow="alarm")
    run_workflow("orders", {})
    Drain(kinds=["execution"]).run_until_empty()
    follow = aftermath.follow
    lost = []

    def lose(ids):
        follow(ids)
        if len(lost) < 2:
            lost.append(ids)
            raise SystemError("the worker is gone before its commit")

    monkeypatch.setattr(aftermath, "follow", lose)
    for _ in range(3):
        drain()
        lose_workers()
    drain()
    assert (len(lost) >= 2, runs_of("alarm").count(), items()) == (True, 1, [])


def test_item_settled_by_somebody_else_changes_nothing():
    alarm()
    save("orders", BAD, error_workflow="alarm")
    run_workflow("orders", {})
    Drain(kinds=["execution"]).run_until_empty()
    stale = Drain(kinds=["finished"])
    held = stale.store.claim_batch(stale.worker)
    assert [item.kind for item in held] == ["finished"]
    lose_workers()
    handler = stale._handlers["finished"]
    with pytest.raises(aftermath.LeaseLost):
        handler.handle(held)
    assert runs_of("alarm").count() == 0
    drain()
    assert runs_of("alarm").count() == 1


def test_one_end_that_cannot_be_followed_does_not_hold_up_the_others(monkeypatch):
    alarm()
    save("orders", BAD, error_workflow="alarm")
    poison = run_workflow("orders", {})
    for _ in range(3):
        run_workflow("orders", {})
    follow = aftermath.follow

    def refuse(ids):
        if poison in ids:
            raise DataError("refused")
        follow(ids)

    monkeypatch.setattr(aftermath, "follow", refuse)
    for _ in range(6):
        drain()
        wake()
    left = OutboxItem.objects.get()
    assert (left.kind, left.status, left.payload) == ("finished", "FAILED", {"execution_id": poison})
    assert "refused" in left.error
    assert runs_of("alarm").count() == 3


def test_error_workflow_that_fails_does_not_start_itself():
    save("alarm", BAD, error_workflow="alarm")
    save("orders", BAD, error_workflow="alarm")
    run_workflow("orders", {})
    drain()
    assert (runs_of("alarm").count(), runs_of("orders").count(), items()) == (1, 1, [])


def test_error_workflows_of_each_other_do_not_go_on_for_ever():
    save("alarm", BAD, error_workflow="orders")
    save("orders", BAD, error_workflow="alarm")
    run_workflow("orders", {})
    drain()
    assert (runs_of("alarm").count(), runs_of("orders").count()) == (1, 1)


def test_absent_error_workflow_is_logged_and_no_more(caplog):
    save("orders", BAD, error_workflow="absent")
    run_workflow("orders", {})
    drain()
    assert (Execution.objects.count(), items()) == (1, [])
    record = next(record for record in caplog.records if record.message == "error_workflow.not_started")
    assert record.error == "There is no workflow 'absent'"


def test_error_workflow_of_another_tenant_is_not_started():
    other = Tenant.objects.create(id=uuid7(), slug="other", name="Other")
    with tenant_scope(other.id):
        alarm()
    save("orders", BAD, error_workflow="alarm")
    run_workflow("orders", {})
    drain()
    assert Execution.all_tenants.count() == 1


def test_execution_given_up_after_losing_its_workers_starts_the_error_workflow():
    alarm()
    save("orders", node("a", "merge"), error_workflow="alarm")
    execution_id = run_workflow("orders", {})
    OutboxItem.objects.update(max_attempts=1)
    worker = Drain(kinds=["execution"])
    worker.store.claim_batch(worker.worker)
    lose_workers()
    drain()
    assert Execution.objects.get(pk=execution_id).error_code == "WORKER_LOST"
    assert runs_of("alarm").get().context["error"]["code"] == "WORKER_LOST"


def test_timeout_of_the_whole_execution_starts_the_error_workflow():
    alarm()
    graph = {"nodes": [HOLD], "settings": {"timeout_seconds": 60, "error_workflow": "alarm"}}
    create_workflow(name="orders", slug="orders", graph=graph, by="test", **MANUAL)
    execution_id = run_workflow("orders", {})
    drain()
    Execution.objects.filter(pk=execution_id).update(started_at="2020-01-01T00:00:00Z")
    StepRun.objects.update(wake_at=None)
    wake()
    drain()
    assert runs_of("alarm").get().context["error"]["code"] == "TIMEOUT"


def test_cancel_starts_no_error_workflow():
    alarm()
    save("orders", HOLD, error_workflow="alarm")
    execution_id = run_workflow("orders", {})
    drain()
    control.cancel(Execution.objects.get(pk=execution_id), by="test")
    drain()
    assert (runs_of("alarm").count(), items()) == (0, [])


def calling():
    """Return a caller that waits for its child."""
    save("child", HOLD)
    save("orders", node("call", "subworkflow", {"workflow": "child"}), node("after", "merge"))
    execution_id = run_workflow("orders", {})
    drain()
    return Execution.objects.get(pk=execution_id)


def test_cancelled_child_fails_the_step_that_waits_for_it():
    parent = calling()
    control.cancel(Execution.objects.get(parent_execution_id=parent.id), by="test")
    drain()
    parent.refresh_from_db()
    assert (parent.status, parent.error_code) == ("FAILED", "CHILD_FAILED")
    assert "'child' ended CANCELLED" in parent.error_summary


def test_end_of_a_caller_calls_off_what_its_steps_wait_for():
    parent = calling()
    StepRun.objects.filter(execution=parent).update(status="CANCELLED")
    Execution.objects.filter(pk=parent.id).update(status="CANCELLED", finished_at=parent.created_at)
    finished.promise([parent.id])
    drain()
    assert Execution.objects.get(parent_execution_id=parent.id).status == "CANCELLED"


def test_caller_put_back_after_its_child_ended_is_told_then():
    parent = calling()
    bury([(str(parent.id), "gone")])
    child = Execution.objects.get(parent_execution_id=parent.id)
    assert finish(child.id).status == "SUCCESS"
    parent.refresh_from_db()
    assert (parent.status, StepRun.objects.get(path="call").answer) == ("FAILED", None)
    revive([parent.id])
    drain()
    parent.refresh_from_db()
    assert parent.status == "SUCCESS"


def test_end_of_an_execution_put_back_meanwhile_is_not_followed():
    alarm()
    save("orders", HOLD, error_workflow="alarm")
    execution_id = run_workflow("orders", {})
    drain()
    finished.promise([execution_id])
    aftermath.follow([execution_id])
    assert runs_of("alarm").count() == 0
