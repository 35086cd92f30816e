from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from automate_api.models import ApiKey, IdempotencyRecord
from automate_core.models import Tenant

pytestmark = pytest.mark.django_db

KEYS = "/admin/automate_api/apikey/"


def test_admin_shows_keys_of_every_tenant_without_their_digest(
    admin_client: Client, make_key: Callable[..., tuple[ApiKey, str]], other_tenant: Tenant
) -> None:
    key, plain = make_key(name="mine")
    make_key(name="theirs", tenant_id=other_tenant.pk)
    page = admin_client.get(KEYS).content.decode()
    assert ("mine" in page, "theirs" in page) == (True, True)
    detail = admin_client.get(f"{KEYS}{key.pk}/change/").content.decode()
    assert (key.prefix in detail, key.digest in detail, plain in detail) == (True, False, False)


def revoke(client: Client, key: ApiKey) -> Any:
    return client.post(
        KEYS, {"action": "revoke", "_selected_action": [str(key.pk)], "confirmed": "yes"}, follow=True
    )


def test_admin_revokes(admin_client: Client, make_key: Callable[..., tuple[ApiKey, str]]) -> None:
    key, _ = make_key()
    revoke(admin_client, key)
    key.refresh_from_db()
    assert key.revoked_at is not None
    said = [str(message) for message in revoke(admin_client, key).context["messages"]]
    assert said == [f"{key}: The API key {key.prefix!r} is already revoked"]


def test_looking_is_not_revoking(client: Client, make_key: Callable[..., tuple[ApiKey, str]]) -> None:
    looker = get_user_model().objects.create_user("looker", is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    client.force_login(looker)
    key, _ = make_key()
    revoke(client, key)
    key.refresh_from_db()
    assert key.revoked_at is None


def test_admin_lists_idempotency_records_without_bodies(admin_client: Client, tenant: Tenant) -> None:
    record = IdempotencyRecord.all_tenants.create(
        tenant=tenant, digest="d", fingerprint="f", method="POST", route="/api/x/", status=201,
        content_type="application/json", body=b"canary",
    )  # fmt: skip
    url = "/admin/automate_api/idempotencyrecord/"
    pages = [admin_client.get(url), admin_client.get(f"{url}{record.pk}/change/")]
    assert [(page.status_code, b"canary" in page.content) for page in pages] == [(200, False)] * 2
