from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from automate import workflows
from automate.models import Automation
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, Membership, Role, Tenant

pytestmark = pytest.mark.django_db


@pytest.fixture
def workflow() -> Automation:
    with tenant_scope(DEFAULT_TENANT_ID):
        return workflows.create_workflow(
            name="<script>alert(1)</script>",
            slug="shown",
            graph={"nodes": [{"id": "a", "type": "logging", "config": {"message": "hello"}}]},
            by="test",
        )


def member(client: Client, *tenants: Any, role: Role = Role.ADMIN, is_staff: bool = True) -> Client:
    user = get_user_model().objects.create_user("ann", password="x", is_staff=is_staff)
    for tenant_id in tenants:
        Membership.objects.create(tenant_id=tenant_id, user=user, role=role)
    client.force_login(user)
    return client


@pytest.fixture
def other() -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="other", name="Other & Co")


@pytest.mark.parametrize("name", ["slug", "id"])
def test_page_lists_the_nodes_by_slug_or_id(client: Client, workflow: Automation, name: str) -> None:
    answer = member(client, DEFAULT_TENANT_ID).get(f"/studio/live/{getattr(workflow, name)}/")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert 'data-node="a"' in page
    assert f'data-workflow="{workflow.id}"' in page
    assert 'id="start"' in page


def test_markup_in_a_name_is_text_and_scripts_are_the_pages_own(client: Client, workflow: Automation) -> None:
    answer = member(client, DEFAULT_TENANT_ID).get("/studio/live/shown/")
    assert "<script>alert" not in answer.content.decode()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.content.decode()
    assert "script-src 'self';" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert "no-store" in answer["Cache-Control"]


def test_viewer_sees_the_nodes_and_no_buttons(client: Client, workflow: Automation) -> None:
    page = member(client, DEFAULT_TENANT_ID, role=Role.VIEWER).get("/studio/live/shown/").content.decode()
    assert 'data-node="a"' in page
    assert 'id="start"' not in page
    assert 'id="stop"' not in page


def test_who_is_not_staff_is_sent_to_log_in(client: Client, workflow: Automation) -> None:
    answer = member(client, DEFAULT_TENANT_ID, is_staff=False).get("/studio/live/shown/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/login/?next=/studio/live/shown/")


def test_workflow_of_another_tenant_is_unknown(client: Client, workflow: Automation, other: Tenant) -> None:
    answer = member(client, other.id).get(f"/studio/live/{workflow.id}/")
    absent = client.get(f"/studio/live/{other.id}/")
    assert (answer.status_code, absent.status_code) == (404, 404)
    assert answer.content.decode().replace(str(workflow.id), "ID") == absent.content.decode().replace(
        str(other.id), "ID"
    )


def test_member_of_several_tenants_chooses_one(client: Client, workflow: Automation, other: Tenant) -> None:
    member(client, DEFAULT_TENANT_ID, other.id)
    asked = client.get("/studio/live/shown/")
    assert asked.status_code == 400
    assert '<a href="?tenant=other">Other &amp; Co</a>' in asked.content.decode()
    assert client.get("/studio/live/shown/?tenant=default").status_code == 200
    assert client.get("/studio/live/shown/?tenant=other").status_code == 404


def test_staff_without_a_tenant_is_told_so(client: Client, workflow: Automation) -> None:
    answer = member(client).get("/studio/live/shown/")
    assert answer.status_code == 403
    assert "You belong to no tenant" in answer.content.decode()


def test_workflow_without_steps_says_how_to_add_some(client: Client) -> None:
    with tenant_scope(DEFAULT_TENANT_ID):
        workflows.create_workflow(name="Empty", slug="empty", by="test")
    page = member(client, DEFAULT_TENANT_ID).get("/studio/live/empty/").content.decode()
    assert "This workflow has no steps yet" in page
    assert 'id="start"' not in page


def test_page_is_only_looked_at(client: Client, workflow: Automation) -> None:
    assert member(client, DEFAULT_TENANT_ID).post("/studio/live/shown/").status_code == 405
