"""Executions whose worker was lost for good: failed, told of, and put back."""

from __future__ import annotations

import pytest

from automate.events import run_workflow
from automate.executions import burial
from automate.models import Execution, StepRun
from automate_core.errors import ErrorCodes
from automate_core.models import OutboxItem
from automate_core.steps import Effect
from tests.factories.engine import drain, edge, finish, node, wake, workflow

pytestmark = pytest.mark.django_db(transaction=True)


def running(effect):
    """Return an execution whose one step was begun by a worker that is gone."""
    workflow(node("a", "merge"))
    execution = Execution.objects.get(pk=run_workflow("orders", {}))
    Execution.objects.update(status="RUNNING", seq=1)
    StepRun.objects.create(
        execution=execution, path="a", node_key="a", node_type="merge", status="RUNNING", effect=effect, seq=1
    )
    execution.refresh_from_db()
    return execution


@pytest.mark.parametrize(
    ("effect", "code"),
    [
        (Effect.AT_MOST_ONCE, ErrorCodes.OUTCOME_UNKNOWN),
        (Effect.IDEMPOTENT, ErrorCodes.WORKER_LOST),
        (Effect.DATABASE, ErrorCodes.WORKER_LOST),
    ],
)
def test_buried_execution_says_whether_its_call_may_have_happened(effect, code):
    execution = running(effect)
    burial.bury([(str(execution.id), "three workers\x00 stopped")])
    execution.refresh_from_db()
    assert (execution.status, execution.error_code) == ("FAILED", code)
    assert (execution.error_summary, execution.finished_at is not None) == ("three workers stopped", True)
    step = StepRun.objects.get()
    assert (step.status, step.error_code) == ("FAILED", code)


def test_finished_execution_is_not_buried():
    workflow(node("a", "merge"))
    execution_id = run_workflow("orders", {})
    drain()
    burial.bury([(execution_id, "late")])
    assert Execution.objects.get().status == "SUCCESS"


def test_revived_execution_runs_again():
    execution = running(Effect.IDEMPOTENT)
    burial.bury([(str(execution.id), "gone")])
    burial.revive([execution.id])
    execution.refresh_from_db()
    assert (execution.status, execution.finished_at, execution.error_code) == ("QUEUED", None, "")
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"


def test_execution_that_failed_by_itself_is_not_revived():
    workflow(node("a", "transform", {"output": "{{ input.missing }}"}))
    execution_id = run_workflow("orders", {})
    drain()
    burial.revive([execution_id])
    assert Execution.objects.get().status == "FAILED"


def test_loop_under_way_is_closed_with_its_execution_and_goes_on_when_it_is_put_back():
    workflow(
        node("each", "for_each", {"items": [1, 2]}),
        node("hold", "delay", {"seconds": 3600}),
        edges=[edge("each", "hold", "item")],
    )
    execution_id = run_workflow("orders", {})
    drain()
    wake()
    drain()
    burial.bury([(execution_id, "gone")])
    found = StepRun.objects.order_by("path").values_list("path", "status", "error_code")
    assert list(found) == [
        ("each", "CANCELLED", "WORKER_LOST"), ("each[0]", "SUCCESS", ""), ("each[0]/hold", "SUCCESS", ""),
        ("each[1]", "CANCELLED", "WORKER_LOST"), ("each[1]/hold", "WAITING", ""),
    ]  # fmt: skip
    burial.revive([execution_id])
    assert finish(execution_id).status == "SUCCESS"
    assert StepRun.objects.filter(path="each").get().output_data["count"] == 2


def test_loop_between_its_steps_is_no_call_under_way():
    execution = running(Effect.PURE)
    assert burial.with_calls([str(execution.id), None, "no id"]) == set()
    StepRun.objects.update(effect=Effect.IDEMPOTENT)
    assert burial.with_calls([str(execution.id)]) == {str(execution.id)}


@pytest.mark.parametrize(
    ("column", "value"), [("key", "k"), ("parent_execution_id", "01990000-0000-7000-8000-000000000001")]
)
def test_end_by_burial_is_told_to_whoever_waits(column, value):
    execution = running(Effect.IDEMPOTENT)
    Execution.objects.update(**{column: value})
    burial.bury([(str(execution.id), "gone")])
    assert OutboxItem.objects.filter(kind="finished").get().payload == {"execution_id": str(execution.id)}


def test_end_by_burial_nobody_waits_for_is_not_told():
    execution = running(Effect.IDEMPOTENT)
    burial.bury([(str(execution.id), "gone")])
    assert not OutboxItem.objects.filter(kind="finished").exists()
