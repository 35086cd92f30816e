"""The engine end to end on real PostgreSQL: events in, finished executions with their steps out."""

from __future__ import annotations

import pytest

from automate.events import emit_event, run_workflow
from automate.models import Execution, StepRun
from automate.workflows import create_workflow
from automate_core.context import trace_scope
from automate_core.models import OutboxItem
from automate_core.outbox.drain import Drain

pytestmark = pytest.mark.django_db(transaction=True)

THREE_PURE = {
    "nodes": [
        {"id": "vars", "type": "set", "config": {"values": {"customer": "{{ event.payload.name }}"}}},
        {
            "id": "shape",
            "type": "transform",
            "config": {"output": {"who": "{{ variables.customer | upper }}"}},
        },
        {
            "id": "check",
            "type": "condition",
            "config": {"rule": {"==": [{"var": "steps.shape.output.who"}, "ANN"]}},
        },
    ]
}


def workflow(graph, **more):
    more = {"trigger_type": "event", "trigger_config": {"event_type": "order.created"}, **more}
    return create_workflow(name="Orders", slug="orders", graph=graph, by="test", **more)


def steps(execution):
    rows = StepRun.objects.filter(execution=execution).order_by("seq")
    return [(row.path, row.attempt, row.status) for row in rows]


def test_event_runs_the_matching_workflow_to_success():
    workflow(THREE_PURE)
    event_id = emit_event("order.created", {"name": "Ann"})
    emit_event("order.cancelled", {"name": "Ann"})
    Drain().run_until_empty()
    execution = Execution.objects.get()
    assert (execution.status, str(execution.event_id)) == ("SUCCESS", event_id)
    assert execution.created_at <= execution.started_at <= execution.finished_at
    assert steps(execution) == [("vars", 1, "SUCCESS"), ("shape", 1, "SUCCESS"), ("check", 1, "SUCCESS")]
    assert StepRun.objects.get(path="shape").output_data == {"who": "ANN"}
    assert StepRun.objects.get(path="check").route == "true"
    assert OutboxItem.objects.count() == 0


def test_run_workflow_gives_the_payload_as_input():
    workflow(THREE_PURE)
    execution_id = run_workflow("orders", {"name": "Bob"})
    Drain().run_until_empty()
    execution = Execution.objects.get(pk=execution_id)
    assert (execution.status, execution.context) == ("SUCCESS", {"name": "Bob"})
    assert StepRun.objects.get(path="check").route == "false"


def test_missing_path_fails_the_step_and_names_it():
    workflow(THREE_PURE)
    emit_event("order.created", {})
    Drain().run_until_empty()
    execution = Execution.objects.get()
    assert (execution.status, execution.error_code) == ("FAILED", "TEMPLATE_ERROR")
    assert execution.error_summary.startswith("vars: ")
    assert steps(execution) == [("vars", 1, "FAILED")]


def test_condition_takes_one_branch_and_records_the_other_as_skipped():
    graph = {
        "nodes": [
            {"id": "check", "type": "condition", "config": {"rule": {">": [{"var": "input.n"}, 10]}}},
            {"id": "big", "type": "logging", "config": {"message": "big"}},
            {"id": "small", "type": "logging", "config": {"message": "small"}},
            {"id": "end", "type": "merge"},
        ],
        "edges": [
            {"source": "check", "target": "big", "source_handle": "true"},
            {"source": "check", "target": "small", "source_handle": "false"},
            {"from": "big", "to": "end"},
            {"from": "small", "to": "end"},
        ],
    }
    workflow(graph)
    emit_event("order.created", {"n": 11})
    Drain().run_until_empty()
    assert sorted(steps(Execution.objects.get())) == [
        ("big", 1, "SUCCESS"),
        ("check", 1, "SUCCESS"),
        ("end", 1, "SUCCESS"),
        ("small", 1, "SKIPPED"),
    ]


def test_delay_parks_without_a_worker_and_resumes():
    graph = {
        "nodes": [
            {"id": "wait", "type": "delay", "config": {"seconds": 1800}},
            {"id": "log", "type": "logging", "config": {"message": "done"}},
        ]
    }
    workflow(graph)
    emit_event("order.created", {})
    Drain().run_until_empty()
    execution = Execution.objects.get()
    assert (execution.status, steps(execution)) == ("WAITING", [("wait", 1, "WAITING")])
    item = OutboxItem.objects.get()
    assert (item.kind, item.status) == ("execution", "PENDING")
    wait_until_ready(item)
    Drain().run_until_empty()
    execution.refresh_from_db()
    assert (execution.status, steps(execution)) == (
        "SUCCESS",
        [("wait", 1, "SUCCESS"), ("log", 1, "SUCCESS")],
    )


def wait_until_ready(item):
    """Make the database's clock reach the item by moving the item, with its step, not by sleeping."""
    from datetime import timedelta

    OutboxItem.objects.filter(pk=item.pk).update(available_at=item.available_at - timedelta(hours=1))
    for step in StepRun.objects.filter(wake_at__isnull=False):
        StepRun.objects.filter(pk=step.pk).update(wake_at=step.wake_at - timedelta(hours=1))


def test_item_the_engine_cannot_read_hurts_only_itself():
    from automate_core.outbox import enqueue

    workflow(THREE_PURE)
    enqueue(kind="execution", payload={"not": "an execution"}, max_attempts=1)
    enqueue(kind="event", payload={}, max_attempts=1)
    emit_event("order.created", {"name": "Ann"})
    Drain().run_until_empty()
    assert Execution.objects.get().status == "SUCCESS"
    left = [(item.kind, item.status, item.error.split(":")[0]) for item in OutboxItem.objects.order_by("id")]
    assert left == [("execution", "FAILED", "KeyError"), ("event", "FAILED", "KeyError")]


def test_logging_step_logs_its_message_under_the_execution_s_trace(caplog):
    workflow(
        {"nodes": [{"id": "say", "type": "logging", "config": {"message": "hi {{ event.payload.name }}"}}]}
    )
    with trace_scope("the-trace"):
        emit_event("order.created", {"name": "Ann", "password": "x"})
    with caplog.at_level("INFO", logger="automate.workflow"):
        Drain().run_until_empty(max_seconds=30)
    (record,) = [record for record in caplog.records if record.name == "automate.workflow"]
    assert (record.getMessage(), record.step, record.text) == ("workflow.logged", "say", "hi Ann")
    assert (record.trace_id, record.execution) == ("the-trace", str(Execution.objects.get().id))
