"""Steps that fail: what is tried again, when, how often, and what stands in the record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.runtime import engine
from automate_core.errors import ErrorCodes, PermanentError, TransientError
from automate_core.models import OutboxItem
from automate_core.steps import Effect
from tests.factories.engine import EVENT, drain, finish, node, steps, workflow

pytestmark = pytest.mark.django_db(transaction=True)

CALLABLE = [Effect.DATABASE, Effect.IDEMPOTENT, Effect.AT_MOST_ONCE]


def failing(error, times=99):
    """Return an act that raises `error` the first `times` times."""
    raised = []

    def act(config, context):
        if len(raised) < times:
            raised.append(context.attempt)
            raise error
        return {"attempt": context.attempt}

    return act


@pytest.mark.parametrize("effect", [Effect.DATABASE, Effect.IDEMPOTENT])
@pytest.mark.parametrize("error", [TransientError("busy"), ValueError("odd")])
def test_failure_is_tried_again_to_success_and_every_attempt_is_a_row(register_step, effect, error):
    register_step("t.call", effect, failing(error, times=2))
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    execution = finish()
    assert execution.status == "SUCCESS"
    assert steps(execution) == [("call", 1, "FAILED"), ("call", 2, "FAILED"), ("call", 3, "SUCCESS")]
    assert StepRun.objects.get(attempt=3).output_data == {"attempt": 3}
    assert StepRun.objects.get(attempt=1).error_message.endswith(str(error))


def test_failure_waits_without_a_worker_and_says_when_it_goes_on(register_step):
    error = TransientError("slow down", retry_after_seconds=3000)
    step = register_step("t.call", Effect.IDEMPOTENT, failing(error, times=1))
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    before = datetime.now(UTC)
    drain()
    execution, item, row = Execution.objects.get(), OutboxItem.objects.get(), StepRun.objects.get()
    assert (execution.status, item.status, row.status) == ("WAITING", "PENDING", "FAILED")
    assert row.wake_at == item.available_at
    assert timedelta(seconds=2990) < item.available_at - before < timedelta(seconds=3100)
    drain()
    assert len(step.calls) == 1
    assert finish().status == "SUCCESS"


@pytest.mark.parametrize("effect", CALLABLE)
def test_permanent_error_is_not_tried_again(register_step, effect):
    step = register_step("t.call", effect, failing(PermanentError("NO_SUCH_USER", "there is no ann")))
    workflow(node("call", "t.call", retry={"max_attempts": 9}))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", "NO_SUCH_USER")
    assert execution.error_summary == "call: there is no ann"
    assert (len(step.calls), steps(execution)) == (1, [("call", 1, "FAILED")])


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("odd"), ErrorCodes.INTERNAL),
        (TransientError("lost the answer"), ErrorCodes.OUTCOME_UNKNOWN),
        (TransientError("lost the answer", performed=None), ErrorCodes.OUTCOME_UNKNOWN),
        (TransientError("answered 503", performed=True), ErrorCodes.TRANSIENT),
    ],
)
def test_at_most_once_step_that_may_have_happened_is_not_called_again(register_step, error, code):
    step = register_step("t.once", Effect.AT_MOST_ONCE, failing(error))
    workflow(node("call", "t.once", retry={"max_attempts": 9}))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, execution.error_code, len(step.calls)) == ("FAILED", code, 1)


def test_at_most_once_step_that_certainly_did_not_happen_is_called_again(register_step):
    error = TransientError("connection refused", performed=False)
    step = register_step("t.once", Effect.AT_MOST_ONCE, failing(error, times=2))
    workflow(node("call", "t.once"))
    emit_event(EVENT, {})
    assert finish().status == "SUCCESS"
    assert [context.attempt for context in step.calls] == [1, 2, 3]


def test_tries_end_where_the_settings_say(register_step, settings):
    settings.AUTOMATE = {"STEP_ATTEMPTS": 4}
    step = register_step("t.call", Effect.IDEMPOTENT, failing(TransientError("busy")))
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, execution.error_code, len(step.calls)) == ("FAILED", ErrorCodes.TRANSIENT, 4)


def test_tries_end_where_the_node_says(register_step):
    step = register_step("t.call", Effect.IDEMPOTENT, failing(TransientError("busy")))
    workflow(node("call", "t.call", retry={"max_attempts": 2}))
    emit_event(EVENT, {})
    assert (finish().status, len(step.calls)) == ("FAILED", 2)


def test_pure_step_that_fails_is_not_tried_again(register_step):
    step = register_step("t.pure", Effect.PURE, failing(TransientError("busy")))
    workflow(node("a", "t.pure"))
    emit_event(EVENT, {})
    assert (finish().status, len(step.calls)) == ("FAILED", 1)


def test_idempotent_step_that_does_not_answer_is_called_again(register_step, gate, monkeypatch):
    monkeypatch.setattr(engine, "TIMEOUT_GRACE_SECONDS", 0.0)

    def act(config, context):
        if context.attempt == 1:
            gate.pass_through()
        return {"attempt": context.attempt}

    register_step("t.call", Effect.IDEMPOTENT, act)
    # Long enough for the second call on a machine that stalls.
    workflow(node("call", "t.call", timeout_seconds=3))
    emit_event(EVENT, {})
    execution = finish()
    assert steps(execution) == [("call", 1, "FAILED"), ("call", 2, "SUCCESS")]
    assert StepRun.objects.get(attempt=1).error_code == ErrorCodes.TIMEOUT
    assert StepRun.objects.get(attempt=2).output_data == {"attempt": 2}


def test_at_most_once_step_that_does_not_answer_is_outcome_unknown(register_step, gate, monkeypatch):
    monkeypatch.setattr(engine, "TIMEOUT_GRACE_SECONDS", 0.0)
    step = register_step("t.once", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through())
    workflow(node("call", "t.once", timeout_seconds=0.2))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", ErrorCodes.OUTCOME_UNKNOWN)
    assert execution.error_summary == "call: No answer within 0.2 s"
    assert len(step.calls) == 1


def test_answer_after_the_time_limit_is_ignored(register_step, gate, worker, monkeypatch):
    monkeypatch.setattr(engine, "TIMEOUT_GRACE_SECONDS", 0.0)
    register_step("t.once", Effect.AT_MOST_ONCE, lambda config, context: gate.pass_through())
    workflow(node("call", "t.once", timeout_seconds=0.2))
    emit_event(EVENT, {})
    one = worker()
    gate.turn_until_entered(one)
    while one.store.held_count():
        one.turn()
    before = list(StepRun.objects.values())
    gate.open.set()
    one.inbox.get(timeout=60)()
    one.turn()
    assert list(StepRun.objects.values()) == before


def test_failure_in_one_execution_leaves_its_neighbours_alone(register_step):
    register_step("t.call", Effect.IDEMPOTENT, lambda config, context: 1 // config["n"])
    workflow(node("call", "t.call", {"n": "{{ event.payload.n }}"}, retry={"max_attempts": 1}))
    for n in (1, 0, 1):
        emit_event(EVENT, {"n": n})
    drain()
    statuses = Execution.objects.order_by("id").values_list("status", flat=True)
    assert sorted(statuses) == ["FAILED", "SUCCESS", "SUCCESS"]


@pytest.mark.parametrize("effect", [Effect.PURE, Effect.IDEMPOTENT])
def test_template_that_finds_nothing_fails_the_step_before_it_is_called(register_step, effect):
    step = register_step("t.call", effect)
    workflow(node("call", "t.call", {"to": "{{ event.payload.missing }}"}))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.error_code, step.calls) == (ErrorCodes.TEMPLATE_ERROR, [])
    assert steps(execution) == [("call", 1, "FAILED")]


@pytest.mark.parametrize("effect", CALLABLE)
def test_config_too_large_to_record_fails_its_execution_and_no_other(register_step, effect):
    step = register_step("t.call", effect, lambda config, context: {})
    workflow(node("call", "t.call", {"parts": ["{{ event.payload.part }}"] * 5}))
    emit_event(EVENT, {"part": "x" * 900_000})
    emit_event(EVENT, {"part": "x"})
    drain()
    ends = Execution.objects.order_by("id").values_list("status", "error_code")
    assert list(ends) == [("FAILED", ErrorCodes.PAYLOAD_TOO_LARGE), ("SUCCESS", "")]
    assert len(step.calls) == 1
    assert OutboxItem.objects.count() == 0
