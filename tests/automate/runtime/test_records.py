"""What stands in the record of a step: plain JSON that fits the database, and no secrets."""

from __future__ import annotations

import pytest

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.runtime.scope import MAX_OUTPUT_BYTES
from automate_core import secrets
from automate_core.errors import ErrorCodes, PermanentError, TransientError
from automate_core.models import OutboxItem
from automate_core.redaction import REDACTED
from automate_core.steps import Effect, StepResult
from tests.factories.engine import EVENT, drain, finish, node, steps, workflow

pytestmark = pytest.mark.django_db(transaction=True)

EVERY = list(Effect)
OUTSIDE = [Effect.DATABASE, Effect.IDEMPOTENT, Effect.AT_MOST_ONCE]
SECRET = "s3cr3t-value-of-the-vault"


@pytest.mark.parametrize("effect", EVERY)
def test_nul_and_lone_surrogates_in_an_output_are_replaced(register_step, effect):
    register_step("t.call", effect, lambda config, context: {"a\x00": "x\x00y", "b": ["\ud800z"]})
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    assert finish().status == "SUCCESS"
    assert StepRun.objects.get().output_data == {"a\ufffd": "x\ufffdy", "b": ["\ufffdz"]}


@pytest.mark.parametrize("effect", EVERY)
def test_numbers_json_cannot_hold_are_stored_as_null_or_text(register_step, effect):
    register_step("t.call", effect, lambda config, context: {"nan": float("nan"), "big": 2**70})
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    assert finish().status == "SUCCESS"
    assert StepRun.objects.get().output_data == {"nan": None, "big": str(2**70)}


@pytest.mark.parametrize("effect", OUTSIDE)
def test_output_that_is_not_json_fails_the_step_without_another_call(register_step, effect):
    step = register_step("t.call", effect, lambda config, context: {"x": object()})
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", ErrorCodes.PERMANENT)
    assert execution.error_summary.startswith("call: The step's output is not JSON")
    assert (len(step.calls), steps(execution)) == (1, [("call", 1, "FAILED")])


@pytest.mark.parametrize("effect", EVERY)
def test_huge_output_fails_the_step_and_says_how_much_is_kept(register_step, effect):
    step = register_step("t.call", effect, lambda config, context: "x" * (MAX_OUTPUT_BYTES + 1))
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, execution.error_code) == ("FAILED", ErrorCodes.PAYLOAD_TOO_LARGE)
    assert str(MAX_OUTPUT_BYTES) in execution.error_summary
    assert (len(step.calls), OutboxItem.objects.count()) == (1, 0)


@pytest.mark.parametrize("effect", EVERY)
def test_result_that_is_no_step_result_fails_the_step_and_says_so(register_step, effect):
    step = register_step("t.call", effect)
    step.run = lambda config, context: {"forgot": "StepResult"}
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    execution = finish()
    assert execution.status == "FAILED"
    assert "returned dict; return a StepResult or a Wait" in execution.error_summary


@pytest.mark.parametrize("effect", OUTSIDE)
def test_secret_resolved_by_a_step_is_not_recorded(register_step, effect):
    secrets.store("api.key", SECRET, by="test")

    def act(config, context):
        value = secrets.resolve("$secret:api.key")
        return StepResult({"echo": f"key={value}"}, variables={"copy": value})

    register_step("t.call", effect, act)
    workflow(node("call", "t.call"), node("next", "transform", {"output": "{{ steps.call.output.echo }}"}))
    emit_event(EVENT, {})
    assert finish().status == "SUCCESS"
    call = StepRun.objects.get(path="call")
    assert (call.output_data, call.variables) == ({"echo": f"key={REDACTED}"}, {"copy": REDACTED})
    assert StepRun.objects.get(path="next").output_data == f"key={REDACTED}"


@pytest.mark.parametrize("effect", OUTSIDE)
@pytest.mark.parametrize("kind", [PermanentError, TransientError, ValueError])
def test_secret_in_an_error_is_not_recorded(register_step, effect, kind):
    secrets.store("api.key", SECRET, by="test")

    def act(config, context):
        raise kind(f"refused {secrets.resolve('$secret:api.key')}")

    register_step("t.call", effect, act)
    workflow(node("call", "t.call", retry={"max_attempts": 1}))
    emit_event(EVENT, {})
    execution = finish()
    assert (execution.status, SECRET in execution.error_summary) == ("FAILED", False)
    assert execution.error_summary.endswith(f"refused {REDACTED}")
    assert SECRET not in StepRun.objects.get().error_message


def test_sensitive_keys_of_input_and_output_are_not_recorded(register_step):
    register_step("t.call", Effect.IDEMPOTENT, lambda config, context: {"token": config["password"], "n": 1})
    workflow(node("call", "t.call", {"password": "{{ event.payload.password }}"}))
    emit_event(EVENT, {"password": "hunter2hunter2"})
    assert finish().status == "SUCCESS"
    row = StepRun.objects.get()
    assert (row.input_data, row.output_data) == ({"password": REDACTED}, {"token": REDACTED, "n": 1})


def test_handler_sees_the_input_the_record_hides(register_step):
    seen = []
    register_step("t.call", Effect.IDEMPOTENT, lambda config, context: seen.append(config["password"]))
    workflow(node("call", "t.call", {"password": "{{ event.payload.password }}"}))
    emit_event(EVENT, {"password": "hunter2hunter2"})
    drain()
    assert seen == ["hunter2hunter2"]


def test_error_text_with_nul_is_recorded_without_it(register_step):
    def act(config, context):
        raise PermanentError("a\x00b")

    register_step("t.call", Effect.IDEMPOTENT, act)
    workflow(node("call", "t.call"))
    emit_event(EVENT, {})
    assert Execution.objects.count() == 0
    assert "\x00" not in finish().error_summary
