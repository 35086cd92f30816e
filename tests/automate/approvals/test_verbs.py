"""Deciding: who may, how votes are counted, what may be edited, and that it happens once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from automate.approvals.states import close_for, state_of, with_state
from automate.approvals.verbs import AlreadyClosed, AlreadyVoted, DataChanged, NotAssigned, decide, digest
from automate.models import Approval, ApprovalVote, Execution, StepRun
from automate_core.errors import Conflict, ValidationFailed
from automate_core.models import AuditEntry, OutboxItem
from tests.automate.approvals.conftest import FORM, answer

pytestmark = pytest.mark.django_db

Person = Callable[..., Any]
Pending = Callable[..., Approval]


def fields(refused: pytest.ExceptionInfo[ValidationFailed]) -> list[str]:
    return [problem.field for problem in refused.value.details]


def test_approval_lets_the_workflow_go_on(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(data={"amount": 5})
    decided = decide(approval, by=ada, decision="approve", comment="fine")
    assert (decided.status, decided.closed_at is not None) == ("APPROVED", True)
    given = answer(approval)
    at = given["output"]["votes"][0].pop("at")
    assert datetime.fromisoformat(at) <= timezone.now()
    assert given == {
        "output": {
            "decision": "approved",
            "by": "ada",
            "comment": "fine",
            "data": {"amount": 5},
            "votes": [{"by": "ada", "decision": "approve", "comment": "fine"}],
        },
        "route": "approved",
    }
    assert OutboxItem.objects.get().payload == {"execution_id": str(approval.execution_id)}
    entry = AuditEntry.objects.get(action="approval.approve")
    assert (entry.actor, entry.target) == (f"user:{ada.pk}", f"approval:{approval.pk}")


def test_rejection_leaves_by_its_route(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending()
    assert decide(approval, by=ada, decision="reject").status == "REJECTED"
    assert (answer(approval)["route"], answer(approval)["output"]["decision"]) == ("rejected", "rejected")


@pytest.mark.parametrize(
    ("assignees", "given", "allowed"),
    [
        ({"users": ["ada"]}, {}, True),
        ({"users": ["bob"]}, {}, False),
        ({"groups": ["finance"]}, {"groups": ("finance",)}, True),
        ({"groups": ["finance"]}, {"groups": ("sales",)}, False),
        ({"permission": "automate.change_approval"}, {}, False),
        ({"permission": "automate.change_approval"}, {"is_superuser": True, "role": None}, True),
        ({"users": ["ada"]}, {"role": None}, False),
        ({"users": ["ada"]}, {"is_active": False}, False),
        ({"users": ["bob"]}, {"is_superuser": True}, False),
    ],
)
def test_only_assignees_of_the_tenant_decide(
    person: Person, pending: Pending, assignees: Any, given: Any, allowed: bool
) -> None:
    user, approval = person(**given), pending(assignees=assignees)
    if allowed:
        assert decide(approval, by=user, decision="approve").status == "APPROVED"
        return
    with pytest.raises(NotAssigned):
        decide(approval, by=user, decision="approve")
    assert (answer(approval), ApprovalVote.objects.count()) == (None, 0)


@pytest.mark.parametrize(
    ("required", "reject_on", "votes", "status"),
    [
        (2, "first", ["approve"], "PENDING"),
        (2, "first", ["approve", "approve"], "APPROVED"),
        (2, "first", ["approve", "reject"], "REJECTED"),
        (2, "majority", ["reject"], "PENDING"),
        (2, "majority", ["reject", "approve", "approve"], "APPROVED"),
        (2, "majority", ["reject", "reject"], "PENDING"),
        (2, "majority", ["reject", "reject", "reject"], "REJECTED"),
        (3, "majority", ["approve", "approve", "reject", "reject"], "REJECTED"),
        (1, "majority", ["approve"], "APPROVED"),
    ],
)
def test_votes_are_counted(
    person: Person, pending: Pending, required: int, reject_on: str, votes: list[str], status: str
) -> None:
    names = [f"p{number}" for number in range(4)]
    people = [person(name) for name in names]
    approval = pending(assignees={"users": names}, voters=4, required=required, reject_on=reject_on)
    for voter, vote in zip(people, votes, strict=False):
        approval = decide(approval, by=voter, decision=vote)
    assert (approval.status, answer(approval) is None) == (status, status == "PENDING")
    assert ApprovalVote.objects.count() == len(votes)


def test_voter_votes_once(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(required=2, voters=2)
    decide(approval, by=ada, decision="approve")
    with pytest.raises(AlreadyVoted):
        decide(approval, by=ada, decision="reject")


def test_late_vote_is_refused(person: Person, pending: Pending) -> None:
    ada, bob = person(), person("bob")
    approval = pending(assignees={"users": ["ada", "bob"]})
    decide(approval, by=ada, decision="approve")
    with pytest.raises(AlreadyClosed, match="APPROVED"):
        decide(approval, by=bob, decision="reject")
    assert answer(approval)["output"]["by"] == "ada"


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"deadline": -5}, "EXPIRED"),
        ({"deadline": 500}, "PENDING"),
        (
            {"execution": {"status": "CANCELLED", "finished_at": 0}, "step": {"status": "CANCELLED"}},
            "CANCELLED",
        ),
        ({"execution": {"cancel_requested_at": 0}}, "CANCELLED"),
        ({"execution": {"status": "FAILED", "finished_at": 0}}, "CANCELLED"),
        ({"step": {"status": "FAILED"}}, "CANCELLED"),
        ({"step": {"answer": {"output": None, "route": None}}}, "CANCELLED"),
        ({}, "PENDING"),
    ],
)
def test_state_is_what_is_true_now(person: Person, pending: Pending, change: Any, state: str) -> None:
    ada, now = person(), timezone.now()
    deadline = {"deadline": now + timedelta(seconds=change["deadline"])} if "deadline" in change else {}
    approval = pending(**deadline)
    execution = {name: now if value == 0 else value for name, value in change.get("execution", {}).items()}
    if execution:
        Execution.objects.filter(pk=approval.execution_id).update(**execution)
    if change.get("step"):
        StepRun.objects.filter(execution_id=approval.execution_id).update(**change["step"])
    assert state_of(approval) == state
    assert list(with_state(Approval.objects.all()).values_list("status", "state")) == [("PENDING", state)]
    if state != "PENDING":
        with pytest.raises(AlreadyClosed, match=state):
            decide(approval, by=ada, decision="approve")


def test_close_for_closes_what_finished_executions_asked(pending: Pending) -> None:
    called_off, expired = pending(), pending(deadline=timezone.now() - timedelta(seconds=1))
    buried, other = pending(), pending()
    over = [called_off.execution_id, expired.execution_id]
    StepRun.objects.filter(execution_id__in=over).update(status="CANCELLED")
    assert close_for([*over, buried.execution_id]) == 2
    assert close_for(over) == 0
    statuses = dict(Approval.objects.values_list("pk", "status"))
    assert statuses == {
        called_off.pk: "CANCELLED",
        expired.pk: "EXPIRED",
        buried.pk: "PENDING",
        other.pk: "PENDING",
    }


def test_data_is_edited_as_the_form_allows(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(form=FORM, data={"amount": 5})
    decided = decide(approval, by=ada, decision="approve", data={"amount": 6})
    assert (decided.data, answer(approval)["output"]["data"]) == ({"amount": 6}, {"amount": 6})
    assert ApprovalVote.objects.get().data == {"amount": 6}


@pytest.mark.parametrize(
    ("data", "where"),
    [({"amount": 101}, "data.amount"), ({"amount": "6"}, "data.amount"), ({}, "data.amount"), ([], "data"),
     ({"amount": 1, "to": "x"}, "data.to"), (None, "data")],
)  # fmt: skip
def test_data_that_does_not_fit_the_form_is_refused(
    person: Person, pending: Pending, data: Any, where: str
) -> None:
    ada, approval = person(), pending(form=FORM, data={"amount": 5})
    with pytest.raises(ValidationFailed) as refused:
        decide(approval, by=ada, decision="approve", data=data)
    assert fields(refused) == [where]
    approval.refresh_from_db()
    assert (approval.data, ApprovalVote.objects.count()) == ({"amount": 5}, 0)


def test_data_a_voter_left_incomplete_is_refused(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(form=FORM, data={})
    with pytest.raises(ValidationFailed) as refused:
        decide(approval, by=ada, decision="approve")
    assert fields(refused) == ["data.amount"]
    assert decide(approval, by=ada, decision="reject").status == "REJECTED"


def test_data_without_a_form_stays(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(data={"amount": 5})
    with pytest.raises(ValidationFailed) as refused:
        decide(approval, by=ada, decision="approve", data={"amount": 6})
    assert fields(refused) == ["data"]
    assert decide(approval, by=ada, decision="approve", data={"amount": 5}).status == "APPROVED"


def test_form_that_cannot_be_followed_is_a_problem_of_the_data(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(form={"$ref": "https://example.com/form.json"}, data={})
    with pytest.raises(ValidationFailed) as refused:
        decide(approval, by=ada, decision="approve")
    assert fields(refused) == ["data"]


def test_data_others_approved_is_not_changed_under_them(person: Person, pending: Pending) -> None:
    ada, bob = person(), person("bob")
    approval = pending(
        form=FORM, data={"amount": 5}, required=2, voters=2, assignees={"users": ["ada", "bob"]}
    )
    decide(approval, by=ada, decision="approve", data={"amount": 6})
    with pytest.raises(Conflict, match="as it is"):
        decide(approval, by=bob, decision="approve", data={"amount": 7})
    with pytest.raises(DataChanged):
        decide(approval, by=bob, decision="approve", seen=digest({"amount": 5}))
    assert decide(approval, by=bob, decision="approve", seen=digest({"amount": 6})).data == {"amount": 6}


@pytest.mark.parametrize(
    ("vote", "where"),
    [
        ({"decision": "maybe"}, "decision"),
        ({"decision": "approve", "comment": "x" * 5_001}, "comment"),
        ({"decision": "approve", "comment": "a\x00"}, "comment"),
        ({"decision": "reject", "data": {}}, "data"),
    ],
)
def test_vote_that_makes_no_sense_is_refused(person: Person, pending: Pending, vote: Any, where: str) -> None:
    ada, approval = person(), pending()
    with pytest.raises(ValidationFailed) as refused:
        decide(approval, by=ada, **vote)
    assert fields(refused) == [where]


def test_secrets_in_comments_and_data_are_not_kept(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(form={"type": "object"}, data={})
    comment = "see https://u:hunter2hunter2@example.com"
    decide(approval, by=ada, decision="approve", data={"password": "hunter2hunter2"}, comment=comment)
    vote = ApprovalVote.objects.get()
    assert "hunter2" not in vote.comment
    assert vote.data == {"password": "***REDACTED***"}


@pytest.mark.django_db(transaction=True)
def test_votes_at_the_same_time_decide_once(person: Person, pending: Pending) -> None:
    names = [f"p{number}" for number in range(6)]
    people = [person(name) for name in names]
    approval = pending(assignees={"users": names}, voters=6, required=3, reject_on="majority")
    start, outcomes = threading.Barrier(6), []

    def vote(user: Any) -> None:
        start.wait(60)
        try:
            outcomes.append(decide(approval, by=user, decision="approve").status)
        except AlreadyClosed:
            outcomes.append("late")
        finally:
            connection.close()

    threads = [threading.Thread(target=vote, args=(user,)) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["APPROVED", "PENDING", "PENDING", "late", "late", "late"]
    assert (ApprovalVote.objects.count(), len(answer(approval)["output"]["votes"])) == (3, 3)
    assert OutboxItem.objects.filter(kind="execution").count() == 1


@pytest.mark.django_db(transaction=True)
def test_same_voter_twice_at_the_same_time_votes_once(person: Person, pending: Pending) -> None:
    ada, approval = person(), pending(required=2, voters=2)
    start, outcomes = threading.Barrier(2), []

    def vote() -> None:
        start.wait(60)
        try:
            outcomes.append(decide(approval, by=ada, decision="approve").status)
        except AlreadyVoted:
            outcomes.append("again")
        finally:
            connection.close()

    threads = [threading.Thread(target=vote) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (sorted(outcomes), ApprovalVote.objects.count()) == (["PENDING", "again"], 1)


def test_approvals_go_with_their_execution(person: Person, pending: Pending) -> None:
    approval = pending(required=2, voters=2)
    decide(approval, by=person(), decision="approve")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM automate_steprun")
        cursor.execute("DELETE FROM automate_execution")
    assert (Approval.objects.count(), ApprovalVote.objects.count()) == (0, 0)
