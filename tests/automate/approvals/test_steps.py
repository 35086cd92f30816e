"""The approval step: what it accepts, what it stores, and whom it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from automate.approvals.assignees import UnknownAssignee
from automate.approvals.steps import ApprovalStep, NobodyToAsk
from automate.models import Approval, Event, Execution
from automate_core.errors import PermanentError
from automate_core.models import DEFAULT_TENANT_ID
from automate_core.steps import Effect, StepContext, Wait, step_registry
from tests.automate.approvals.conftest import FORM
from tests.factories.engine import node, workflow

Person = Callable[..., Any]

ASK = {"title": "Pay?", "assignees": {"users": ["ada"]}}


@pytest.fixture
def context(db: None) -> StepContext:
    automation = workflow(node("ask", "logging", {"message": "x"}))
    execution = Execution.objects.create(automation=automation, status="RUNNING")
    return StepContext(DEFAULT_TENANT_ID, execution.id, "orders[3]/ask", 1, "", "", {})


@pytest.mark.parametrize(
    ("config", "fields"),
    [
        (ASK, []),
        ({**ASK, "assignees": {"groups": "{{ input.groups }}", "permission": "{{ input.app }}.pay"}}, []),
        ({**ASK, "form": FORM, "data": {"amount": "{{ input.n }}"}, "required": "{{ input.n }}"}, []),
        ({**ASK, "deadline_seconds": 60, "reject_on": "majority", "message": "x", "required": 2}, []),
        ({}, ["title", "assignees"]),
        ({**ASK, "title": ["x"]}, ["title"]),
        ({**ASK, "message": 5}, ["message"]),
        ({**ASK, "assignees": {}}, ["assignees"]),
        ({**ASK, "assignees": {"users": []}}, ["assignees"]),
        ({**ASK, "assignees": {"users": [5], "roles": ["x"]}}, ["assignees.roles", "assignees.users"]),
        ({**ASK, "assignees": {"permission": "pay"}}, ["assignees.permission"]),
        ({**ASK, "required": 0}, ["required"]),
        ({**ASK, "required": True}, ["required"]),
        ({**ASK, "reject_on": "never"}, ["reject_on"]),
        ({**ASK, "form": []}, ["form"]),
        ({**ASK, "form": {"type": "objekt"}}, ["form"]),
        ({**ASK, "form": {"$ref": "https://example.com/form.json"}}, ["form"]),
        ({**ASK, "deadline_seconds": 0}, ["deadline_seconds"]),
    ],
)
def test_problems_of_a_config(config: dict[str, Any], fields: list[str]) -> None:
    assert [problem.field for problem in ApprovalStep().problems(config)] == fields


def test_step_is_registered_and_commits_with_its_wait() -> None:
    step = step_registry.get("approval")
    assert (step.effect, step.routes, step.side_routes, step.route_aliases) == (
        Effect.DATABASE,
        ("approved", "rejected", "timeout"),
        frozenset({"rejected"}),
        {"main": "approved"},
    )


def test_run_asks_and_waits(person: Person, context: StepContext) -> None:
    person("ada", email="ada@example.com", groups=("finance",))
    person("bob", groups=("finance",))
    person("eve", groups=("finance",), role=None)
    person("gone", groups=("finance",), is_active=False)
    config = {
        "title": " Pay?\r\n", "message": "For the office", "assignees": {"groups": ["finance"]}, "required": "2",
        "form": FORM, "data": {"amount": 5, "token": "hunter2hunter2"}, "deadline_seconds": 60,
    }  # fmt: skip
    wait = ApprovalStep().run(config, context)
    asked = Approval.objects.get()
    assert wait == Wait(until=asked.deadline, awaits=True)
    assert (asked.execution_id, asked.path, asked.attempt, asked.status) == (
        context.execution_id, "orders[3]/ask", 1, "PENDING",
    )  # fmt: skip
    assert (asked.voters, asked.required, asked.reject_on, asked.form) == (2, 2, "first", FORM)
    assert asked.data == {"amount": 5, "token": "***REDACTED***"}
    assert asked.assignees == {"users": [], "groups": ["finance"], "permission": ""}
    event = Event.objects.get(type="approval.requested")
    assert (event.source, event.payload) == (
        "approval",
        {
            "approval_id": str(asked.pk),
            "title": "Pay?",
            "message": "For the office",
            "execution_id": str(context.execution_id),
            "path": "orders[3]/ask",
            "assignees": asked.assignees,
            "voters": ["ada", "bob"],
            "emails": ["ada@example.com"],
            "required": 2,
            "deadline": asked.deadline.isoformat(),
        },
    )


def test_run_without_a_deadline_waits_for_ever(person: Person, context: StepContext) -> None:
    person()
    assert ApprovalStep().run({**ASK, "assignees": {"users": "ada"}}, context) == Wait(awaits=True)


def test_run_counts_holders_of_a_permission(person: Person, context: StepContext) -> None:
    person("root", is_superuser=True)
    person("eve")
    ApprovalStep().run({**ASK, "assignees": {"permission": "automate.view_event"}}, context)
    assert Approval.objects.get().voters == 1


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"assignees": {"users": ["nobody"]}}, UnknownAssignee, "user 'nobody'"),
        ({"assignees": {"groups": ["nobody"]}}, UnknownAssignee, "group 'nobody'"),
        ({"assignees": {"permission": "shop.fly"}}, UnknownAssignee, "permission 'shop.fly'"),
        ({"assignees": {"permission": "automate.view_event"}}, NobodyToAsk, "0 of the assignees"),
        ({"assignees": {"users": None}}, PermanentError, "who decides"),
        ({"required": 2}, NobodyToAsk, "1 of the assignees"),
        ({"required": "many"}, PermanentError, "required"),
        ({"title": "x" * 256}, PermanentError, "title"),
        ({"title": None}, PermanentError, "title"),
        ({"title": " \n "}, PermanentError, "title is empty"),
        ({"deadline_seconds": "soon"}, PermanentError, "deadline_seconds"),
    ],
)
def test_run_fails_where_nobody_could_ever_answer(
    person: Person, context: StepContext, change: dict[str, Any], error: type[Exception], says: str
) -> None:
    person()
    with pytest.raises(error, match=says):
        ApprovalStep().run({**ASK, **change}, context)
    assert (Approval.objects.count(), Event.objects.count()) == (0, 0)


def test_members_of_another_tenant_are_not_asked(person: Person, context: StepContext) -> None:
    person()
    with pytest.raises(NobodyToAsk):
        ApprovalStep().run(ASK, replace(context, tenant_id=UUID(int=7)))
