"""The four effect classes through real crashes: a worker is abandoned, its lease expires, another goes on."""

from __future__ import annotations

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.runtime.scope import idempotency_key
from automate_core.errors import ErrorCodes
from automate_core.models import OutboxItem, Tenant
from automate_core.steps import Effect, StepResult
from tests.factories.engine import EVENT, drain, finish, lose_workers, node, steps, workflow

pytestmark = pytest.mark.django_db(transaction=True)


def test_pure_steps_rerun_unnoticed_after_a_crash(register_step, worker, gate):
    pure = register_step("t.pure", Effect.PURE, lambda config, context: {"n": config["n"]})
    outside = register_step("t.outside", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    workflow(
        node("a", "t.pure", {"n": "{{ event.payload.n }}"}),
        node("call", "t.outside"),
        node("b", "t.pure", {"n": "{{ steps.a.output.n }}"}),
    )
    emit_event(EVENT, {"n": 7})
    gate.turn_until_entered(worker())
    assert lose_workers() == 1
    gate.open.set()
    execution = finish()
    assert execution.status == "SUCCESS"
    assert steps(execution) == [
        ("a", 1, "SUCCESS"),
        ("call", 1, "FAILED"),
        ("call", 2, "SUCCESS"),
        ("b", 1, "SUCCESS"),
    ]
    assert StepRun.objects.get(path="b").output_data == {"n": 7}
    assert [context.path for context in pure.calls] == ["a", "b"]
    assert len(outside.calls) == 2


def test_pure_steps_computed_but_not_recorded_are_computed_again(register_step, worker):
    pure = register_step("t.pure", Effect.PURE, lambda config, context: {})
    workflow(node("a", "t.pure"))
    emit_event(EVENT, {})
    lost = worker()
    handler = lost._handlers["event"]
    handler.handle(lost.store.claim_batch(lost.worker))
    assert lose_workers() == 1
    handler.turn()
    assert (len(pure.calls), StepRun.objects.count(), Execution.objects.count()) == (1, 0, 0)
    drain()
    assert (len(pure.calls), steps(Execution.objects.get())) == (2, [("a", 1, "SUCCESS")])


def test_database_step_interrupted_before_its_commit_takes_effect_once(register_step, worker, gate):
    def act(config, context):
        Tenant.objects.create(slug=f"made-{context.attempt}", name="Made")
        if context.attempt == 1:
            gate.pass_through()

    register_step("t.database", Effect.DATABASE, act)
    workflow(node("write", "t.database"))
    emit_event(EVENT, {})
    lost = worker()
    gate.turn_until_entered(lost)
    assert lose_workers() == 1
    execution = finish()
    gate.open.set()
    lost.close()
    for thread in lost._handlers["execution"]._effects._pool._threads:
        thread.join()
    assert execution.status == "SUCCESS"
    assert list(Tenant.objects.filter(name="Made").values_list("slug", flat=True)) == ["made-2"]
    assert steps(execution) == [("write", 1, "FAILED"), ("write", 2, "SUCCESS")]


def test_database_step_interrupted_after_its_commit_is_not_run_again(register_step, worker, gate):
    def act(config, context):
        Tenant.objects.create(slug="made", name="Made")
        return {"made": 1}

    write = register_step("t.database", Effect.DATABASE, act)
    register_step("t.outside", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    workflow(
        node("write", "t.database"), node("call", "t.outside", {"made": "{{ steps.write.output.made }}"})
    )
    emit_event(EVENT, {})
    lost = worker()
    while not StepRun.objects.filter(path="write", status="SUCCESS").exists():
        lost.turn()
    assert lose_workers() == 1
    gate.open.set()
    execution = finish()
    assert (execution.status, len(write.calls), Tenant.objects.filter(name="Made").count()) == (
        "SUCCESS",
        1,
        1,
    )
    assert StepRun.objects.filter(path="call").order_by("attempt").last().input_data == {"made": 1}


def test_database_step_that_fails_leaves_none_of_its_writes(register_step):
    def act(config, context):
        Tenant.objects.create(slug="half", name="Half")
        raise ValueError("no")

    register_step("t.database", Effect.DATABASE, act)
    workflow(node("write", "t.database", retry={"max_attempts": 2}))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, Tenant.objects.filter(slug="half").count()) == ("FAILED", 0)
    assert steps(execution) == [("write", 1, "FAILED"), ("write", 2, "FAILED")]


def test_idempotent_step_is_called_again_with_the_same_key(register_step, worker, gate):
    step = register_step("t.idempotent", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    workflow(node("call", "t.idempotent"))
    emit_event(EVENT, {})
    gate.turn_until_entered(worker())
    intent = StepRun.objects.get()
    assert (intent.status, intent.attempt) == ("RUNNING", 1)
    assert lose_workers() == 1
    gate.open.set()
    execution = finish()
    assert steps(execution) == [("call", 1, "FAILED"), ("call", 2, "SUCCESS")]
    assert StepRun.objects.get(attempt=1).error_code == ErrorCodes.WORKER_LOST
    key = idempotency_key(execution.id, "call")
    assert [context.idempotency_key for context in step.calls] == [key, key]


def test_lost_worker_does_not_use_up_the_steps_tries(register_step, worker, gate):
    register_step("t.idempotent", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    workflow(node("call", "t.idempotent", retry={"max_attempts": 1}))
    emit_event(EVENT, {})
    gate.turn_until_entered(worker())
    assert lose_workers() == 1
    gate.open.set()
    assert finish().status == "SUCCESS"


def test_at_most_once_step_interrupted_is_outcome_unknown_and_never_called_twice(register_step, worker, gate):
    step = register_step("t.once", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through())
    after = register_step("t.after", Effect.PURE)
    workflow(node("call", "t.once", retry={"max_attempts": 5}), node("after", "t.after"))
    emit_event(EVENT, {})
    gate.turn_until_entered(worker())
    assert lose_workers() == 1
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", ErrorCodes.OUTCOME_UNKNOWN)
    assert (len(step.calls), after.calls, steps(execution)) == (1, [], [("call", 1, "FAILED")])
    assert OutboxItem.objects.count() == 0


def test_intent_is_durable_before_the_call(register_step):
    seen = []

    def act(config, context):
        seen.append(list(StepRun.all_tenants.values_list("path", "status", "input_data")))

    register_step("t.once", Effect.AT_MOST_ONCE, act)
    workflow(node("call", "t.once", {"to": "{{ event.payload.to }}"}))
    emit_event(EVENT, {"to": "ann"})
    drain()
    assert seen == [[("call", "RUNNING", {"to": "ann"})]]


@pytest.mark.parametrize("effect", [Effect.IDEMPOTENT, Effect.AT_MOST_ONCE])
def test_result_after_the_lease_was_lost_writes_nothing(register_step, worker, gate, effect):
    def act(config, context):
        if context.attempt == 1:
            gate.pass_through()
        return {"attempt": context.attempt}

    register_step("t.call", effect, act)
    workflow(node("call", "t.call"), node("log", "logging", {"message": "x"}))
    emit_event(EVENT, {})
    stale = worker()
    gate.turn_until_entered(stale)
    assert lose_workers() == 1
    execution = finish()
    before = list(StepRun.objects.order_by("id").values())
    status = (execution.status, execution.seq, execution.finished_at)
    gate.open.set()
    while stale.store.held_count():
        stale.turn()
    execution.refresh_from_db()
    assert (execution.status, execution.seq, execution.finished_at) == status
    assert list(StepRun.objects.order_by("id").values()) == before
    assert OutboxItem.objects.count() == 0


def test_database_step_whose_lease_was_lost_commits_nothing(register_step, worker, gate):
    def act(config, context):
        Tenant.objects.create(slug=f"made-{context.attempt}", name="Made")
        gate.pass_through()

    register_step("t.database", Effect.DATABASE, act)
    workflow(node("write", "t.database"))
    emit_event(EVENT, {})
    stale = worker()
    gate.turn_until_entered(stale)
    assert lose_workers() == 1
    OutboxItem.objects.update(lease_epoch=50)
    gate.open.set()
    while stale.store.held_count():
        stale.turn()
    assert Tenant.objects.filter(name="Made").count() == 0
    assert steps(Execution.objects.get()) == [("write", 1, "RUNNING")]


def test_outputs_and_variables_are_restored_on_resume(register_step, worker, gate):
    def call(config, context):
        gate.pass_through()
        return StepResult({"got": [1, {"b": None}]}, variables={"token_count": 3})

    register_step("t.call", Effect.IDEMPOTENT, call)
    workflow(
        node("vars", "set", {"values": {"city": "{{ event.payload.city }}"}}),
        node("call", "t.call"),
        node("wait", "delay", {"seconds": 3600}),
        node("end", "transform", {"output": ["{{ variables }}", "{{ steps.call.output.got }}"]}),
    )  # fmt: skip
    emit_event(EVENT, {"city": "Aarhus"})
    gate.turn_until_entered(worker())
    assert lose_workers() == 1
    gate.open.set()
    assert finish().status == "SUCCESS"
    assert StepRun.objects.get(path="end").output_data == [
        {"city": "Aarhus", "token_count": 3},
        [1, {"b": None}],
    ]


def test_poison_step_that_kills_every_worker_ends_as_a_dead_letter(register_step, worker):
    def act(config, context):
        raise AssertionError("never reached: the worker dies first")

    step = register_step("t.poison", Effect.PURE, act)
    workflow(node("poison", "t.poison"))
    emit_event(EVENT, {})
    for _ in range(3):
        lost = worker()
        assert len(lost.store.claim_batch(lost.worker)) == 1
        assert lose_workers() == 1
    drain()
    assert (step.calls, Execution.objects.count()) == ([], 0)
    assert list(OutboxItem.objects.values_list("status", "attempts")) == [("FAILED", 3)]


def test_execution_that_kills_every_worker_is_failed_with_its_dead_letter(register_step, worker, gate):
    register_step("t.idempotent", Effect.IDEMPOTENT, lambda config, context: gate.pass_through())
    workflow(node("call", "t.idempotent"))
    emit_event(EVENT, {})
    gate.turn_until_entered(worker())
    for _ in range(3):
        assert lose_workers() == 1
        lost = worker()
        lost.store.claim_batch(lost.worker)
    assert lose_workers() == 0
    execution = Execution.objects.get()
    assert (execution.status, execution.error_code) == ("FAILED", ErrorCodes.WORKER_LOST)
    assert steps(execution) == [("call", 1, "FAILED")]
    assert OutboxItem.objects.get().status == "FAILED"
