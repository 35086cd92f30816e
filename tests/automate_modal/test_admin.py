"""Endpoints are switched, and jobs cancelled, in the admin by the verbs the API has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from automate_core.models import AuditEntry, Membership, Role, Tenant
from automate_modal.models import Endpoint, Job, JobEvent
from tests.factories.engine import drain

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client(tenant: Tenant) -> Client:
    user = get_user_model().objects.create_superuser("root", "root@example.com", "password")
    found = Client()
    found.force_login(user)
    return found


def act(client: Client, model: str, action: str, row: Any, **more: str) -> Any:
    url = reverse(f"admin:automate_modal_{model}_changelist")
    return client.post(url, {"action": action, ACTION_CHECKBOX_NAME: [str(row.pk)], **more}, follow=True)


def test_endpoint_is_switched(client: Client, make_endpoint: Callable[..., Endpoint]) -> None:
    endpoint = make_endpoint()
    for action, enabled in (("disable", False), ("enable", True)):
        assert act(client, "endpoint", action, endpoint).status_code == 200
        endpoint.refresh_from_db()
        assert endpoint.enabled is enabled
    assert AuditEntry.all_tenants.filter(action="endpoint.update").count() == 2


def test_job_is_cancelled_after_a_question(client: Client, make_job: Callable[..., Job]) -> None:
    job = make_job()
    assert b"Cancel these jobs?" in act(client, "job", "cancel", job).content
    job.refresh_from_db()
    assert job.status == "QUEUED"
    act(client, "job", "cancel", job, confirmed="yes")
    job.refresh_from_db()
    assert job.status == "CANCELLED"


def test_list_of_jobs_shows_what_is_true_now(client: Client, make_job: Callable[..., Job]) -> None:
    job = make_job()
    drain()
    url = reverse("admin:automate_modal_job_changelist")
    assert b"automate-state-good" in client.get(url, {"endpoint__id__exact": str(job.endpoint_id)}).content
    assert str(job.pk).encode() in client.get(url, {"q": str(job.run_id)}).content


def test_page_of_a_job_costs_the_same_for_one_event_and_for_three(
    client: Client, make_job: Callable[..., Job]
) -> None:
    job = make_job()
    url = reverse("admin:automate_modal_job_change", args=[job.pk])

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(url).status_code == 200
        return len(captured)

    queries()
    one = queries()
    for number in (2, 3):
        JobEvent.objects.create(job=job, number=number, type="step", created_at=timezone.now())
    assert queries() == one


def test_member_without_the_role_may_not_cancel(make_job: Callable[..., Job], tenant: Tenant) -> None:
    user = get_user_model().objects.create_user("staff", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="automate_modal"))
    Membership.objects.create(tenant=tenant, user=user, role=Role.VIEWER)
    client, job = Client(), make_job()
    client.force_login(user)
    act(client, "job", "cancel", job, confirmed="yes")
    job.refresh_from_db()
    assert job.status == "QUEUED"
