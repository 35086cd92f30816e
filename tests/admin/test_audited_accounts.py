"""Changes of users and groups in the admin leave entries, on whatever pages a host has registered for them."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.test import Client

from automate_core import admin_accounts
from automate_core.ids import uuid7
from automate_core.models import DEFAULT_TENANT_ID, AuditEntry, Membership, Role, Tenant
from tests.admin.test_audited_pages import TRACE, last_id, recorded
from tests.admin.test_pages import url

pytestmark = pytest.mark.django_db

User = get_user_model()
PASSWORD = "correct-horse-battery-staple"


@pytest.fixture
def bob() -> Any:
    return User.objects.create_user(username="bob", password="old-pass-of-bob")


def page_of(user: Any, **given: Any) -> dict[str, Any]:
    form = {"username": user.username, "date_joined_0": "2026-01-01", "date_joined_1": "10:00:00"}
    form |= {"is_active": "on"} if given.pop("is_active", True) else {}
    return {**form, **given}


def only(since: int) -> AuditEntry:
    (entry,) = recorded(since)
    assert (entry.tenant_id, entry.trace_id) == (DEFAULT_TENANT_ID, "trace-of-this-page")
    return entry


def test_user_added_by_page_is_audited(admin_client: Client, admin_user: Any) -> None:
    since = last_id()
    form = {"username": "eve", "password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    assert admin_client.post(url(User, "add"), form, headers=TRACE).status_code == 302
    entry, eve = only(since), User.objects.get(username="eve")
    assert (entry.actor, entry.action) == (f"user:{admin_user.pk}", "user.created")
    assert (entry.target, entry.before, entry.after["username"]) == (f"user:{eve.pk}", None, "eve")
    assert "password" not in entry.after


def test_user_changed_by_page_is_audited(admin_client: Client, bob: Any) -> None:
    group = Group.objects.create(name="approvers")
    permission = Permission.objects.get(codename="view_user")
    admin_client.post(url(User, "change", bob.pk), page_of(bob))
    since = last_id()
    form = page_of(bob, is_active=False, is_staff="on", groups=[group.pk], user_permissions=[permission.pk])
    assert admin_client.post(url(User, "change", bob.pk), form, headers=TRACE).status_code == 302
    entry = only(since)
    assert (entry.action, entry.target) == ("user.changed", f"user:{bob.pk}")
    changed = {name for name in entry.after if entry.before[name] != entry.after[name]}
    assert changed == {"is_active", "is_staff", "groups", "user_permissions"}
    assert (entry.before["groups"], entry.after["groups"]) == ([], ["approvers"])
    assert entry.after["user_permissions"] == ["auth.view_user"]


def test_page_saved_without_a_change_leaves_no_entry(admin_client: Client, bob: Any) -> None:
    admin_client.post(url(User, "change", bob.pk), page_of(bob))
    since = last_id()
    admin_client.post(url(User, "change", bob.pk), page_of(bob))
    admin_client.get(url(User, "change", bob.pk))
    admin_client.post(url(User, "change", bob.pk), page_of(bob, username=""))
    assert recorded(since) == []


def test_password_set_by_page_is_audited_without_it(admin_client: Client, bob: Any) -> None:
    since = last_id()
    form = {"password1": PASSWORD, "password2": PASSWORD, "usable_password": "true"}
    page = f"/admin/{User._meta.app_label}/{User._meta.model_name}/{bob.pk}/password/"
    assert admin_client.post(page, form, headers=TRACE).status_code == 302
    bob.refresh_from_db()
    assert bob.check_password(PASSWORD)
    entry = only(since)
    assert (entry.action, entry.target) == ("user.password_set", f"user:{bob.pk}")
    assert (entry.before, entry.after) == (None, None)


def test_own_password_is_audited(bob: Any) -> None:
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client = Client()
    client.force_login(bob)
    since = last_id()
    form = {"old_password": "wrong", "new_password1": PASSWORD, "new_password2": PASSWORD}
    assert client.post("/admin/password_change/", form).status_code == 200
    form["old_password"] = "old-pass-of-bob"
    assert client.post("/admin/password_change/", form, headers=TRACE).status_code == 302
    entry = only(since)
    assert (entry.actor, entry.action) == (f"user:{bob.pk}", "user.password_set")


def test_user_deleted_by_page_is_audited_with_its_memberships(admin_client: Client, bob: Any) -> None:
    acme = Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")
    Membership.objects.create(tenant=acme, user=bob, role=Role.EDITOR)
    since = last_id()
    admin_client.post(url(User, "delete", bob.pk), {"post": "yes"}, headers=TRACE)
    entry = only(since)
    assert (entry.action, entry.after, entry.before["username"]) == ("user.deleted", None, "bob")
    assert entry.before["memberships"] == [{"tenant": str(acme.pk), "role": "editor"}]


@pytest.mark.parametrize("across", ["0", "1"])
def test_users_deleted_by_action_are_audited_one_by_one(admin_client: Client, bob: Any, across: str) -> None:
    eve = User.objects.create_user(username="eve")
    keys = [str(bob.pk), str(eve.pk)]
    form = {"action": "delete_selected", "_selected_action": keys}
    since = last_id()
    admin_client.post(url(User, "changelist"), form)
    assert recorded(since) == []
    place = url(User, "changelist") + "?is_superuser__exact=0"
    if across == "1":
        form = {**form, "_selected_action": keys[:1], "select_across": "1"}
    admin_client.post(place, {**form, "post": "yes"})
    assert sorted((entry.action, entry.target) for entry in recorded(since)) == [
        ("user.deleted", f"user:{key}") for key in sorted(keys)
    ]


def test_groups_are_audited(admin_client: Client) -> None:
    since = last_id()
    permission = Permission.objects.get(codename="view_user")
    admin_client.post(url(Group, "add"), {"name": "approvers"})
    group = Group.objects.get()
    admin_client.post(url(Group, "change", group.pk), {"name": "approvers", "permissions": [permission.pk]})
    admin_client.post(url(Group, "delete", group.pk), {"post": "yes"})
    created, changed, deleted = recorded(since)
    assert (created.action, created.after) == (
        "group.created", {"id": group.pk, "name": "approvers", "permissions": []},
    )  # fmt: skip
    assert (changed.before["permissions"], changed.after["permissions"]) == ([], ["auth.view_user"])
    assert (deleted.action, deleted.target, deleted.after) == ("group.deleted", f"group:{group.pk}", None)


def test_refused_request_leaves_no_entry(bob: Any) -> None:
    client = Client()
    User.objects.filter(pk=bob.pk).update(is_staff=True)
    client.force_login(bob)
    since = last_id()
    assert client.post(url(User, "change", bob.pk), page_of(bob, is_superuser="on")).status_code == 403
    assert recorded(since) == []


@pytest.fixture
def plain_site() -> admin.AdminSite:
    """A site of the host's own, on which users are listed and edited in place by a page that is not Django's."""

    class Accounts(admin.ModelAdmin):  # type: ignore[type-arg]
        list_display = ("username", "is_active")
        list_editable = ("is_active",)
        actions = ("lock",)

        @admin.action
        def lock(self, request: Any, queryset: Any) -> None:
            queryset.update(is_active=False)

    site = admin.AdminSite(name="plain")
    site.register(User, Accounts)
    admin_accounts.audit_accounts()
    return site


def test_pages_of_a_host_are_audited(plain_site: admin.AdminSite, rf: Any, admin_user: Any, bob: Any) -> None:
    page = plain_site._registry[User]
    assert isinstance(page, admin_accounts.AuditedAccounts)
    assert not hasattr(page, "user_change_password")

    request = rf.post("/", {"action": "lock", "_selected_action": [str(bob.pk)], "index": "0"})
    request.user, request._dont_enforce_csrf_checks = admin_user, True
    since = last_id()
    assert page.changelist_view(request).status_code == 302
    assert [
        (entry.action, entry.before["is_active"], entry.after["is_active"]) for entry in recorded(since)
    ] == [("user.changed", True, False)]
    admin_accounts.audit_accounts()
    assert plain_site._registry[User] is page
