"""Every page of the admin that changes something leaves its audit entries; pages are taken from the registry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import Model
from django.test import Client, RequestFactory

from automate_api.models import ApiKey
from automate_connectors import connections
from automate_connectors.models import Connection
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import AuditEntry, Membership, Role, Tenant
from tests.admin.test_pages import MODELS, url
from tests.admin.test_roles import ACTIONS, run

pytestmark = pytest.mark.django_db

TRACE = {"X-Trace-ID": "trace-of-this-page"}
ENTRIES = {
    ("Automation", "enable"): ["workflow.update"],
    ("Automation", "disable"): ["workflow.update"],
    ("WebhookSource", "rotate"): ["secret.stored", "secret.stored", "webhook_source.rotate"],
    ("WebhookSource", "enable"): ["webhook_source.enable"],
    ("WebhookSource", "disable"): ["webhook_source.disable"],
    ("WebhookSubscription", "enable"): ["subscription.enabled"],
    ("WebhookSubscription", "disable"): ["subscription.disabled"],
    ("StepRun", "retry_now"): ["execution.retry"],
    ("StepRun", "skip"): ["execution.skip"],
    ("OutboxItem", "redrive"): ["outbox.redriven"],
    ("OutboxItem", "discard"): ["outbox.discarded"],
    ("ApiKey", "revoke"): ["apikey.revoked"],
    ("Endpoint", "enable"): ["endpoint.update"],
    ("Endpoint", "disable"): ["endpoint.update"],
    ("Job", "cancel"): ["execution.cancel", "job.cancel"],
    ("Connection", "enable"): ["connection.changed"],
    ("Connection", "disable"): ["connection.changed"],
}
"""What each action leaves; of an execution, `execution.<action>`."""


@pytest.fixture
def acme() -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")


def person(name: str = "bob") -> Any:
    return get_user_model().objects.get_or_create(**{get_user_model().USERNAME_FIELD: name})[0]


def a_membership(tenant: Tenant) -> Membership:
    return Membership.objects.create(tenant=tenant, user=person(), role=Role.VIEWER)


def a_connection(tenant: Tenant) -> Connection:
    with tenant_scope(tenant.id):
        config = {"base_url": "https://shop.example"}
        return connections.create(name="shop", connector="http", config=config, by="test")


def members(tenant: Tenant, **given: str) -> dict[str, str]:
    held = Membership.objects.filter(tenant=tenant).count()
    form = {"slug": tenant.slug, "name": tenant.name, "is_active": "on"}
    counts = {"memberships-TOTAL_FORMS": str(held), "memberships-INITIAL_FORMS": str(held)}
    return {**form, **counts, **given}


def new_tenant(tenant: Tenant) -> dict[str, str]:
    form = members(tenant, slug="globex", name="Globex")
    form["memberships-TOTAL_FORMS"] = "1"
    return {**form, "memberships-0-user": str(person().pk), "memberships-0-role": "editor"}


CONNECTION = {
    "name": "store", "connector": "http", "config": json.dumps({"base_url": "https://a.example"}), "is_enabled": "on",
}  # fmt: skip
FORMS: dict[tuple[type[Model], str], tuple[Callable[[Tenant], Any], Callable[[Tenant], Any], list[str]]] = {
    (Tenant, "add"): (lambda tenant: None, new_tenant, ["tenant.created", "membership.created"]),
    (Tenant, "change"): (
        lambda tenant: tenant,
        lambda tenant: members(tenant, name="Acme, Inc."),
        ["tenant.changed"],
    ),
    (Membership, "add"): (
        lambda tenant: None,
        lambda tenant: {"tenant": str(tenant.pk), "user": str(person().pk), "role": "editor"},
        ["membership.created"],
    ),
    (Membership, "change"): (
        a_membership,
        lambda tenant: {"user": str(person().pk), "role": "editor"},
        ["membership.changed"],
    ),
    (Membership, "delete"): (a_membership, lambda tenant: {"post": "yes"}, ["membership.deleted"]),
    (Connection, "add"): (
        lambda tenant: None,
        lambda tenant: {**CONNECTION, "owner": str(tenant.pk)},
        ["connection.created"],
    ),
    (Connection, "change"): (a_connection, lambda tenant: CONNECTION, ["connection.changed"]),
    (Connection, "delete"): (a_connection, lambda tenant: {"post": "yes"}, ["connection.deleted"]),
    (ApiKey, "add"): (
        lambda tenant: None,
        lambda tenant: {"id": str(uuid7()), "name": "ci", "tenant": str(tenant.pk), "role": "viewer"},
        ["apikey.created"],
    ),
}
"""Each page that adds, changes or deletes: the row it is about, the form, and the entries it leaves."""


def recorded(since: int) -> list[AuditEntry]:
    return list(AuditEntry.all_tenants.filter(id__gt=since).order_by("id"))


def last_id() -> int:
    return AuditEntry.all_tenants.order_by("-id").values_list("id", flat=True).first() or 0


def test_every_page_that_writes_is_here() -> None:
    """A page that is not read-only belongs in FORMS, with the entries it leaves."""
    request = RequestFactory().get("/")
    request.user = get_user_model()(is_superuser=True, is_active=True)
    found = {
        (model, what)
        for model in MODELS
        for what in ("add", "change", "delete")
        if getattr(admin.site._registry[model], f"has_{what}_permission")(request)
    }
    assert found == set(FORMS)


@pytest.mark.parametrize(("model", "page"), FORMS, ids=lambda value: getattr(value, "__name__", value))
def test_change_by_page_is_audited(
    model: type[Model], page: str, acme: Tenant, admin_client: Client, admin_user: Any
) -> None:
    prepare, form, expected = FORMS[model, page]
    row = prepare(acme)
    since = last_id()
    answer = admin_client.post(
        url(model, page, *([row.pk] if row else [])), form(acme), headers=TRACE, follow=False
    )
    assert answer.status_code in (200, 302)
    entries = recorded(since)
    assert [entry.action for entry in entries] == expected
    for entry in entries:
        assert (entry.actor, entry.trace_id) == (f"user:{admin_user.pk}", "trace-of-this-page")
        assert (entry.before is None, entry.after is None) == (page == "add", page == "delete")
        assert entry.before != entry.after
        assert entry.tenant.slug == ("globex" if (model, page) == (Tenant, "add") else "acme")


@pytest.mark.parametrize(("model", "action"), ACTIONS, ids=lambda value: getattr(value, "__name__", value))
def test_change_by_action_is_audited(
    model: type[Model], action: str, acme: Tenant, admin_client: Client, admin_user: Any
) -> None:
    with tenant_scope(acme.id):
        row = ACTIONS[model, action][1]()
        if action == "enable":
            name = "enabled" if model.__name__ in ("Automation", "Endpoint") else "is_enabled"
            model.objects.filter(pk=row.pk).update(**{name: False})  # type: ignore[attr-defined]
    since = last_id()
    run(admin_client, action, row)
    entries = recorded(since)
    assert [entry.action for entry in entries] == ENTRIES.get(
        (model.__name__, action), [f"execution.{action}"]
    )
    for entry in entries:
        assert (entry.actor, entry.tenant) == (f"user:{admin_user.pk}", acme)
        assert len(entry.trace_id) > 0
        assert entry.before != entry.after


def test_rows_of_an_inline_are_audited_one_by_one(acme: Tenant, admin_client: Client) -> None:
    eve, bob = (
        Membership.objects.create(tenant=acme, user=person(name), role=Role.VIEWER) for name in ("eve", "bob")
    )
    since = last_id()
    form = members(acme)
    for number, (row, given) in enumerate(((eve, {"DELETE": "on"}), (bob, {"role": "admin"}))):
        fields = {"id": str(row.pk), "tenant": str(acme.pk), "user": str(row.user_id), "role": "viewer"}
        form |= {f"memberships-{number}-{name}": value for name, value in {**fields, **given}.items()}
    assert admin_client.post(url(Tenant, "change", acme.pk), form).status_code == 302
    deleted, changed = recorded(since)
    assert (deleted.action, deleted.before["user_id"]) == ("membership.deleted", eve.user_id)
    assert (changed.action, changed.before["role"], changed.after["role"]) == (
        "membership.changed", "viewer", "admin",
    )  # fmt: skip
    assert list(Membership.objects.filter(tenant=acme).values_list("role", flat=True)) == ["admin"]


def test_nothing_changed_leaves_no_entry(acme: Tenant, admin_client: Client) -> None:
    since = last_id()
    assert admin_client.post(url(Tenant, "change", acme.pk), members(acme)).status_code == 302
    assert recorded(since) == []


def test_deletion_of_several_is_audited_one_by_one(acme: Tenant, admin_client: Client) -> None:
    rows = [Membership.objects.create(tenant=acme, user=person(name), role=Role.VIEWER) for name in "ab"]
    form = {"action": "delete_selected", "_selected_action": [str(row.pk) for row in rows], "post": "yes"}
    since = last_id()
    admin_client.post(url(Membership, "changelist"), form)
    assert [entry.action for entry in recorded(since)] == ["membership.deleted"] * 2
    assert Membership.objects.filter(tenant=acme).count() == 0
