"""What people approved is asked again by a replay whose input is another, and by no other replay."""

from __future__ import annotations

from typing import Any

import pytest

from automate.approvals.verbs import decide
from automate.events import emit_event, run_workflow
from automate.models import Approval, Execution, StepRun
from automate.replays import replay
from automate_core.errors import Conflict, ValidationFailed
from automate_core.steps import Effect
from tests.automate.approvals.conftest import person
from tests.automate.runtime.conftest import register_step
from tests.factories.engine import EVENT, drain, edge, node, workflow

__all__ = ["person", "register_step"]

pytestmark = pytest.mark.django_db(transaction=True)

ASK = {"title": "Pay {{ input.n }}?", "assignees": {"users": ["ada"]}, "data": "{{ input }}"}
NODES = (
    node("before", "set", {"values": {"n": "{{ input.n }}"}}),
    node("ask", "approval", ASK),
    node("pay", "transform", {"output": {"paid": "{{ steps.ask.output.data.n }}"}}),
    node("tell", "logging", {"message": "paid"}),
)
MANUAL = {"trigger_type": "manual", "trigger_config": {}}
CHILD = [node("ask", "approval", ASK)]
PARENT = [
    node("child", "subworkflow", {"workflow": "child", "input": {"n": "{{ input.n }}"}}),
    node("pay", "transform", {"output": {"paid": "{{ steps.child.output.status }}"}}),
]
LOOP = (
    node("each", "for_each", {"items": "{{ input.items }}"}),
    node("ask", "approval", {**ASK, "title": "Pay {{ item }}?", "data": {"n": "{{ item }}"}}),
    node("ship", "logging", {"message": "shipped"}),
    node("tell", "logging", {"message": "done"}),
)
LOOP_EDGES = [edge("each", "ask", "item"), edge("ask", "ship"), edge("each", "tell")]


@pytest.fixture
def ada(person: Any) -> Any:
    return person()


def approved(ada: Any) -> None:
    """Run what is ready, and approve whatever is asked, until nothing is."""
    drain()
    while pending := list(Approval.objects.filter(status="PENDING")):
        for approval in pending:
            decide(approval, by=ada, decision="approve")
        drain()


def ran(ada: Any, payload: dict[str, Any], *nodes: Any, **more: Any) -> Execution:
    """Return an execution that was approved and is over."""
    workflow(*(nodes or NODES), **{**MANUAL, **more})
    execution_id = run_workflow("orders", payload)
    approved(ada)
    execution = Execution.objects.get(pk=execution_id)
    assert execution.status == "SUCCESS", execution.error_summary
    return execution


def after(copy: Execution) -> str:
    drain()
    copy.refresh_from_db()
    return copy.status


def test_replay_with_another_input_asks_again(ada: Any) -> None:
    original = ran(ada, {"n": 1})
    copy = replay(original, by="t", start="pay", payload={"n": 1_000_000})
    assert after(copy) == "WAITING"
    asked = Approval.objects.get(execution=copy)
    assert (asked.status, asked.title, asked.data) == ("PENDING", "Pay 1000000?", {"n": 1_000_000})
    assert not StepRun.objects.filter(execution=copy, path="pay").exists()
    approved(ada)
    assert after(copy) == "SUCCESS"
    assert StepRun.objects.get(execution=copy, path="pay").output_data == {"paid": 1_000_000}


def test_replay_asks_again_even_from_a_step_that_comes_later(ada: Any) -> None:
    copy = replay(ran(ada, {"n": 1}), by="t", start="tell", payload={"n": 2})
    assert after(copy) == "WAITING"
    assert set(StepRun.objects.filter(execution=copy).values_list("path", flat=True)) == {"before", "ask"}


def test_replay_asks_again_when_an_event_gave_the_input(ada: Any) -> None:
    workflow(*NODES)
    emit_event(EVENT, {"n": 1})
    approved(ada)
    copy = replay(Execution.objects.get(event__type=EVENT), by="t", start="pay", payload={"n": 2})
    assert after(copy) == "WAITING"
    assert Approval.objects.get(execution=copy).data == {"n": 2}


@pytest.mark.parametrize("payload", [None, {"n": 1}])
def test_replay_with_the_same_input_keeps_the_approval(ada: Any, payload: dict[str, Any] | None) -> None:
    copy = replay(ran(ada, {"n": 1}), by="t", start="pay", payload=payload)
    assert after(copy) == "SUCCESS"
    assert Approval.objects.filter(execution=copy).count() == 0


def test_rejection_does_not_stand_for_another_input_either(ada: Any) -> None:
    workflow(*NODES, **MANUAL)
    execution_id = run_workflow("orders", {"n": 1})
    drain()
    decide(Approval.objects.get(), by=ada, decision="reject")
    drain()
    copy = replay(Execution.objects.get(pk=execution_id), by="t", start="tell", payload={"n": 2})
    assert after(copy) == "WAITING"


def test_what_must_not_run_twice_behind_an_approval_has_to_be_forced(ada: Any, register_step: Any) -> None:
    register_step("test.once", Effect.AT_MOST_ONCE, lambda config, context: {"done": True})
    nodes = (NODES[1], node("charge", "test.once"), NODES[3])
    original = ran(ada, {"n": 1}, *nodes)
    with pytest.raises(Conflict, match="charge"):
        replay(original, by="t", start="tell", payload={"n": 2})
    copy = replay(original, by="t", start="tell", payload={"n": 2}, force=["charge"])
    assert after(copy) == "WAITING"


def test_approval_inside_a_called_workflow_is_asked_again(ada: Any) -> None:
    workflow(*CHILD, slug="child", **MANUAL)
    original = ran(ada, {"n": 1}, *PARENT)
    same = replay(original, by="t", start="pay")
    assert after(same) == "SUCCESS"
    # What it reused was approved for the execution it was copied from.
    copy = replay(same, by="t", start="pay", payload={"n": 2})
    assert after(copy) == "WAITING"
    assert Approval.objects.get(status="PENDING").data == {"n": 2}


def test_approvals_inside_a_loop_are_asked_again(ada: Any) -> None:
    original = ran(ada, {"items": [1, 2]}, *LOOP, edges=LOOP_EDGES)
    copy = replay(original, by="t", start="tell", payload={"items": [7]})
    assert after(copy) == "WAITING"
    assert [one.data for one in Approval.objects.filter(execution=copy)] == [{"n": 7}]


def test_iterations_approved_for_another_input_are_not_reused(ada: Any) -> None:
    original = ran(ada, {"items": [1, 2]}, *LOOP, edges=LOOP_EDGES)
    with pytest.raises(ValidationFailed) as refused:
        replay(original, by="t", start="each[1]/ship", payload={"items": [7, 8]})
    assert [(one.field, one.message) for one in refused.value.details] == [
        ("from", "each[0] was approved for another input; replay from it or before it")
    ]
    copy = replay(original, by="t", start="each[0]/ship", payload={"items": [7, 8]})
    assert after(copy) == "WAITING"
    assert Approval.objects.get(execution=copy, path="each[0]/ask").data == {"n": 7}
