"""People, and approvals that wait for them, as a worker leaves them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group

from automate.models import Approval, Execution, StepRun
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role
from tests.automate_api.conftest import key_client, make_key, make_user, other_tenant, tenant
from tests.factories.engine import node, workflow

__all__ = ["key_client", "make_key", "make_user", "other_tenant", "tenant"]

FORM = {
    "type": "object",
    "required": ["amount"],
    "properties": {"amount": {"type": "integer", "maximum": 100}},
    "additionalProperties": False,
}


@pytest.fixture
def person() -> Callable[..., Any]:
    """Return a function that makes a user of the default tenant."""

    def make(
        name: str = "ada", *, role: Role | None = Role.VIEWER, groups: tuple[str, ...] = (), **fields: Any
    ) -> Any:
        user = get_user_model().objects.create_user(name, **fields)
        if role is not None:
            Membership.objects.create(tenant_id=DEFAULT_TENANT_ID, user=user, role=role)
        for group in groups:
            user.groups.add(Group.objects.get_or_create(name=group)[0])
        return user

    return make


@pytest.fixture
def pending() -> Callable[..., Approval]:
    """Return a function that makes an open approval with its waiting step, assigned to ada unless told otherwise."""

    def make(*, execution: Execution | None = None, path: str = "ask", **fields: Any) -> Approval:
        if execution is None:
            slug = f"a{Execution.all_tenants.count()}"
            automation = workflow(node("ask", "logging", {"message": "x"}), slug=slug)
            execution = Execution.objects.create(
                automation=automation, version=automation.live_version, status="WAITING"
            )
        given = {
            "title": "Pay?",
            "assignees": {"users": ["ada"]},
            "execution": execution,
            "path": path,
            **fields,
        }
        StepRun.objects.create(
            execution=execution, path=path, node_key="ask", node_type="approval", status="WAITING",
            effect="database", wake_event="", wake_at=given.get("deadline"),
        )  # fmt: skip
        return Approval.objects.create(**given)

    return make


def answer(approval: Approval) -> Any:
    """Return what the approval's step was told."""
    return StepRun.all_tenants.get(execution_id=approval.execution_id, path=approval.path).answer
