"""Whole executions that ask people: decided, run out, cancelled, in branches and loops, and lost in between."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F

from automate.approvals.states import state_of
from automate.approvals.verbs import AlreadyClosed, decide
from automate.events import emit_event
from automate.executions import control
from automate.models import Approval, Event, Execution, StepRun
from automate_core.errors import Conflict
from automate_core.models import OutboxItem
from tests.factories.engine import EVENT, drain, edge, finish, node, steps, wake, workflow
from tests.factories.killing import lose_after

pytestmark = pytest.mark.django_db(transaction=True)

Person = Callable[..., Any]

ASK = node(
    "ask", "approval", {"title": "Pay {{ input.n }}?", "assignees": {"users": ["ada"]}, "data": "{{ input }}"}
)
WAYS = [
    node("yes", "logging", {"message": "{{ steps.ask.output.data.n }}"}),
    node("no", "merge"),
    node("late", "merge"),
]
EDGES = [edge("ask", "yes"), edge("ask", "no", "rejected"), edge("ask", "late", "timeout")]


def asked(*nodes: Any, payload: Any = None, **more: Any) -> Execution:
    """Return an execution that waits for people, its worker gone home."""
    workflow(*nodes, **more)
    emit_event(EVENT, payload or {"n": 1})
    drain()
    execution = Execution.objects.exclude(event__type="approval.requested").latest("id")
    assert execution.status == "WAITING", execution.error_summary
    return execution


def statuses(execution: Execution) -> dict[str, str]:
    return {path: status for path, _, status in steps(execution)}


@pytest.mark.parametrize(
    ("decision", "taken"),
    [
        ("approve", {"ask": "SUCCESS", "yes": "SUCCESS", "no": "SKIPPED", "late": "SKIPPED"}),
        ("reject", {"ask": "SUCCESS", "yes": "SKIPPED", "no": "SUCCESS", "late": "SKIPPED"}),
    ],
)
def test_execution_goes_on_as_decided(person: Person, decision: str, taken: dict[str, str]) -> None:
    ada = person()
    execution = asked(ASK, *WAYS, edges=EDGES)
    approval = Approval.objects.get()
    assert (approval.title, approval.data, approval.path, approval.attempt) == ("Pay 1?", {"n": 1}, "ask", 1)
    assert OutboxItem.objects.filter(kind="execution").count() == 0
    decide(approval, by=ada, decision=decision, comment="so be it")
    drain()
    execution.refresh_from_db()
    assert (execution.status, statuses(execution)) == ("SUCCESS", taken)
    told = StepRun.objects.get(path="ask")
    assert (told.output_data["comment"], told.output_data["by"]) == ("so be it", "ada")


def test_deadline_leaves_by_its_route_and_closes_the_approval(person: Person) -> None:
    ada = person()
    config = {**ASK["config"], "deadline_seconds": 60}
    execution = asked(node("ask", "approval", config), *WAYS, edges=EDGES)
    approval = Approval.objects.get()
    assert StepRun.objects.get(path="ask").wake_at == approval.deadline
    Approval.objects.update(deadline=F("deadline") - timedelta(days=800))
    wake()
    drain()
    execution.refresh_from_db()
    assert (execution.status, statuses(execution)["late"], state_of(approval)) == (
        "SUCCESS",
        "SUCCESS",
        "EXPIRED",
    )
    with pytest.raises(AlreadyClosed, match="EXPIRED"):
        decide(approval, by=ada, decision="approve")


def test_cancelled_execution_asks_nobody_any_more(person: Person) -> None:
    ada = person()
    execution = asked(ASK)
    control.cancel(execution, by="test")
    approval = Approval.objects.get()
    assert state_of(approval) == "CANCELLED"
    with pytest.raises(AlreadyClosed):
        decide(approval, by=ada, decision="approve")
    drain()
    approval.refresh_from_db()
    assert (approval.status, approval.closed_at is not None) == ("CANCELLED", True)


def test_approval_is_not_skipped_by_those_who_may_not_decide_it(person: Person) -> None:
    person()
    execution = asked(ASK)
    with pytest.raises(Conflict, match="assignees"):
        control.skip(execution, "ask", by="test")
    assert StepRun.objects.get(path="ask").answer is None


def test_branches_and_iterations_ask_for_themselves(person: Person) -> None:
    ada = person()
    in_loop = node("ask", "approval", {"title": "{{ item }}", "assignees": {"users": ["ada"]}})
    beside = node("beside", "approval", {"title": "beside", "assignees": {"users": ["ada"]}})
    execution = asked(
        node("start", "merge"), node("each", "for_each", {"items": "{{ input.items }}", "concurrency": 3}), in_loop,
        beside, node("end", "merge"),
        edges=[edge("start", "each"), edge("start", "beside"), edge("each", "ask", "item"), edge("ask", "each"),
               edge("each", "end", "done"), edge("beside", "end")],
        payload={"items": ["a", "b", "c"]},
    )  # fmt: skip
    open_ones = {approval.path: approval for approval in Approval.objects.all()}
    assert {path: approval.title for path, approval in open_ones.items()} == {
        "each[0]/ask": "a", "each[1]/ask": "b", "each[2]/ask": "c", "beside": "beside",
    }  # fmt: skip
    for path in ("each[1]/ask", "beside", "each[2]/ask", "each[0]/ask"):
        decide(open_ones[path], by=ada, decision="approve", comment=path)
        drain()
    execution.refresh_from_db()
    assert execution.status == "SUCCESS"
    told = StepRun.objects.filter(node_type="approval").values_list("path", "output_data__comment")
    assert all(path == comment for path, comment in told)


def test_request_is_told_as_an_event_once(person: Person) -> None:
    person("ada", email="ada@example.com")
    workflow(
        node("log", "logging", {"message": "{{ event.payload.emails | join }}"}), slug="notify",
        trigger_config={"event_type": "approval.requested"},
    )  # fmt: skip
    execution = asked(ASK)
    event = Event.objects.get(type="approval.requested")
    assert (event.cause_execution_id, event.payload["approval_id"]) == (
        execution.id,
        str(Approval.objects.get().pk),
    )
    assert StepRun.objects.get(path="log").output_data == {"message": "ada@example.com"}


def test_worker_lost_at_any_commit_asks_once_and_goes_on_once(person: Person) -> None:
    ada = person()
    workflow(ASK, *WAYS, edges=EDGES)
    for commits in range(1, 50):
        emit_event(EVENT, {"n": commits})
        lost = lose_after(commits)
        drain()
        execution = Execution.objects.latest("id")
        approval = Approval.objects.get(execution=execution)
        assert execution.status == "WAITING"
        decide(approval, by=ada, decision="approve")
        lose_after(1)
        execution = finish(execution.id)
        assert execution.status == "SUCCESS", execution.error_summary
        assert [path for path, _, status in steps(execution) if status == "SUCCESS"] == ["ask", "yes"]
        assert Event.objects.filter(type="approval.requested", cause_execution_id=execution.id).count() == 1
        if not lost:
            assert commits > 2
            return
    raise AssertionError("never parked")
