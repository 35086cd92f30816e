"""Whole executions that wait for events and for calls: parked, told, timed out, and lost in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from automate.events import emit_event
from automate.models import Execution, StepRun
from automate.waits import listeners
from automate.waits.tokens import resume_token, token_hash
from automate_core.models import OutboxItem
from automate_core.outbox.drain import Drain
from automate_core.steps import Effect
from tests.automate.runtime.conftest import register_step
from tests.factories.engine import EVENT, drain, edge, finish, lose_workers, node, steps, wake, workflow
from tests.factories.killing import outcomes_under_kills

__all__ = ["register_step"]

pytestmark = pytest.mark.django_db(transaction=True)

PAID = node(
    "paid", "wait_for_event", {"event_type": "payment.*", "match": {"payload.order": "{{ input.order }}"}}
)
CALLED = node("called", "wait_for_webhook")


def parked(*nodes: Any, payload: Any = None, **more: Any) -> Execution:
    """Return an execution that waits, its worker gone home."""
    workflow(*nodes, **more)
    emit_event(EVENT, payload or {})
    drain()
    execution = Execution.objects.get()
    assert execution.status == "WAITING"
    return execution


def output(path: str) -> Any:
    return StepRun.objects.filter(path=path).latest("attempt").output_data


def call(execution: Execution, path: str, body: bytes = b"{}") -> int:
    token = resume_token(execution.id, path)
    return (
        Client()
        .generic("POST", f"/api/automate/resume/{token}/", body, content_type="application/json")
        .status_code
    )


def test_execution_goes_on_with_the_event_it_waits_for() -> None:
    execution = parked(PAID, node("log", "logging", {"message": "{{ steps.paid.output.event.payload.amount }}"}),
                       payload={"order": 7})  # fmt: skip
    emit_event("payment.received", {"order": 8, "amount": 1})
    drain()
    execution.refresh_from_db()
    assert execution.status == "WAITING"
    event_id = emit_event("payment.received", {"order": 7, "amount": 5}, source="shop")
    drain()
    execution.refresh_from_db()
    assert (execution.status, output("log")) == ("SUCCESS", {"message": 5})
    assert output("paid") == {
        "event": {
            "id": event_id,
            "type": "payment.received",
            "source": "shop",
            "payload": {"order": 7, "amount": 5},
        }
    }


def test_waiting_execution_holds_no_worker_and_no_timer() -> None:
    parked(PAID, payload={"order": 7})
    assert OutboxItem.objects.count() == 0


def test_wait_without_a_value_to_match_fails() -> None:
    workflow(node("paid", "wait_for_event", {"event_type": "a", "match": {"payload.id": "{{ input.id }}"}}))
    emit_event(EVENT, {"id": None})
    execution = finish()
    assert (execution.status, "match.payload.id" in execution.error_summary) == ("FAILED", True)


@pytest.mark.parametrize("kind", ["wait_for_event", "wait_for_webhook"])
def test_time_that_runs_out_leaves_by_its_route(kind: str) -> None:
    config = {"timeout_seconds": 60, **({"event_type": "a"} if kind == "wait_for_event" else {})}
    execution = parked(
        node("wait", kind, config), node("told", "merge"), node("late", "merge"),
        edges=[edge("wait", "told"), edge("wait", "late", "timeout")],
    )  # fmt: skip
    token = resume_token(execution.id, "wait")
    wake()
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"
    assert {path: status for path, _, status in steps(execution)} == {
        "wait": "SUCCESS",
        "told": "SKIPPED",
        "late": "SUCCESS",
    }
    assert Client().generic("POST", f"/api/automate/resume/{token}/").status_code == 404


def test_answer_leaves_by_main_and_not_by_timeout() -> None:
    execution = parked(
        node("called", "wait_for_webhook", {"timeout_seconds": 60}), node("told", "merge"), node("late", "merge"),
        edges=[edge("called", "told", "main"), edge("called", "late", "timeout")],
    )  # fmt: skip
    assert call(execution, "called") == 202
    drain()
    statuses = {path: status for path, _, status in steps(execution)}
    assert statuses == {"called": "SUCCESS", "told": "SUCCESS", "late": "SKIPPED"}


def test_execution_goes_on_with_what_it_was_called_with() -> None:
    execution = parked(CALLED, node("log", "logging", {"message": "{{ steps.called.output.body.n }}"}))
    step = StepRun.objects.get(path="called")
    assert step.wake_token == token_hash(resume_token(execution.id, "called"))
    assert call(execution, "called", b'{"n": 3}') == 202
    assert call(execution, "called", b'{"n": 4}') == 404
    drain()
    execution.refresh_from_db()
    assert (execution.status, output("log")) == ("SUCCESS", {"message": 3})
    assert call(execution, "called", b'{"n": 5}') == 404


def test_each_iteration_waits_for_its_own_call() -> None:
    execution = parked(
        node("each", "for_each", {"items": "{{ input.items }}", "concurrency": 3}), CALLED, node("after", "merge"),
        edges=[edge("each", "called", "item"), edge("called", "each"), edge("each", "after", "done")],
        payload={"items": [1, 2, 3]},
    )  # fmt: skip
    for index in (2, 0, 1):
        assert call(execution, f"each[{index}]/called", b'{"n": %d}' % index) == 202
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"
    assert [output(f"each[{index}]/called")["body"]["n"] for index in range(3)] == [0, 1, 2]


def test_execution_takes_one_event_once_even_in_a_loop() -> None:
    execution = parked(
        node("each", "for_each", {"items": [1, 2]}), node("tick", "wait_for_event", {"event_type": "tick"}),
        edges=[edge("each", "tick", "item"), edge("tick", "each")],
    )  # fmt: skip
    event = {"id": emit_event("tick", {"n": 1}), "type": "tick", "source": "", "payload": {"n": 1}}
    drain()
    assert StepRun.objects.get(path="each[1]/tick").status == "WAITING"
    assert listeners.tell([listeners.Heard(str(execution.tenant_id), event)]) == 0
    emit_event("tick", {"n": 2})
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"
    assert [output(f"each[{index}]/tick")["event"]["payload"]["n"] for index in range(2)] == [1, 2]


def test_worker_lost_while_an_execution_waits_changes_nothing() -> None:
    parked(PAID, payload={"order": 7})
    worker = Drain()
    emit_event("payment.received", {"order": 7})
    worker.turn()
    worker.close()
    lose_workers()
    execution = finish()
    assert (execution.status, steps(execution)) == ("SUCCESS", [("paid", 1, "SUCCESS")])


def test_event_is_heard_whatever_commit_the_worker_is_lost_at(register_step: Callable[..., Any]) -> None:
    register_step(
        "test.pay", Effect.DATABASE, lambda config, context: emit_event("payment.done", {"order": 7})
    )
    workflow(
        node("start", "merge"), PAID, node("pay", "test.pay"), node("end", "merge"),
        edges=[edge("start", "paid"), edge("start", "pay"), edge("paid", "end"), edge("pay", "end")],
    )  # fmt: skip
    # The step that pays is called when the wait beside it is on record, so the event always comes after the wait.
    for execution in outcomes_under_kills({"order": 7}, least=3):
        assert execution.status == "SUCCESS", execution.error_summary
        told = StepRun.objects.get(execution=execution, path="paid", status="SUCCESS")
        sent = StepRun.objects.get(execution=execution, path="pay", status="SUCCESS")
        assert told.output_data["event"]["id"] == sent.output_data
