"""Parallel branches: at the same time, joined when all that can arrive have, failed as one."""

from __future__ import annotations

import threading

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate_core.errors import PermanentError, TransientError
from automate_core.steps import Effect, StepResult
from tests.factories.engine import EVENT, drain, edge, finish, lose_workers, node, steps, workflow
from tests.factories.scripted import PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)

FORK = [edge("start", "a"), edge("start", "b"), edge("a", "end"), edge("b", "end")]


def fork(*branches, end=None):
    return workflow(node("start", "merge"), *branches, end or node("end", "merge"), edges=FORK)


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.AT_MOST_ONCE, Effect.DATABASE])
def test_branches_run_at_the_same_time(register_step, effect):
    meeting = threading.Barrier(2)

    def act(config, context):
        meeting.wait(PATIENCE_SECONDS)
        return {"met": config["who"]}

    register_step("t.meet", effect, act)
    fork(node("a", "t.meet", {"who": "a"}), node("b", "t.meet", {"who": "b"}))
    emit_event(EVENT, {})
    drain()
    execution = Execution.objects.get()
    assert execution.status == "SUCCESS"
    assert sorted(steps(execution)) == [
        ("a", 1, "SUCCESS"),
        ("b", 1, "SUCCESS"),
        ("end", 1, "SUCCESS"),
        ("start", 1, "SUCCESS"),
    ]


def test_join_waits_for_the_slower_branch(register_step, gate, worker):
    register_step("t.fast", Effect.IDEMPOTENT, lambda config, context: "fast")
    register_step("t.slow", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or "slow")
    end = node("end", "transform", {"output": ["{{ steps.a.output }}", "{{ steps.b.output }}"]})
    fork(node("a", "t.fast"), node("b", "t.slow"), end=end)
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    while not StepRun.objects.filter(path="a", status="SUCCESS").exists():
        one.turn()
    assert not StepRun.objects.filter(path="end").exists()
    gate.open.set()
    one.run_until_empty()
    assert StepRun.objects.get(path="end").output_data == ["fast", "slow"]


def test_failing_branch_fails_the_execution_after_the_other_call_returned(register_step, gate, worker):
    failed = threading.Event()

    def fail(config, context):
        assert gate.entered.wait(PATIENCE_SECONDS)
        failed.set()
        raise PermanentError("broken")

    register_step("t.fail", Effect.IDEMPOTENT, fail)
    register_step("t.slow", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through() or {"done": 1})
    fork(node("a", "t.fail"), node("b", "t.slow"))
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    while not StepRun.objects.filter(path="a", status="FAILED").exists():
        one.turn()
    assert Execution.objects.get().status == "RUNNING"
    gate.open.set()
    one.run_until_empty()
    execution = Execution.objects.get()
    assert (execution.status, execution.error_summary) == ("FAILED", "a: broken")
    assert sorted(steps(execution)) == [("a", 1, "FAILED"), ("b", 1, "SUCCESS"), ("start", 1, "SUCCESS")]
    assert StepRun.objects.get(path="b").output_data == {"done": 1}


def test_branch_goes_on_while_the_other_waits_for_its_next_try(register_step):
    tried = []

    def flaky(config, context):
        tried.append(context.attempt)
        if context.attempt == 1:
            raise TransientError("busy", retry_after_seconds=3600)

    register_step("t.flaky", Effect.IDEMPOTENT, flaky)
    register_step("t.ok", Effect.IDEMPOTENT, lambda config, context: "ok")
    fork(node("a", "t.flaky"), node("b", "t.ok"))
    emit_event(EVENT, {})
    drain()
    execution = Execution.objects.get()
    assert execution.status == "WAITING"
    assert sorted(steps(execution)) == [("a", 1, "FAILED"), ("b", 1, "SUCCESS"), ("start", 1, "SUCCESS")]
    assert (finish().status, tried) == ("SUCCESS", [1, 2])
    assert StepRun.objects.filter(path="b").count() == 1


def test_finished_branch_is_not_called_again_when_the_worker_is_lost(register_step, gate, worker):
    quick = register_step("t.quick", Effect.AT_MOST_ONCE, lambda config, context: "quick")
    register_step("t.slow", Effect.IDEMPOTENT, lambda config, context: gate.pass_through() or "slow")
    end = node("end", "transform", {"output": "{{ steps.a.output }}-{{ steps.b.output }}"})
    fork(node("a", "t.quick"), node("b", "t.slow"), end=end)
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    while not StepRun.objects.filter(path="a", status="SUCCESS").exists():
        one.turn()
    assert lose_workers() == 1
    gate.open.set()
    assert finish().status == "SUCCESS"
    assert len(quick.calls) == 1
    assert StepRun.objects.get(path="end").output_data == "quick-slow"


def test_route_of_an_outside_step_decides_the_branch_also_after_a_crash(register_step, gate, worker):
    step = register_step("t.choose", Effect.IDEMPOTENT, lambda config, context: StepResult({}, route="yes"))
    step.routes = ("yes", "no")
    register_step("t.slow", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    workflow(
        node("choose", "t.choose"), node("a", "t.slow"), node("b", "merge"), node("c", "merge"),
        edges=[edge("choose", "a", "yes"), edge("choose", "b", "no"), edge("b", "c")],
    )  # fmt: skip
    emit_event(EVENT, {})
    gate.turn_until_entered(worker())
    assert lose_workers() == 1
    gate.open.set()
    execution = finish()
    assert sorted(steps(execution)) == [
        ("a", 1, "FAILED"),
        ("a", 2, "SUCCESS"),
        ("b", 1, "SKIPPED"),
        ("c", 1, "SKIPPED"),
        ("choose", 1, "SUCCESS"),
    ]
    assert len(step.calls) == 1


def test_more_calls_than_slots_all_finish(register_step, settings):
    settings.AUTOMATE = {"EFFECT_SLOTS": 2}
    step = register_step("t.call", Effect.IDEMPOTENT, lambda config, context: "x")
    workflow(
        node("start", "merge"),
        *(node(f"n{number}", "t.call") for number in range(9)),
        edges=[edge("start", f"n{number}") for number in range(9)],
    )
    emit_event(EVENT, {})
    drain()
    assert (Execution.objects.get().status, len(step.calls)) == ("SUCCESS", 9)
