"""Who may run which action: Django's permission, and in the row's tenant the role the API demands; all are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from automate.models import Automation, Execution, StepRun, WebhookSource, WebhookSubscription
from automate.webhooks import sources
from automate.workflows import create_workflow
from automate_api.keys import create_key
from automate_api.models import ApiKey
from automate_connectors import connections
from automate_connectors.models import Connection
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import AuditEntry, Membership, OutboxItem, Role, Tenant
from automate_modal import endpoints, jobs
from automate_modal.models import Endpoint, Job
from tests.admin.test_pages import MAKE, MODELS, named, rows, url

pytestmark = pytest.mark.django_db

GRAPH = {"nodes": [{"id": "log", "type": "logging", "config": {"message": "done"}}]}


def an_automation() -> Automation:
    return create_workflow(name="Orders", graph=GRAPH, by="test")


def an_execution(**given: Any) -> Execution:
    automation = an_automation()
    return Execution.objects.create(automation=automation, version=automation.live_version, **given)


def a_waiting_step() -> StepRun:
    return StepRun.objects.create(
        execution=an_execution(status="WAITING"), path="one", node_key="one", node_type="delay", status="WAITING",
        effect="pure", wake_at="2999-01-01T00:00:00Z",
    )  # fmt: skip


def a_source() -> WebhookSource:
    return sources.create_source(slug="shop", preset="generic", secret="s3cret", by="test")


def a_subscription() -> WebhookSubscription:
    return WebhookSubscription.objects.create(event_type="a", callback_url="https://a.example/")


def a_key() -> ApiKey:
    tenant_id = Tenant.objects.get(slug="acme").id
    return create_key(name="ci", tenant_id=tenant_id, role=Role.VIEWER, by="test")[0]


def an_endpoint() -> Endpoint:
    config = {"workflow": an_automation().slug}
    return endpoints.create_endpoint(name="Orders", kind="automation", config=config, by="test")


def a_connection() -> Connection:
    return connections.create(
        name="shop", connector="http", config={"base_url": "https://shop.example"}, by="test"
    )


ACTIONS: dict[tuple[type[Model], str], tuple[Role, Callable[[], Model]]] = {
    (Automation, "enable"): (Role.PUBLISHER, an_automation),
    (Automation, "disable"): (Role.EDITOR, an_automation),
    (Execution, "replay"): (
        Role.RUNNER,
        lambda: an_execution(status="SUCCESS", finished_at=timezone.now()),
    ),
    (Execution, "cancel"): (Role.RUNNER, an_execution),
    (Execution, "pause"): (Role.RUNNER, an_execution),
    (Execution, "resume"): (Role.RUNNER, lambda: an_execution(paused_at=timezone.now())),
    (StepRun, "skip"): (Role.RUNNER, a_waiting_step),
    (StepRun, "retry_now"): (Role.RUNNER, a_waiting_step),
    (WebhookSource, "enable"): (Role.PUBLISHER, a_source),
    (WebhookSource, "disable"): (Role.EDITOR, a_source),
    (WebhookSource, "rotate"): (Role.ADMIN, a_source),
    (WebhookSubscription, "enable"): (Role.EDITOR, a_subscription),
    (WebhookSubscription, "disable"): (Role.EDITOR, a_subscription),
    (OutboxItem, "redrive"): (
        Role.RUNNER,
        lambda: OutboxItem.objects.create(kind="mail", status="FAILED"),
    ),
    (OutboxItem, "discard"): (
        Role.EDITOR,
        lambda: OutboxItem.objects.create(kind="mail", status="FAILED"),
    ),
    (ApiKey, "revoke"): (Role.ADMIN, a_key),
    (Endpoint, "enable"): (Role.EDITOR, an_endpoint),
    (Endpoint, "disable"): (Role.EDITOR, an_endpoint),
    (Job, "cancel"): (Role.RUNNER, lambda: jobs.start(an_endpoint(), {}, by="test")),
    (Connection, "enable"): (Role.EDITOR, a_connection),
    (Connection, "disable"): (Role.EDITOR, a_connection),
}
"""Every action of our pages, the least role it takes, and a row it can be run on."""
ELSEWHERE = {"approve": "votes are a matter of assignees, not of roles", "reject": "as for approve"}
DESTRUCTIVE = {"cancel", "discard", "revoke", "rotate", "approve", "reject", "delete_selected"}
BELOW = {role: list(Role)[list(Role).index(role) - 1] for role in list(Role)[1:]}


@pytest.fixture
def acme() -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")


def staff(role: Role | None, tenant: Tenant, *permissions: str, model: type[Model]) -> Client:
    user = get_user_model().objects.create_user(f"staff-{role}", is_staff=True)
    names = [f"{permission}_{model._meta.model_name}" for permission in permissions]
    user.user_permissions.set(
        Permission.objects.filter(codename__in=names, content_type__app_label=model._meta.app_label)
    )
    if role is not None:
        Membership.objects.create(tenant=tenant, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def run(client: Client, action: str, row: Model, **given: str) -> Any:
    form = {"action": action, "_selected_action": [str(row.pk)], "confirmed": "yes", "seen": "9999", **given}
    return client.post(url(type(row), "changelist"), form)


def is_done(tenant: Tenant) -> bool:
    """Tell whether something was recorded by a user, which no action that was refused does."""
    return AuditEntry.all_tenants.filter(tenant=tenant, actor__startswith="user:").exists()


def test_every_action_has_a_role() -> None:
    """A new action belongs in ACTIONS, with the role the API demands for the same thing."""
    offered = {
        (model, name)
        for model in MODELS
        for name in (getattr(action, "__name__", action) for action in admin.site._registry[model].actions)
        if name not in ELSEWHERE
    }
    assert offered == set(ACTIONS)


@pytest.mark.parametrize(("model", "action"), ACTIONS, ids=lambda value: getattr(value, "__name__", value))
def test_action_takes_the_role_in_the_tenant_of_the_row(
    model: type[Model], action: str, acme: Tenant
) -> None:
    role, make = ACTIONS[model, action]
    with tenant_scope(acme.id):
        row = make()
        if action == "enable":
            model.objects.filter(pk=row.pk).update(  # type: ignore[attr-defined]
                **{"enabled" if model in (Automation, Endpoint) else "is_enabled": False}
            )
    home = Tenant.objects.exclude(pk=acme.pk).get()
    run(staff(None, home, "view", "change", model=model), action, row)
    run(staff(BELOW[role], acme, "view", "change", model=model), action, row)
    other = staff(role, acme, "view", model=model)
    run(other, action, row)
    assert not is_done(acme)
    user = get_user_model().objects.get(username=f"staff-{role}")
    user.user_permissions.set(Permission.objects.filter(content_type__app_label=model._meta.app_label))
    run(other, action, row)
    assert is_done(acme)


@pytest.mark.parametrize(("model", "action"), ACTIONS, ids=lambda value: getattr(value, "__name__", value))
def test_action_on_a_row_of_another_tenant_does_nothing(
    model: type[Model], action: str, acme: Tenant
) -> None:
    home = Tenant.objects.exclude(pk=acme.pk).get()
    with tenant_scope(acme.id):
        row = ACTIONS[model, action][1]()
    run(staff(Role.ADMIN, home, "view", "change", model=model), action, row)
    assert not is_done(acme)


@pytest.mark.parametrize(("model", "action"), ACTIONS, ids=lambda value: getattr(value, "__name__", value))
def test_what_cannot_be_undone_is_asked_about_first(
    model: type[Model], action: str, acme: Tenant, admin_client: Client
) -> None:
    with tenant_scope(acme.id):
        row = ACTIONS[model, action][1]()
    form = {"action": action, "_selected_action": [str(row.pk)]}
    answer = admin_client.post(url(model, "changelist"), form)
    if action not in DESTRUCTIVE:
        assert answer.status_code == 302
        return
    page = answer.content.decode()
    assert (answer.status_code, 'name="confirmed"' in page, str(row.pk) in page) == (200, True, True)
    assert not is_done(acme)


OF_THE_INSTALLATION = {"automate.LiveSeat", "automate.LiveWatch", "automate_core.WorkerBeat"}
"""Models whose rows belong to processes, not to a tenant; every other list shows only tenants one belongs to."""


@pytest.mark.parametrize("model", [one for one in MODELS if named(one) not in OF_THE_INSTALLATION], ids=named)
def test_lists_show_only_tenants_one_belongs_to(model: type[Model], acme: Tenant) -> None:
    path = admin.site._registry[model].tenant_path
    MAKE[model](1)
    home = Tenant.objects.exclude(pk=acme.pk).order_by("created_at")[0]
    client = staff(Role.ADMIN, acme, "view", "change", "delete", model=model)
    shown = client.get(url(model, "changelist"))
    foreign = rows(model).exclude(**{path: acme.id}).first()
    assert shown.status_code == 200
    assert [row for row in shown.context["cl"].result_list if tenant_of(row, path) != acme.id] == []
    assert home.slug not in [str(choice) for choice in tenant_choices(shown)]
    assert foreign is not None
    assert client.get(url(model, "change", foreign.pk)).status_code == 302
    assert client.post(url(model, "delete", foreign.pk), {"post": "yes"}).status_code in (302, 403)
    assert rows(model).filter(pk=foreign.pk).exists()


def tenant_of(row: Any, path: str) -> Any:
    for name in path.split("__"):
        row = getattr(row, name)
    return row


def tenant_choices(answer: Any) -> list[Any]:
    specs = [spec for spec in answer.context["cl"].filter_specs if getattr(spec, "title", "") == "tenant"]
    return [choice["display"] for spec in specs for choice in spec.choices(answer.context["cl"])]


def test_superuser_reaches_every_tenant(admin_client: Client, acme: Tenant) -> None:
    with tenant_scope(acme.id):
        automation = an_automation()
    run(admin_client, "disable", automation)
    automation.refresh_from_db()
    assert automation.enabled is False


def test_membership_ends_with_its_tenant(acme: Tenant) -> None:
    client = staff(Role.ADMIN, acme, "view", model=Automation)
    with tenant_scope(acme.id):
        an_automation()
    assert len(client.get(url(Automation, "changelist")).context["cl"].result_list) == 1
    Tenant.objects.filter(pk=acme.pk).update(is_active=False)
    assert len(client.get(url(Automation, "changelist")).context["cl"].result_list) == 0


def test_members_are_managed_by_admins_of_their_tenant(acme: Tenant) -> None:
    home = Tenant.objects.exclude(pk=acme.pk).get()
    bob = get_user_model().objects.create_user("bob")
    add = reverse("admin:automate_core_membership_add")
    form = {"user": str(bob.pk), "role": "viewer"}
    publisher = staff(Role.PUBLISHER, acme, "view", "add", "change", "delete", model=Membership)
    assert publisher.post(add, {**form, "tenant": str(acme.pk)}).status_code == 403
    boss = staff(Role.ADMIN, acme, "view", "add", "change", "delete", model=Membership)
    assert boss.post(add, {**form, "tenant": str(home.pk)}).status_code == 200
    assert not Membership.objects.filter(user=bob).exists()
    assert boss.post(add, {**form, "tenant": str(acme.pk)}).status_code == 302
    made = Membership.objects.get(user=bob)
    change = reverse("admin:automate_core_membership_change", args=[made.pk])
    boss.post(change, {**form, "role": "editor", "tenant": str(home.pk)})
    made.refresh_from_db()
    assert (made.tenant_id, made.role) == (acme.id, "editor")
