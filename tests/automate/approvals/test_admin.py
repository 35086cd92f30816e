"""Approvals in the admin: read, and decided as the user who is logged in, after one more question."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from automate.models import Approval
from tests.automate.approvals.conftest import answer

pytestmark = pytest.mark.django_db

LIST = reverse("admin:automate_approval_changelist")
Person = Callable[..., Any]
Pending = Callable[..., Approval]


@pytest.fixture
def client(person: Person) -> Client:
    found = Client()
    found.force_login(person("ada", is_superuser=True, is_staff=True))
    return found


def act(client: Client, action: str, *approvals: Approval, **more: str) -> Any:
    chosen = {"action": action, "_selected_action": [str(one.pk) for one in approvals], **more}
    return client.post(LIST, chosen, follow=True)


def test_action_asks_before_it_votes(client: Client, pending: Pending) -> None:
    approval = pending(title="<b>Pay?</b>")
    page = act(client, "approve", approval)
    assert (page.status_code, "&lt;b&gt;Pay?&lt;/b&gt;" in page.content.decode()) == (200, True)
    assert answer(approval) is None


@pytest.mark.parametrize(("action", "status"), [("approve", "APPROVED"), ("reject", "REJECTED")])
def test_confirmed_action_votes_as_the_user(
    client: Client, pending: Pending, action: str, status: str
) -> None:
    approval, other = pending(), pending(assignees={"users": ["bob"]})
    page = act(client, action, approval, other, confirmed="yes", comment="as agreed")
    said = [str(message) for message in page.context["messages"]]
    assert said == ["Pay? PENDING: You are not among those who may decide this.", "1 voted on"]
    approval.refresh_from_db()
    assert (approval.status, answer(approval)["output"]["comment"]) == (status, "as agreed")


def test_pages_show_the_state_and_the_votes(client: Client, pending: Pending) -> None:
    approval = pending(form={"type": "object"}, data={"amount": 4711}, required=2, voters=2)
    act(client, "approve", approval, confirmed="yes", comment="so be it")
    page = client.get(reverse("admin:automate_approval_change", args=[approval.pk])).content.decode()
    assert all(text in page for text in ("4711", "so be it", "ada"))
    assert "Pay?" in client.get(f"{LIST}?state=PENDING").content.decode()
    assert "Pay?" not in client.get(f"{LIST}?state=CANCELLED").content.decode()


def test_actions_need_the_right_to_change(person: Person, pending: Pending) -> None:
    user, approval = person("ada", is_staff=True), pending()
    user.user_permissions.add(Permission.objects.get(codename="view_approval"))
    client = Client()
    client.force_login(user)
    act(client, "approve", approval, confirmed="yes")
    assert answer(approval) is None
