"""What may be done to executions from outside: start, replay, bury and revive."""

from __future__ import annotations

import pytest

from automate.events import run_workflow
from automate.executions import verbs
from automate.models import Execution, StepRun
from automate.replays import replay
from automate_core.context import trace_scope
from automate_core.errors import Conflict, ErrorCodes
from automate_core.models import OutboxItem
from automate_core.steps import Effect
from tests.factories.engine import drain, node, workflow

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


def test_start_queues_the_live_version_under_the_callers_trace():
    made = workflow(node("a", "merge"))
    with trace_scope("trace-1"):
        execution = verbs.start_execution(slug="orders", payload={"n": 1})
    assert (execution.status, execution.version_id, execution.trace_id) == (
        "QUEUED",
        made.live_version_id,
        "trace-1",
    )
    item = OutboxItem.objects.get()
    assert (item.kind, item.payload, item.trace_id) == (
        "execution",
        {"execution_id": str(execution.id)},
        "trace-1",
    )


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
    verbs.bury([(str(execution.id), "three workers\x00 stopped")])
    execution.refresh_from_db()
    assert (execution.status, execution.error_code) == ("FAILED", code)
    assert (execution.error_summary, execution.finished_at is not None) == ("three workers stopped", True)
    step = StepRun.objects.get()
    assert (step.status, step.error_code) == ("FAILED", code)


def test_finished_execution_is_not_buried():
    workflow(node("a", "merge"))
    execution_id = run_workflow("orders", {})
    drain()
    verbs.bury([(execution_id, "late")])
    assert Execution.objects.get().status == "SUCCESS"


def test_revived_execution_runs_again():
    execution = running(Effect.IDEMPOTENT)
    verbs.bury([(str(execution.id), "gone")])
    verbs.revive([execution.id])
    execution.refresh_from_db()
    assert (execution.status, execution.finished_at, execution.error_code) == ("QUEUED", None, "")
    drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"


def test_execution_that_failed_by_itself_is_not_revived():
    workflow(node("a", "transform", {"output": "{{ input.missing }}"}))
    execution_id = run_workflow("orders", {})
    drain()
    verbs.revive([execution_id])
    assert Execution.objects.get().status == "FAILED"


def test_replay_of_what_has_not_finished_is_refused():
    execution = running(Effect.IDEMPOTENT)
    with pytest.raises(Conflict, match="RUNNING"):
        replay(execution, by="test")
