"""Events and executions that come from inside a step: their cause, their depth, and where a loop ends."""

from __future__ import annotations

import pytest

from automate.events import emit_event, run_workflow
from automate.models import Event, Execution
from automate_core.context import trace_scope
from automate_core.steps import Effect
from tests.factories.engine import EVENT, drain, node, steps, workflow

pytestmark = pytest.mark.django_db(transaction=True)


def test_event_emitted_inside_a_step_names_its_cause_and_trace(register_step):
    register_step("t.emit", Effect.DATABASE, lambda config, context: emit_event("child", {}))
    workflow(node("emit", "t.emit"))
    workflow(node("log", "merge"), slug="child", trigger_config={"event_type": "child"})
    with trace_scope("trace-1"):
        parent_event = emit_event(EVENT, {})
    drain()
    parent = Execution.objects.get(event_id=parent_event)
    event = Event.objects.get(type="child")
    assert (event.cause_execution_id, event.depth, event.trace_id) == (parent.id, 1, "trace-1")
    child = Execution.objects.get(event=event)
    assert (child.cause_execution_id, child.depth, child.trace_id) == (parent.id, 1, "trace-1")
    assert (parent.depth, child.status) == (0, "SUCCESS")


def test_event_of_a_database_step_that_fails_is_not_emitted(register_step):
    def act(config, context):
        emit_event("child", {})
        raise ValueError("no")

    register_step("t.emit", Effect.DATABASE, act)
    workflow(node("emit", "t.emit", retry={"max_attempts": 1}))
    emit_event(EVENT, {})
    drain()
    assert list(Event.objects.values_list("type", flat=True)) == [EVENT]


def test_loop_of_events_ends_at_the_configured_depth(register_step, settings):
    settings.AUTOMATE = {"MAX_CAUSATION_DEPTH": 3}
    register_step("t.again", Effect.DATABASE, lambda config, context: emit_event(EVENT, {}))
    workflow(node("emit", "t.again"))
    emit_event(EVENT, {})
    drain()
    outcomes = Execution.objects.order_by("depth").values_list("depth", "status")
    assert list(outcomes) == [(0, "SUCCESS"), (1, "SUCCESS"), (2, "SUCCESS"), (3, "FAILED")]
    last = Execution.objects.get(depth=3)
    assert steps(last) == [("emit", 1, "FAILED")]
    assert "at most 3 are allowed" in last.error_summary


def test_loop_of_runs_ends_at_the_configured_depth(register_step, settings):
    settings.AUTOMATE = {"MAX_CAUSATION_DEPTH": 3}
    register_step("t.again", Effect.DATABASE, lambda config, context: run_workflow("orders", {}))
    workflow(node("run", "t.again"))
    run_workflow("orders", {})
    drain()
    outcomes = Execution.objects.order_by("depth").values_list("depth", "status")
    assert list(outcomes) == [(0, "SUCCESS"), (1, "SUCCESS"), (2, "SUCCESS"), (3, "FAILED")]
