"""A step that runs another workflow: exactly one child for each try, its end is the step's, depth is bounded."""

from __future__ import annotations

import pytest

from automate.events import run_workflow
from automate.models import Execution, StepRun
from automate.subworkflows import SubworkflowStep
from automate.workflows import create_workflow
from automate_core.errors import ErrorCodes
from automate_core.ids import uuid7
from automate_core.outbox.drain import Drain
from automate_core.steps import Effect
from tests.factories.engine import drain, edge, finish, lose_workers, node, wake, workflow

pytestmark = pytest.mark.django_db(transaction=True)

CALL = {"workflow": "child", "input": {"n": "{{ input.n }}"}}


def child(*nodes, **more):
    """Create the workflow that is called."""
    return workflow(*nodes, slug="child", trigger_type="manual", trigger_config={}, **more)


def caller(config=CALL, **more):
    """Create a workflow that calls `child` and keeps what it gave."""
    return workflow(
        node("call", "subworkflow", config, **more),
        node("after", "transform", {"output": "{{ steps.call.output }}"}),
        trigger_type="manual",
        trigger_config={},
    )


def test_output_of_the_child_is_the_output_of_the_step():
    child(node("double", "transform", {"output": {"n": "{{ input.n }}", "by": "child"}}))
    caller()
    execution_id = run_workflow("orders", {"n": 21})
    drain()
    parent = Execution.objects.get(pk=execution_id)
    made = Execution.objects.get(parent_execution_id=execution_id)
    assert (parent.status, made.status, made.parent_path, made.depth) == ("SUCCESS", "SUCCESS", "call", 1)
    assert (made.cause_execution_id, made.trace_id, made.context) == (parent.id, parent.trace_id, {"n": 21})
    assert StepRun.objects.get(execution=parent, path="after").output_data == {
        "execution_id": str(made.id),
        "status": "SUCCESS",
        "output": {"n": 21, "by": "child"},
    }


def test_child_may_be_named_by_its_id():
    made = child(node("answer", "transform", {"output": "hi"}))
    caller({"workflow": str(made.pk)})
    execution_id = run_workflow("orders", {})
    drain()
    assert Execution.objects.get(pk=execution_id).status == "SUCCESS"
    assert Execution.objects.get(parent_execution_id=execution_id).automation_id == made.pk


def test_failure_of_the_child_fails_the_step_and_says_why():
    child(node("bad", "transform", {"output": "{{ input.missing }}"}))
    caller()
    execution_id = run_workflow("orders", {"n": 1})
    drain()
    parent = Execution.objects.get(pk=execution_id)
    made = Execution.objects.get(parent_execution_id=execution_id)
    assert (parent.status, parent.error_code, made.status) == ("FAILED", ErrorCodes.CHILD_FAILED, "FAILED")
    assert "'child' ended FAILED: bad: " in parent.error_summary
    assert str(made.id) in parent.error_summary


def test_failure_of_the_child_can_be_handled():
    child(node("bad", "transform", {"output": "{{ input.missing }}"}))
    workflow(
        node("call", "subworkflow", CALL, on_error="route"),
        node("sorry", "transform", {"output": "{{ steps.call.error.code }}"}),
        edges=[edge("call", "sorry", "error")],
    )
    execution_id = run_workflow("orders", {"n": 1})
    drain()
    assert Execution.objects.get(pk=execution_id).status == "SUCCESS"
    assert StepRun.objects.get(path="sorry").output_data == "CHILD_FAILED"


def test_fire_and_forget_goes_on_at_once_and_ties_nobody():
    child(node("hold", "delay", {"seconds": 3600}))
    caller({**CALL, "wait": False})
    execution_id = run_workflow("orders", {"n": 1})
    drain()
    made = Execution.objects.exclude(pk=execution_id).get()
    assert Execution.objects.get(pk=execution_id).status == "SUCCESS"
    assert (made.status, made.parent_execution_id, str(made.cause_execution_id)) == (
        "WAITING",
        None,
        execution_id,
    )
    assert StepRun.objects.get(path="after").output_data == {"execution_id": str(made.id)}


def test_caller_waits_without_a_worker_and_the_step_names_the_child():
    child(node("hold", "delay", {"seconds": 3600}))
    caller()
    execution_id = run_workflow("orders", {"n": 1})
    drain()
    made = Execution.objects.get(parent_execution_id=execution_id)
    assert Execution.objects.get(pk=execution_id).status == "WAITING"
    step = StepRun.objects.get(path="call")
    assert (step.status, step.output_data) == ("WAITING", {"execution_id": str(made.id)})
    assert finish(execution_id).status == "SUCCESS"


def test_caller_gives_up_after_its_timeout_and_the_child_goes_on():
    child(node("hold", "delay", {"seconds": 3600}))
    caller({**CALL, "timeout_seconds": 60})
    execution_id = run_workflow("orders", {"n": 1})
    drain()
    StepRun.objects.filter(path="hold").update(wake_at=None)
    wake()
    drain()
    parent = Execution.objects.get(pk=execution_id)
    assert (parent.status, parent.error_code) == ("FAILED", ErrorCodes.TIMEOUT)
    assert Execution.objects.get(parent_execution_id=execution_id).status == "WAITING"


def test_late_answer_of_an_earlier_try_is_not_taken_for_the_later_one():
    child(node("hold", "delay", {"seconds": 3600}))
    caller()
    execution_id = run_workflow("orders", {"n": 1})
    drain()
    early = Execution.objects.get(parent_execution_id=execution_id)
    StepRun.objects.filter(path="call").update(output_data={"execution_id": str(uuid7())})
    wake()
    drain()
    early.refresh_from_db()
    assert (early.status, Execution.objects.get(pk=execution_id).status) == ("SUCCESS", "WAITING")
    assert StepRun.objects.get(path="call").answer is None


def test_child_is_made_once_however_often_the_worker_is_lost(monkeypatch):
    child(node("a", "transform", {"output": 1}))
    caller()
    execution_id = run_workflow("orders", {"n": 1})
    lost = []
    start = SubworkflowStep.run

    def lose(self, config, context):
        made = start(self, config, context)
        if len(lost) < 2:
            lost.append(context.attempt)
            raise SystemError("the worker is gone before its commit")
        return made

    monkeypatch.setattr(SubworkflowStep, "run", lose)
    parent = finish(execution_id)
    assert (parent.status, len(lost)) == ("SUCCESS", 2)
    assert Execution.objects.filter(parent_execution_id=execution_id).count() == 1


def test_chain_of_workflows_that_call_themselves_ends_with_a_clear_error(settings):
    settings.AUTOMATE = {**settings.AUTOMATE, "MAX_CAUSATION_DEPTH": 3}
    workflow(node("again", "subworkflow", {"workflow": "orders"}), trigger_type="manual", trigger_config={})
    execution_id = run_workflow("orders", {})
    drain()
    parent = Execution.objects.get(pk=execution_id)
    deepest = Execution.objects.order_by("-depth").first()
    assert (parent.status, parent.error_code, Execution.objects.count()) == ("FAILED", "CHILD_FAILED", 4)
    assert (deepest.depth, deepest.error_code) == (3, "VALIDATION_ERROR")
    assert "would be number 4 in a chain" in deepest.error_summary


@pytest.mark.parametrize(
    ("config", "code", "message"),
    [
        ({"workflow": "absent"}, "NOT_FOUND", "There is no workflow 'absent'"),
        ({"workflow": "child"}, "CONFLICT", "is disabled"),
        (
            {"workflow": "child", "input": "{{ input.n }}"},
            "PERMANENT_ERROR",
            "input must be an object, not 1",
        ),
        (
            {"workflow": "child", "timeout_seconds": "{{ input.no }}"},
            "PERMANENT_ERROR",
            "timeout_seconds must be",
        ),
    ],
)
def test_call_that_cannot_be_made_fails_the_step(config, code, message):
    child(node("a", "merge"), enabled=False)
    workflow(node("call", "subworkflow", config), trigger_type="manual", trigger_config={})
    run_workflow("orders", {"n": 1, "no": -1})
    drain()
    parent = Execution.objects.get()
    assert (parent.status, parent.error_code) == ("FAILED", code)
    assert message in parent.error_summary


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({}, "workflow"),
        ({"workflow": ""}, "workflow"),
        ({"workflow": "a", "input": [1]}, "input"),
        ({"workflow": "a", "wait": "yes"}, "wait"),
        ({"workflow": "a", "timeout_seconds": 0}, "timeout_seconds"),
        ({"workflow": "a", "timeout_seconds": True}, "timeout_seconds"),
        ({"workflow": "a", "timeout_seconds": 1e12}, "timeout_seconds"),
    ],
)
def test_wrong_config_is_named(config, field):
    assert [problem.field for problem in SubworkflowStep().problems(config)] == [field]


def test_called_in_a_loop_each_iteration_has_its_child():
    child(node("double", "transform", {"output": "{{ input.n }}"}))
    workflow(
        node(
            "each",
            "for_each",
            {"items": "{{ input.all }}", "concurrency": 2, "result": "{{ steps.call.output.output }}"},
        ),
        node("call", "subworkflow", {"workflow": "child", "input": {"n": "{{ item }}"}}),
        edges=[edge("each", "call", "item")],
        trigger_type="manual",
        trigger_config={},
    )
    execution_id = run_workflow("orders", {"all": [1, 2, 3]})
    drain()
    parent = Execution.objects.get(pk=execution_id)
    assert parent.status == "SUCCESS"
    assert StepRun.objects.get(path="each").output_data["results"] == [1, 2, 3]
    paths = Execution.objects.filter(parent_execution_id=execution_id).values_list("parent_path", flat=True)
    assert sorted(paths) == ["each[0]/call", "each[1]/call", "each[2]/call"]


def test_effect_is_that_of_a_database_step():
    assert SubworkflowStep().effect is Effect.DATABASE


def test_worker_lost_after_any_round_leaves_one_child_one_answer_and_one_alarm():
    child(node("look", "transform", {"output": "{{ input.n }}"}))
    workflow(node("note", "merge"), slug="alarm", trigger_type="manual", trigger_config={})
    nodes = [node("call", "subworkflow", CALL), node("bad", "transform", {"output": "{{ input.missing }}"})]
    create_workflow(
        name="orders",
        slug="orders",
        by="test",
        graph={"nodes": nodes, "settings": {"error_workflow": "alarm"}},
    )
    losses = 0
    for rounds in range(1, 10):
        execution_id = run_workflow("orders", {"n": rounds})
        losses += lose_a_worker_after(rounds)
        drain()
        parent = Execution.objects.get(pk=execution_id)
        made = Execution.objects.filter(parent_execution_id=execution_id)
        alarms = Execution.objects.filter(automation__slug="alarm", cause_execution_id=execution_id)
        assert (parent.status, parent.error_code, made.get().status) == (
            "FAILED",
            "TEMPLATE_ERROR",
            "SUCCESS",
        )
        answered = StepRun.objects.get(execution=parent, path="call", status="SUCCESS")
        assert answered.output_data["output"] == rounds
        assert [alarm.status for alarm in alarms] == ["SUCCESS"]
    assert losses > 4


def lose_a_worker_after(rounds):
    """Let a worker make so many rounds that moved something, claim once more and be gone; return what it held."""
    lost = Drain()
    for _ in range(400):
        rounds -= lost.turn()
        if not rounds:
            break
        lost._hear(timeout=0.005)
    lost.store.look_soon()
    lost._claim()
    lost.close()
    return lose_workers()
