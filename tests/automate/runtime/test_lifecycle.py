"""Executions whose workflow changes under them: edited, disabled, deleted, or no longer understood."""

from __future__ import annotations

import pytest

from automate.events import emit_event, run_workflow
from automate.models import Automation, Execution, StepRun, WorkflowVersion
from automate.replays import replay
from automate.runtime import Runtime, plans
from automate.workflows import delete_workflow, update_workflow
from automate_core.errors import Conflict, ErrorCodes
from automate_core.models import OutboxItem
from automate_core.steps import Effect, step_registry
from tests.factories.engine import EVENT, THREE_PURE, drain, finish, lose_workers, node, steps, wake, workflow

pytestmark = pytest.mark.django_db(transaction=True)

WAIT = node("wait", "delay", {"seconds": 3600})


def graph(*nodes):
    return {"nodes": list(nodes), "edges": []}


def test_execution_finishes_on_the_version_it_started_with():
    made = workflow(WAIT, node("log", "logging", {"message": "old"}))
    emit_event(EVENT, {})
    drain()
    first = Execution.objects.get()
    update_workflow(made, by="test", graph=graph(WAIT, node("log", "logging", {"message": "new"})))
    old = finish(first.id)
    emit_event(EVENT, {})
    drain()
    new = finish(Execution.objects.exclude(pk=first.id).get().id)
    assert [row.version.number for row in (old, new)] == [1, 2]
    messages = [StepRun.objects.get(execution=row, path="log").output_data["message"] for row in (old, new)]
    assert messages == ["old", "new"]


def test_queued_run_keeps_the_version_live_when_it_was_asked_for():
    made = workflow(node("log", "logging", {"message": "old"}))
    execution_id = run_workflow("orders", {})
    update_workflow(made, by="test", graph=graph(node("log", "logging", {"message": "new"})))
    assert finish(execution_id).version.number == 1


def test_version_is_pinned_when_an_execution_without_one_starts():
    made = workflow(WAIT, node("log", "logging", {"message": "old"}))
    execution = Execution.objects.create(automation=made, context={})
    assert execution.version_id is None
    Runtime(patience_seconds=0).run_execution(execution.id)
    update_workflow(made, by="test", graph=graph(node("log", "logging", {"message": "new"})))
    assert finish(execution.id).version.number == 1


def test_edit_is_seen_by_a_worker_that_dispatched_before():
    made = workflow(node("a", "merge"))
    emit_event(EVENT, {})
    drain()
    update_workflow(made, by="test", trigger_config={"event_type": "other"})
    emit_event(EVENT, {})
    emit_event("other", {})
    drain()
    assert Execution.objects.order_by("id").last().event.type == "other"
    assert Execution.objects.count() == 2


def test_disabled_workflow_starts_nothing_and_what_runs_goes_on():
    made = workflow(WAIT)
    emit_event(EVENT, {})
    drain()
    update_workflow(made, by="test", enabled=False)
    emit_event(EVENT, {})
    assert finish().status == "SUCCESS"
    assert Execution.objects.count() == 1
    with pytest.raises(Conflict):
        run_workflow("orders", {})


def test_execution_waiting_when_its_workflow_is_deleted_is_dropped():
    made = workflow(WAIT)
    emit_event(EVENT, {})
    drain()
    delete_workflow(made, by="test")
    wake()
    drain()
    assert (Execution.objects.count(), StepRun.objects.count(), OutboxItem.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize("effect", [Effect.DATABASE, Effect.IDEMPOTENT, Effect.AT_MOST_ONCE])
def test_execution_in_a_call_when_its_workflow_is_deleted_is_dropped(register_step, gate, worker, effect):
    register_step("t.call", effect, lambda config, context: gate.pass_through())
    other = workflow(node("log", "merge"), slug="other", trigger_config={"event_type": "other"})
    made = workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    delete_workflow(Automation.objects.get(pk=made.pk), by="test")
    emit_event("other", {})
    gate.open.set()
    one.run_until_empty()
    assert list(Execution.objects.values_list("automation_id", "status")) == [(other.id, "SUCCESS")]
    assert (StepRun.objects.count(), OutboxItem.objects.count()) == (1, 0)


def test_lost_execution_of_a_deleted_workflow_is_dropped(register_step, gate, worker):
    register_step("t.call", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    made = workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    gate.turn_until_entered(worker())
    delete_workflow(made, by="test")
    assert lose_workers() == 1
    drain()
    assert (Execution.objects.count(), OutboxItem.objects.count()) == (0, 0)


@pytest.mark.parametrize("how", ["event", "run"])
def test_unknown_step_type_in_a_stored_version_fails_the_execution(register_step, how):
    register_step("t.gone", Effect.PURE)
    workflow(node("here", "t.gone"))
    step_registry.unregister("t.gone")
    plans.forget()
    if how == "event":
        emit_event(EVENT, {})
    else:
        run_workflow("orders", {})
    drain()
    execution = Execution.objects.get()
    assert (execution.status, execution.error_code) == ("FAILED", ErrorCodes.VALIDATION_ERROR)
    assert "'here' has the unknown type 't.gone'" in execution.error_summary
    assert (steps(execution), OutboxItem.objects.count()) == ([], 0)


def test_empty_workflow_succeeds():
    workflow()
    emit_event(EVENT, {})
    assert finish().status == "SUCCESS"


def test_replay_runs_the_live_version_with_the_same_input_and_leaves_the_original():
    made = workflow(*THREE_PURE["nodes"])
    emit_event(EVENT, {"n": 5})
    original = finish()
    update_workflow(made, by="test", graph=graph(node("again", "transform", {"output": "{{ input.n }}"})))
    copy = replay(original, by="test")
    copy = finish(copy.id)
    assert (copy.status, copy.replay_of_id, copy.attempt, copy.version.number) == (
        "SUCCESS",
        original.id,
        2,
        2,
    )
    assert StepRun.objects.get(execution=copy).output_data == 5
    before = (original.status, original.finished_at, len(steps(original)))
    original.refresh_from_db()
    assert (original.status, original.finished_at, len(steps(original))) == before


def test_running_execution_cannot_be_replayed():
    workflow(WAIT)
    emit_event(EVENT, {})
    drain()
    with pytest.raises(Conflict, match="WAITING"):
        replay(Execution.objects.get(), by="test")


def test_versions_do_not_change_when_the_graph_does_not():
    made = workflow(*THREE_PURE["nodes"])
    update_workflow(made, by="test", name="Renamed", graph=graph(*THREE_PURE["nodes"]))
    assert WorkflowVersion.objects.count() == 1


def test_event_whose_one_workflow_is_deleted_before_the_record_still_starts_the_other(worker):
    workflow(node("log", "merge"), slug="other")
    made = workflow(node("log", "merge"))
    emit_event(EVENT, {})
    one = worker()
    one._handlers["event"].handle(one.store.claim_batch(one.worker))
    delete_workflow(made, by="test")
    one.turn()
    assert OutboxItem.objects.get().status == "PENDING"
    wake()
    drain()
    executions = Execution.objects.values_list("automation__slug", "status")
    assert (list(executions), OutboxItem.objects.count()) == ([("other", "SUCCESS")], 0)


@pytest.mark.parametrize("not_an_id", ["", "exec-001", "\x00"])
def test_text_that_is_no_id_names_no_execution(not_an_id):
    with pytest.raises(Execution.DoesNotExist):
        Runtime().run_execution(not_an_id)
