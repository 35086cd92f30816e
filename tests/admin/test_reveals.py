"""What is shown once: the key that was just made, the secret that was just rotated, and nowhere afterwards."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from automate.models import WebhookSource
from automate.webhooks import sources
from automate_api.keys import check_key
from automate_api.models import ApiKey
from automate_core.context import tenant_scope
from automate_core.ids import uuid7
from automate_core.models import AuditEntry, Membership, Role, Tenant

pytestmark = pytest.mark.django_db

ADD = "/admin/automate_api/apikey/add/"
SOURCES = "/admin/automate/webhooksource/"
SHOWN = re.compile(r'<pre class="automate-json automate-revealed">(.+?)</pre>')


@pytest.fixture
def acme() -> Tenant:
    return Tenant.objects.create(id=uuid7(), slug="acme", name="Acme")


@pytest.fixture
def source(acme: Tenant) -> WebhookSource:
    with tenant_scope(acme.id):
        return sources.create_source(slug="shop", preset="generic", secret="first-secret", by="test")


def key_form(of: Tenant, **given: str) -> dict[str, str]:
    return {"id": str(uuid7()), "name": "ci", "tenant": str(of.pk), "role": "runner", **given}


def member(tenant: Tenant, role: Role, *permissions: str, name: str = "staff") -> Client:
    user = get_user_model().objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    Membership.objects.create(tenant=tenant, user=user, role=role)
    client = Client()
    client.force_login(user)
    return client


def everywhere_else(client: Client, *pages: str) -> str:
    """Everything the client can still see, and everything that is kept for it."""
    texts = [client.get(page).content.decode() for page in ("/admin/", *pages)]
    texts += [str(cookie) for cookie in client.cookies.values()]
    texts += [str(session.get_decoded()) for session in Session.objects.all()]
    texts += [str(row) for row in AuditEntry.all_tenants.values()]
    return " ".join(texts)


def rotate(client: Client, source: WebhookSource, **given: str) -> Any:
    asked = client.post(SOURCES, {"action": "rotate", "_selected_action": [str(source.pk)]})
    seen = re.search(r'name="seen" value="([^"]*)"', asked.content.decode())
    assert seen is not None
    return client.post(
        SOURCES,
        {
            "action": "rotate",
            "_selected_action": [str(source.pk)],
            "confirmed": "yes",
            "seen": seen[1],
            **given,
        },
    )


def test_new_key_is_shown_once_and_works(admin_client: Client, acme: Tenant) -> None:
    form = key_form(acme, scopes="events:write, workflows:read")
    assert admin_client.get(ADD).status_code == 200
    page = admin_client.post(ADD, form)
    plain = SHOWN.findall(page.content.decode())[0]
    assert (page.status_code, "no-store" in page["Cache-Control"]) == (200, True)
    key = check_key(plain, now=timezone.now())
    assert (str(key.pk), key.tenant, key.role) == (form["id"], acme, "runner")
    assert key.scopes == ["events:write", "workflows:read"]
    change = reverse("admin:automate_api_apikey_change", args=[key.pk])
    kept = everywhere_else(admin_client, "/admin/automate_api/apikey/", change)
    assert (key.prefix in kept, plain in kept, plain[12:] in kept) == (True, False, False)


def test_form_sent_twice_makes_one_key(admin_client: Client, acme: Tenant) -> None:
    form = key_form(acme)
    admin_client.post(ADD, form)
    again = admin_client.post(ADD, form).content.decode()
    assert (SHOWN.findall(again), "made and shown already" in again) == ([], True)
    assert ApiKey.all_tenants.count() == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": ""}, "This field is required"),
        ({"scopes": "everything"}, "is not &lt;resource&gt;:read"),
        ({"expires_at_0": "2001-01-01", "expires_at_1": "00:00"}, "Choose a time to come"),
        ({"user": "nobody"}, "is not a member of this tenant"),
        ({"user": "outsider"}, "is not a member of this tenant"),
        ({"role": "emperor"}, "Select a valid choice"),
        ({"tenant": "1"}, "is not a valid UUID"),
        ({"id": "x"}, "Enter a valid UUID"),
    ],
)
def test_wrong_key_form_makes_no_key(
    admin_client: Client, acme: Tenant, given: dict[str, str], message: str
) -> None:
    get_user_model().objects.create_user("outsider")
    page = admin_client.post(ADD, key_form(acme, **given))
    assert (page.status_code, message in page.content.decode()) == (200, True)
    assert ApiKey.all_tenants.count() == 0


def test_keys_are_made_by_admins_of_their_tenant_only(acme: Tenant) -> None:
    other = Tenant.objects.create(id=uuid7(), slug="globex", name="Globex")
    boss = get_user_model().objects.create_superuser("boss")
    permissions = ("add_apikey", "view_apikey")
    editor = member(acme, Role.PUBLISHER, *permissions, name="editor")
    assert editor.get(ADD).status_code == 403
    assert editor.post(ADD, key_form(acme)).status_code == 403
    assert member(acme, Role.ADMIN, "view_apikey", name="looker").post(ADD, key_form(acme)).status_code == 403
    admin = member(acme, Role.ADMIN, *permissions, name="admin")
    Membership.objects.create(tenant=acme, user=boss, role=Role.VIEWER)
    for form in (key_form(other), key_form(acme, user="boss")):
        assert SHOWN.findall(admin.post(ADD, form).content.decode()) == []
    assert ApiKey.all_tenants.count() == 0
    assert len(SHOWN.findall(admin.post(ADD, key_form(acme, user="editor")).content.decode())) == 1
    assert ApiKey.all_tenants.get().user.get_username() == "editor"


def test_rotated_secret_is_shown_once_and_both_are_valid(admin_client: Client, source: WebhookSource) -> None:
    page = rotate(admin_client, source)
    secret = SHOWN.findall(page.content.decode())[0]
    assert (page.status_code, "no-store" in page["Cache-Control"]) == (200, True)
    assert sources.look_up("shop").keys == (secret.encode(), b"first-secret")
    change = reverse("admin:automate_webhooksource_change", args=[source.pk])
    kept = everywhere_else(admin_client, SOURCES, change, "/admin/automate_core/secret/")
    assert (secret in kept, "first-secret" in kept) == (False, False)
    entry = AuditEntry.all_tenants.latest("id")
    assert (entry.action, entry.before["secret_version"], entry.after["secret_version"]) == (
        "webhook_source.rotate", 1, 2,
    )  # fmt: skip


def test_rotation_sent_twice_rotates_once(admin_client: Client, source: WebhookSource) -> None:
    form = {"action": "rotate", "_selected_action": [str(source.pk)], "confirmed": "yes"}
    seen = source.updated_at.isoformat()
    secret = SHOWN.findall(admin_client.post(SOURCES, {**form, "seen": seen}).content.decode())[0]
    again = admin_client.post(SOURCES, {**form, "seen": seen}, follow=True)
    assert SHOWN.findall(again.content.decode()) == []
    assert "it was changed since you were asked" in again.content.decode()
    assert sources.look_up("shop").keys == (secret.encode(), b"first-secret")


def test_given_secret_is_taken_and_not_shown(admin_client: Client, source: WebhookSource) -> None:
    answer = rotate(admin_client, source, secret="their-own-secret")
    assert answer.status_code == 302
    assert sources.look_up("shop").keys == (b"their-own-secret", b"first-secret")
    assert "their-own-secret" not in everywhere_else(admin_client, SOURCES)
    again = admin_client.get(SOURCES)
    refused = rotate(admin_client, source, secret="their-own-secret")
    assert (again.status_code, refused.status_code) == (200, 302)
    assert "is the one in use" in admin_client.get(SOURCES).content.decode()
