"""The REST resource: what is listed for whom, and deciding over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from automate.approvals.verbs import digest
from automate.models import Approval
from automate_core.models import Role, Tenant
from tests.automate.approvals.conftest import FORM, answer
from tests.factories.wire import traffic

pytestmark = pytest.mark.django_db

URL = "/api/automate/approvals/"
Person = Callable[..., Any]
Pending = Callable[..., Approval]
KeyClient = Callable[..., Client]


def titles(client: Client, query: str = "") -> list[str]:
    reply = client.get(f"{URL}?{query}")
    assert reply.status_code == 200, reply.content
    return [row["title"] for row in reply.json()["results"]]


def post(client: Client, approval: Approval, verb: str, body: Any = None) -> Any:
    return client.post(f"{URL}{approval.pk}/{verb}/", body or {}, content_type="application/json")


def test_list_shows_what_is_assigned_to_me(person: Person, pending: Pending, key_client: KeyClient) -> None:
    ada = person(groups=("finance",))
    pending(title="by name")
    pending(title="by group", assignees={"groups": ["sales", "finance"]})
    pending(title="by permission", assignees={"permission": "automate.view_event"})
    pending(title="not mine", assignees={"users": ["adam"], "groups": ["sales"]})
    client = key_client(Role.VIEWER, user=ada)
    assert titles(client) == ["by group", "by name"]
    assert titles(client, "assigned=all") == ["not mine", "by permission", "by group", "by name"]
    root = key_client(Role.VIEWER, user=person("root", is_superuser=True))
    assert titles(root, "assigned=me") == ["by permission"]


def test_list_shows_admins_everything_and_keys_without_a_user_nothing_of_theirs(
    pending: Pending, key_client: KeyClient
) -> None:
    pending(title="any")
    assert titles(key_client(Role.ADMIN)) == ["any"]
    assert titles(key_client(Role.ADMIN), "assigned=me") == []
    assert titles(key_client(Role.VIEWER)) == []


def test_list_filters_by_the_state_things_are_in(
    person: Person, pending: Pending, key_client: KeyClient
) -> None:
    pending(title="open")
    gone = pending(title="gone")
    gone.execution.status, gone.execution.finished_at = "CANCELLED", gone.created_at
    gone.execution.cancel_requested_at = gone.created_at
    gone.execution.save()
    client = key_client()
    assert titles(client, "status=pending") == ["open"]
    assert titles(client, "status=CANCELLED") == ["gone"]
    assert client.get(f"{URL}?status=late").status_code == 400
    assert client.get(f"{URL}?assigned=you").status_code == 400


@pytest.mark.parametrize("rows", [1, 3])
def test_list_costs_the_same_however_long(pending: Pending, key_client: KeyClient, rows: int) -> None:
    for _ in range(rows):
        pending()
    client = key_client()
    client.get(URL)
    with traffic() as seen:
        assert len(titles(client)) == rows
    assert len([one for one in seen.statements if "automate_approval" in one]) == 1


def test_detail_shows_what_a_voter_needs(person: Person, pending: Pending, key_client: KeyClient) -> None:
    ada, approval = (
        person(),
        pending(message="For the office", form=FORM, data={"amount": 5}, required=2, voters=2),
    )
    client = key_client(Role.VIEWER, user=ada)
    post(client, approval, "approve", {"comment": "ok"})
    found = client.get(f"{URL}{approval.pk}/").json()
    at = found["votes"][0].pop("at")
    assert at is not None
    assert {
        name: found[name] for name in ("status", "message", "form", "data", "seen", "votes", "required")
    } == {
        "status": "PENDING",
        "message": "For the office",
        "form": FORM,
        "data": {"amount": 5},
        "seen": digest({"amount": 5}),
        "votes": [{"by": "ada", "decision": "approve", "comment": "ok", "data": None}],
        "required": 2,
    }


def test_approve_with_edited_data(person: Person, pending: Pending, key_client: KeyClient) -> None:
    approval = pending(form=FORM, data={"amount": 5})
    reply = post(
        key_client(Role.VIEWER, user=person()),
        approval,
        "approve",
        {"data": {"amount": 7}, "comment": "less"},
    )
    assert (reply.status_code, reply.json()["status"], reply.json()["data"]) == (
        200,
        "APPROVED",
        {"amount": 7},
    )
    assert answer(approval)["output"]["data"] == {"amount": 7}


def test_reject(person: Person, pending: Pending, key_client: KeyClient) -> None:
    approval = pending()
    reply = post(key_client(Role.VIEWER, user=person()), approval, "reject", {"comment": "no"})
    assert (reply.status_code, reply.json()["status"], reply.json()["votes"][0]["comment"]) == (
        200,
        "REJECTED",
        "no",
    )


def test_refusals_have_their_status(person: Person, pending: Pending, key_client: KeyClient) -> None:
    ada, bob = person(), person("bob")
    approval = pending(form=FORM, data={"amount": 5})
    mine, his, nobodys = (key_client(Role.VIEWER, user=user) for user in (ada, bob, None))
    assert post(his, approval, "approve").status_code == 403
    assert post(nobodys, approval, "approve").status_code == 403
    wrong = post(mine, approval, "approve", {"data": {"amount": 500}})
    assert (wrong.status_code, wrong.json()["error"]["details"][0]["field"]) == (400, "data.amount")
    assert post(mine, approval, "approve", {"seen": "0" * 64}).status_code == 409
    assert post(mine, approval, "approve", {"comment": ["x"]}).status_code == 400
    assert post(mine, approval, "approve").status_code == 200
    late = post(mine, approval, "reject")
    assert (late.status_code, late.json()["error"]["code"]) == (409, "CONFLICT")


def test_approval_of_another_tenant_is_not_there(
    person: Person, pending: Pending, key_client: KeyClient, other_tenant: Tenant
) -> None:
    approval = pending()
    client = key_client(tenant_id=other_tenant.pk)
    assert titles(client, "assigned=all") == []
    assert client.get(f"{URL}{approval.pk}/").status_code == 404
    assert post(client, approval, "approve").status_code == 404
