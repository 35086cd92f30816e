"""Actions call the verbs: in the row's tenant, with the user in the audit trail, and only for who may."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from automate.models import Automation, Execution, StepRun, WebhookSource
from automate.webhooks import sources
from automate.workflows import create_workflow
from automate_connectors.models import Connection
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import AuditEntry, Membership, OutboxItem, Role, Tenant

pytestmark = pytest.mark.django_db

GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "done"}}]}


@pytest.fixture
def acme() -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")


@pytest.fixture
def client() -> Client:
    user = get_user_model().objects.create_superuser("root", "root@example.com", "password")
    found = Client()
    found.force_login(user)
    return found


def act(client: Client, action: str, *rows: Model) -> list[str]:
    """Run an admin action on rows of one model, say yes if it asks, and return what it said."""
    meta = rows[0]._meta
    answer = client.post(
        reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist"),
        {"action": action, "_selected_action": [row.pk for row in rows], "confirmed": "yes"},
        follow=True,
    )
    return [str(message) for message in answer.context["messages"]]


def make_automation(tenant: Tenant) -> Automation:
    with tenant_scope(tenant.id):
        return create_workflow(name="Orders", slug="orders", graph=GRAPH, by="test")


def make_execution(tenant: Tenant, status: str = "FAILED") -> Execution:
    automation = make_automation(tenant)
    finished_at = timezone.now() if status == "FAILED" else None
    return Execution.all_tenants.create(
        tenant=tenant, automation=automation, version=automation.live_version, status=status,
        context={"n": 1}, finished_at=finished_at,
    )  # fmt: skip


def last_entry() -> tuple[str, str, str]:
    entry = AuditEntry.all_tenants.latest("created_at")
    return entry.tenant.slug, entry.actor.split(":")[0], entry.action


def test_automations_are_switched_in_their_tenant(client: Client, acme: Tenant) -> None:
    automation = make_automation(acme)
    assert act(client, "disable", automation) == ["1 switched off"]
    automation.refresh_from_db()
    assert (automation.enabled, last_entry()) == (False, ("acme", "user", "workflow.update"))
    assert act(client, "enable", automation) == ["1 switched on"]
    automation.refresh_from_db()
    assert automation.enabled is True


def test_sources_are_switched_in_their_tenant(client: Client, acme: Tenant) -> None:
    with tenant_scope(acme.id):
        source = sources.create_source(slug="shop", preset="generic", secret="s3cret", by="test")
    assert act(client, "disable", source) == ["1 switched off"]
    assert WebhookSource.all_tenants.get().is_enabled is False
    assert last_entry() == ("acme", "user", "webhook_source.disable")
    assert act(client, "enable", source) == ["1 switched on"]
    assert WebhookSource.all_tenants.get().is_enabled is True


def test_executions_are_replayed_in_their_tenant(client: Client, acme: Tenant) -> None:
    execution = make_execution(acme)
    assert act(client, "replay", execution) == ["1 queued again"]
    copy = Execution.all_tenants.get(replay_of=execution)
    assert (copy.tenant_id, copy.status, copy.context) == (acme.id, "QUEUED", {"n": 1})
    assert OutboxItem.all_tenants.get().tenant_id == acme.id


def test_replay_of_a_running_execution_is_refused_with_the_reason(client: Client, acme: Tenant) -> None:
    execution = make_execution(acme, "RUNNING")
    said = act(client, "replay", execution)
    assert (len(said), "only a finished one can be replayed" in said[0]) == (1, True)
    assert Execution.all_tenants.count() == 1


def test_executions_are_cancelled_paused_and_resumed_in_their_tenant(client: Client, acme: Tenant) -> None:
    execution = make_execution(acme, "QUEUED")
    assert act(client, "pause", execution) == ["1 paused"]
    assert last_entry() == ("acme", "user", "execution.pause")
    assert act(client, "resume", execution) == ["1 resumed"]
    assert act(client, "cancel", execution) == ["1 cancelled or asked to stop"]
    assert last_entry() == ("acme", "user", "execution.cancel")
    execution.refresh_from_db()
    assert execution.status == "CANCELLED"
    said = act(client, "cancel", execution)
    assert (len(said), "is CANCELLED; nothing can be done to it" in said[0]) == (1, True)


def test_waiting_steps_are_skipped_and_retried_in_their_tenant(client: Client, acme: Tenant) -> None:
    execution = make_execution(acme, "WAITING")
    one, two = (
        StepRun.all_tenants.create(
            tenant=acme, execution=execution, path=path, node_key=path, node_type="delay", status="WAITING",
            effect="pure", wake_at="2999-01-01T00:00:00Z",
        )
        for path in ("one", "two")
    )  # fmt: skip
    assert act(client, "retry_now", one) == ["1 to be tried now"]
    assert last_entry() == ("acme", "user", "execution.retry")
    assert act(client, "skip", two) == ["1 skipped"]
    assert last_entry() == ("acme", "user", "execution.skip")
    assert StepRun.all_tenants.get(path="two").answer == {"output": {"skipped": True}, "route": None}


def test_dead_letters_are_redriven_and_discarded(client: Client, acme: Tenant) -> None:
    one, two, alive = (
        OutboxItem.all_tenants.create(tenant=acme, kind="mail", status=status)
        for status in ("FAILED", "FAILED", "PENDING")
    )
    assert act(client, "redrive", one, alive) == [
        "1 queued again",
        "1 left alone: only FAILED items are dead letters",
    ]
    assert OutboxItem.all_tenants.get(pk=one.pk).status == "PENDING"
    assert last_entry() == ("acme", "user", "outbox.redriven")
    assert act(client, "discard", two) == ["1 discarded"]
    assert set(OutboxItem.all_tenants.values_list("pk", flat=True)) == {one.pk, alive.pk}


@pytest.mark.parametrize(("grants", "status"), [(["view"], "FAILED"), (["view", "change"], "PENDING")])
def test_actions_need_the_right_to_change(grants: list[str], status: str, acme: Tenant) -> None:
    user = get_user_model().objects.create_user("staff", is_staff=True)
    Membership.objects.create(user=user, tenant=acme, role=Role.RUNNER)
    for grant in grants:
        user.user_permissions.add(Permission.objects.get(codename=f"{grant}_outboxitem"))
    client = Client()
    client.force_login(user)
    item = OutboxItem.all_tenants.create(tenant=acme, kind="mail", status="FAILED")
    act(client, "redrive", item)
    assert OutboxItem.all_tenants.get().status == status


def test_connection_is_made_and_changed_in_the_tenant_chosen(client: Client, acme: Tenant) -> None:
    form = {
        "owner": str(acme.id),
        "name": "shop",
        "connector": "http",
        "config": json.dumps({"base_url": "https://shop.example"}),
        "is_enabled": "on",
    }
    add = reverse("admin:automate_connectors_connection_add")
    assert client.post(add, form).status_code == 302
    made = Connection.all_tenants.get()
    assert (made.tenant_id, made.name) == (acme.id, "shop")
    change = reverse("admin:automate_connectors_connection_change", args=[made.pk])
    assert client.post(change, {**form, "name": "store"}).status_code == 302
    changed = Connection.all_tenants.get()
    assert (changed.tenant_id, changed.name, changed.connector) == (acme.id, "store", "http")


def test_connection_with_a_taken_name_is_refused_beside_the_field(client: Client, acme: Tenant) -> None:
    Connection.all_tenants.create(tenant=acme, name="shop", connector="http")
    form = {"owner": str(acme.id), "name": "shop", "connector": "http", "config": "{}", "is_enabled": "on"}
    answer = client.post(reverse("admin:automate_connectors_connection_add"), form)
    assert (answer.status_code, "A connection with this name exists" in answer.content.decode()) == (
        200,
        True,
    )
    assert Connection.all_tenants.count() == 1
