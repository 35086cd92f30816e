"""Connector actions as steps."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import pytest

from automate_connectors import connections
from automate_connectors.connections import ConnectionUnusable
from automate_connectors.steps import ConnectorStep, action_handler
from automate_connectors.testing import recorder
from automate_core import secrets
from automate_core.errors import PermanentError, Problem, TransientError
from automate_core.models import DEFAULT_TENANT_ID
from automate_core.secrets import SecretBackendUnavailable, secret_backends
from automate_core.secrets.base import SecretBackend
from automate_core.steps import Effect, StepContext, StepHandler, StepResult


def handler(step_type: str) -> StepHandler:
    found = action_handler(step_type)
    assert found is not None
    return found


def test_action_handler_describes_the_action() -> None:
    step = handler("slack.send_message")
    assert isinstance(step, ConnectorStep)
    assert (step.type, step.label, step.timeout_seconds) == (
        "slack.send_message",
        "Send a Slack message",
        30.0,
    )
    assert step.effect_of({}) == Effect.AT_MOST_ONCE
    assert "connection" in step.config_schema["properties"]
    assert action_handler("slack.send_message") is step


@pytest.mark.parametrize("step_type", ["slack", "slack.nothing", "nothing.at_all", "logging", ""])
def test_action_handler_knows_no_other_types(step_type: str) -> None:
    assert action_handler(step_type) is None


def test_handlers_do_not_share_their_attributes() -> None:
    assert handler("email.send").type == "email.send"
    assert handler("slack.send_message").type == "slack.send_message"
    with recorder():
        assert handler("recorder.put").effect == Effect.IDEMPOTENT
        assert handler("recorder.post").effect == Effect.AT_MOST_ONCE


def test_effect_follows_the_input() -> None:
    step = handler("http.request")
    url = "https://a.example"
    effects = {
        method: step.effect_of({"url": url, "method": method, "connection": "c"})
        for method in ("GET", "head", "PUT", "DELETE", "OPTIONS", "POST", "PATCH", "{{ method }}")
    }
    assert effects == {
        **dict.fromkeys(("GET", "head", "PUT", "DELETE", "OPTIONS"), Effect.IDEMPOTENT),
        **dict.fromkeys(("POST", "PATCH", "{{ method }}"), Effect.AT_MOST_ONCE),
    }
    assert (
        step.effect_of({"url": url, "method": "POST", "idempotency_header": "Idempotency-Key"})
        == Effect.IDEMPOTENT
    )


def test_run_passes_input_and_context_and_returns_output(context: StepContext) -> None:
    with recorder() as recorded:
        result = handler("recorder.post").run({"value": {"a": [1]}}, context)
    call = recorded.calls[0]
    assert result == StepResult({"received": {"value": {"a": [1]}}})
    assert (call.action, call.input_data, call.config) == ("post", {"value": {"a": [1]}}, {})
    assert (call.ctx.tenant_id, call.ctx.execution_id) == (DEFAULT_TENANT_ID, context.execution_id)
    assert (call.ctx.step_path, call.ctx.idempotency_key) == ("loop[3]/call", "k" * 64)
    assert (call.ctx.trace_id, call.ctx.timeout_seconds) == ("t" * 32, 5.0)


def test_run_refuses_invalid_input_before_calling(context: StepContext) -> None:
    with recorder() as recorded, pytest.raises(PermanentError) as refused:
        handler("recorder.post").run({"number": "one", "connection": 5}, context)
    assert refused.value.details == (
        Problem("connection", "Must be the name of a connection"),
        Problem("number", "Must be integer"),
    )
    assert recorded.calls == []


def test_problems_leave_templates_to_the_run() -> None:
    with recorder():
        step = handler("recorder.post")
        assert step.problems({"number": "{{ event.payload.n }}", "connection": "c"}) == []
        assert step.problems({"number": "one"}) == [Problem("number", "Must be integer")]


@pytest.mark.django_db
def test_connection_is_resolved_for_the_call_and_kept_out_of_the_input(context: StepContext) -> None:
    secrets.store("TOKEN", "hunter2-hunter2", by="tests")
    with recorder() as recorded:
        connections.create(name="mine", connector="recorder", config={"token": "$secret:TOKEN"})
        handler("recorder.post").run({"value": 1, "connection": "mine"}, context)
        assert recorded.calls[0].config == {"token": "hunter2-hunter2"}
        assert recorded.calls[0].input_data == {"value": 1}
        with pytest.raises(ConnectionUnusable):
            handler("recorder.post").run({"connection": "other"}, context)


@pytest.mark.django_db
def test_connection_is_found_without_a_name_when_the_connector_needs_one(context: StepContext) -> None:
    with recorder(requires_connection=True) as recorded:
        with pytest.raises(ConnectionUnusable):
            handler("recorder.post").run({}, context)
        connections.create(name="only", connector="recorder", config={"region": "eu"})
        handler("recorder.post").run({}, context)
    assert [call.config for call in recorded.calls] == [{"region": "eu"}]


@pytest.mark.django_db
def test_secrets_of_the_connection_are_removed_from_errors(context: StepContext) -> None:
    secrets.store("TOKEN", "hunter2-hunter2", by="tests")
    with recorder() as recorded:
        connections.create(name="mine", connector="recorder", config={"token": "$secret:TOKEN"})
        recorded.results += [
            PermanentError(
                "no hunter2-hunter2",
                details=[Problem("a", "hunter2-hunter2?")],
                body=["hunter2-hunter2"],
                status=400,
            ),
            RuntimeError("surprised by hunter2-hunter2"),
        ]
        with pytest.raises(PermanentError) as refused:
            handler("recorder.post").run({"connection": "mine"}, context)
        with pytest.raises(RuntimeError) as surprise:
            handler("recorder.post").run({"connection": "mine"}, context)
    assert (str(refused.value), refused.value.message) == ("no ***REDACTED***", "no ***REDACTED***")
    assert refused.value.details == (Problem("a", "***REDACTED***?"),)
    assert refused.value.extra == {"body": ["***REDACTED***"], "status": 400}
    assert str(surprise.value) == "surprised by ***REDACTED***"


class _Down(SecretBackend):
    pattern = re.compile(r".+")
    expects = "anything"

    def get(self, path: str) -> str:
        raise SecretBackendUnavailable()


@pytest.mark.django_db
def test_unreachable_secret_store_is_known_as_not_performed(context: StepContext) -> None:
    secret_backends.register("down", _Down())
    try:
        with recorder() as recorded:
            connections.create(name="mine", connector="recorder", config={"token": "$down:x"})
            with pytest.raises(TransientError) as failed:
                handler("recorder.post").run({"connection": "mine"}, context)
    finally:
        secret_backends.unregister("down")
    assert failed.value.extra["performed"] is False
    assert recorded.calls == []


@pytest.mark.parametrize(
    ("raised", "expected", "performed"),
    [
        (TimeoutError("late"), TransientError, None),
        (ConnectionResetError(), TransientError, None),
        (ConnectionRefusedError(), TransientError, False),
        (TransientError("later", performed=True), TransientError, True),
    ],
)
def test_known_errors_are_normalized(
    raised: Exception, expected: type[Exception], performed: bool | None, context: StepContext
) -> None:
    with recorder() as recorded:
        recorded.results.append(raised)
        with pytest.raises(expected) as error:
            handler("recorder.post").run({}, context)
    assert error.value.extra["performed"] is performed  # type: ignore[attr-defined]


def test_unknown_error_stays_what_it_is(context: StepContext) -> None:
    surprise = LookupError("surprise")
    with recorder() as recorded:
        recorded.results.append(surprise)
        with pytest.raises(LookupError) as error:
            handler("recorder.post").run({}, context)
    assert error.value is surprise


@pytest.mark.parametrize(
    "output", [{"at": datetime(2024, 1, 1)}, {"s": {1}}, {1: "a"}, {"n": 2**70}, [1], None]
)
def test_output_that_is_not_a_json_object_is_refused(output: Any, context: StepContext) -> None:
    with recorder() as recorded:
        recorded.results.append(output)
        with pytest.raises(PermanentError):
            handler("recorder.post").run({}, context)
